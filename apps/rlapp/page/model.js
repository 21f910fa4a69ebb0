// What the page knows: the service's state, and every event since.

// What is kept, for the page may be open for days.
const LINES_MAX = 2000;
const HANDOFFS_MAX = 200;
const TRACK_MAX = 400;
export const LEVELS = { location: 0, info: 1, warning: 2, error: 3 };
const ACTIVE = ["queued", "running"];

export class Model {
  constructor() {
    this.cells = {};
    this.ues = {};
    this.apps = [];
    this.tiles = null;
    this.locations = new Map();
    this.tracks = new Map();
    this.handoffs = new Map();
    this.phases = new Map();
    this.relocations = [];
    this.instances = new Map();
    this.drives = new Map();
    this.prediction = {};
    // The log, and apart from it the locations, which are so many that they would push it out.
    this.lines = [];
    this.places = [];
    this.newest = null;
    // The service's clock is ahead of ours by this.
    this.ahead_s = 0;
  }

  /** Begin with a state of the service. */
  load(state) {
    Object.assign(this, new Model());
    const { cells, apps, tiles, prediction } = state;
    // sim2 comes before sim10.
    const in_order = ([a], [b]) => a.localeCompare(b, "en", { numeric: true });
    const ues = Object.fromEntries(Object.entries(state.ues).sort(in_order));
    Object.assign(this, { cells, ues, apps, tiles, prediction });
    this.ahead_s = state.time_s - Date.now() / 1000;
    for (const location of state.locations) this.locations.set(location.ue, location);
    for (const [ue, drive] of Object.entries(state.drives)) this.drives.set(ue, drive);
    for (const seen of state.instances) this.instances.set(`${seen.app} ${seen.me_host}`, seen);
    for (const handoff of state.handoffs) this.handoffs.set(handoff.id, handoff);
    for (const phase of state.past.phase) this.add_phase(phase);
    for (const event of state.past.location) {
      this.add_to_track(event);
      if (this.locations.has(event.ue)) this.locations.get(event.ue).heard_s = event.time_s;
    }
    this.relocations = state.relocations.map(numbered).reverse();
    this.places = state.past.location.map((event) => this.line_of(event));
    this.lines = state.past.log;
  }

  /** Take in an event. */
  apply(type, data, id) {
    switch (type) {
      case "location":
        // When RLapp heard of it: the UE's own clock may be another.
        this.locations.set(data.ue, { ...data, heard_s: data.time_s });
        this.add_to_track(data);
        keep(this.places, this.line_of({ ...data, id }), LINES_MAX);
        break;
      case "handoff":
        this.handoffs.set(data.handoff.id, data.handoff);
        this.newest = null;
        this.forget_handoffs();
        break;
      case "phase":
        this.add_phase(data);
        break;
      case "relocation":
        this.add_relocations([
          { ...data.record, rlapp_handoff: data.handoff, rlapp_number: data.number },
        ]);
        break;
      case "instance":
        if (data.instance) {
          this.instances.set(`${data.app} ${data.me_host}`, { ...data, ...data.instance });
        } else {
          this.instances.delete(`${data.app} ${data.me_host}`);
        }
        break;
      case "access_point":
        for (const cell of Object.values(this.cells)) {
          if (data.name in cell.access_points) cell.access_points[data.name].status = data.status;
        }
        break;
      case "drive":
        this.drives.set(data.ue, data);
        break;
      case "prediction":
        this.prediction = data;
        break;
      case "log":
        keep(this.lines, { ...data, id }, LINES_MAX);
        break;
    }
  }

  /** The service's time now. */
  now_s() {
    return Date.now() / 1000 + this.ahead_s;
  }

  /** Take in relocations, also such that are known already; they stay in their order. */
  add_relocations(records) {
    const known = new Map(this.relocations.map((record) => [record.number, record]));
    for (const record of records.map(numbered)) known.set(record.number, record);
    this.relocations = [...known.values()].sort((a, b) => a.number - b.number);
  }

  add_phase(phase) {
    const phases = this.phases.get(phase.handoff) ?? [];
    this.phases.set(phase.handoff, [...phases, phase]);
  }

  add_to_track({ ue, lat, lon }) {
    const track = this.tracks.get(ue) ?? [];
    keep(track, [lat, lon], TRACK_MAX);
    this.tracks.set(ue, track);
  }

  forget_handoffs() {
    for (const { id } of this.ended().slice(HANDOFFS_MAX)) {
      this.handoffs.delete(id);
      this.phases.delete(id);
      this.newest = null;
    }
  }

  /** Lines after an event, with or without locations, in the order in which they came. */
  log_after(id, with_places) {
    const lines = with_places ? [...this.lines, ...this.places] : this.lines;
    return lines.filter((line) => line.id > id).sort((a, b) => a.id - b.id);
  }

  /** The paper's log: time, cell and zone of a UE, and its latitude and longitude. */
  line_of({ id, time_s, ue, cell, lat, lon }) {
    const zone = this.cells[cell]?.zone ?? null;
    const place = { lat: lat.toFixed(6), lon: lon.toFixed(6) };
    return { id, time_s, level: "location", message: "", ue, cell: cell ?? "none", zone, ...place };
  }

  /** Cell -> its number, which gives it its colour. */
  tone_of(cell) {
    return (Object.keys(this.cells).indexOf(cell) % 6) + 1;
  }

  ue_tone_of(ue) {
    return (Object.keys(this.ues).indexOf(ue) % 6) + 1;
  }

  apps_of(ue) {
    return this.ues[ue].apps ?? this.apps;
  }

  /** All ME hosts, each with its cells, in the order of the configuration. */
  me_hosts() {
    const hosts = new Map();
    for (const [name, cell] of Object.entries(this.cells)) {
      hosts.set(cell.me_host, [...(hosts.get(cell.me_host) ?? []), name]);
    }
    return hosts;
  }

  /** The instance of an app that serves, if that is known. */
  serving(app) {
    return [...this.instances.values()].find((seen) => seen.app === app && seen.state === "serving");
  }

  newest_first() {
    this.newest ??= [...this.handoffs.values()].sort((a, b) => b.id - a.id);
    return this.newest;
  }

  active() {
    return this.newest_first().filter((handoff) => ACTIVE.includes(handoff.state)).reverse();
  }

  ended() {
    return this.newest_first().filter((handoff) => !ACTIVE.includes(handoff.state));
  }

  active_of(ue) {
    return this.active().filter((handoff) => handoff.ue === ue);
  }

  /** The handoff that is announced and not executed yet: the newest of a UE, if it only prepares. */
  announced_of(ue) {
    const newest = this.newest_first().find(
      (handoff) => handoff.ue === ue && !["failed", "cancelled"].includes(handoff.state),
    );
    return newest?.ho_status === "IN_PREPARATION" ? newest : null;
  }

  records_of(handoff) {
    return this.relocations.filter((record) => record.rlapp_handoff === handoff);
  }
}

function keep(list, item, most) {
  list.push(item);
  if (list.length > most) list.shift();
}

function numbered(record) {
  return { ...record, number: record.rlapp_number };
}
