// The UEs: where each of them is, what it hears, and what can be done with it.

import { ask_signed_in } from "/open/api.js";
import { element, Keyed, set_attribute, set_options, set_text } from "./dom.js";
import { compass, place } from "./units.js";

// RSRP from hardly there to beside the antenna.
const WEAK_DBM = -120;
const STRONG_DBM = -50;
const SILENT_S = 5;
const DRIVE = {
  ready: "stands",
  driving: "drives",
  arrived: "has arrived",
  failed: "cannot drive",
};

export class UesView {
  constructor(list, model, act) {
    this.model = model;
    this.cards = new Keyed(list, ([name]) => new Card(name, model, act));
  }

  render() {
    this.cards.show(Object.entries(this.model.ues), ([name]) => name);
  }

  /** Say how long ago each was heard of. */
  show_ages() {
    for (const card of this.cards.views.values()) card.show_age();
  }
}

class Card {
  constructor(name, model, act) {
    this.name = name;
    this.model = model;
    this.act = act;
    this.make();
  }

  make() {
    const { name } = this;
    const button = (text, does, kind) =>
      element("button", {
        type: "button",
        ...(kind && { className: kind }),
        "aria-label": `${text}: ${name}`,
        onclick: ({ currentTarget }) => this.act(currentTarget, () => does.call(this)),
      }, text);
    const field = (text, node) => {
      node.setAttribute("aria-label", `${text} of ${name}`);
      return node;
    };
    this.status = element("span", { className: "badge" });
    this.cell = element("span", { className: "chip" });
    this.where = element("span", { className: "mono" });
    this.motion = element("span", { className: "quiet" });
    this.age = element("span", { className: "quiet age" });
    this.signals = element("ul", { className: "signals", "aria-label": `Signal at ${name}` });
    this.bars = new Keyed(this.signals, ([cell]) => new Signal(cell, this.model));
    this.target = field("Target cell", element("select"));
    this.prepare = button("Prepare", this.on_prepare);
    this.relocate = button("Relocate now", this.on_relocate, "primary");
    this.cancel = button("Cancel", this.on_cancel);
    this.trace = field("Trace", element("select"));
    this.speed = field("Speed in m/s", element("input", {
      type: "number", min: 1, max: 100, step: 1, placeholder: "m/s", title: "m/s; empty: as the trace says",
    }));
    this.loop = element("input", { type: "checkbox", checked: true });
    this.drive = button("Start", this.on_drive);
    this.drive_state = element("span", { className: "quiet" });
    this.driving = element("div", { className: "drive" },
      this.trace, this.drive,
      element("span", { className: "row" },
        this.speed, element("label", { className: "check" }, this.loop, "loop")),
      this.drive_state);
    this.node = element("li", { className: "ue", "data-tone": this.model.ue_tone_of(name) },
      element("div", { className: "row head" },
        element("h3", {}, name), this.cell, this.status, this.age),
      element("div", { className: "row where" }, this.where, this.motion),
      this.signals,
      element("div", { className: "row actions" }, this.target, this.relocate, this.prepare, this.cancel),
      this.driving);
  }

  update() {
    const location = this.model.locations.get(this.name);
    const cell = location?.cell ?? null;
    const active = this.model.active_of(this.name);
    const announced = this.model.announced_of(this.name);
    set_text(this.cell, cell === null ? "no cell" : `${cell} · ${this.model.cells[cell]?.me_host ?? "?"}`);
    set_attribute(this.cell, "data-tone", cell === null ? null : this.model.tone_of(cell));
    set_text(this.where, location ? place(location) : "has not told where it is");
    set_text(this.motion, motion(location));
    this.show_status(active, announced);
    this.show_age();
    const heard = Object.entries(location?.signal_dbm ?? {}).sort(([a], [b]) => a.localeCompare(b));
    this.bars.show(heard.map(([name, dbm]) => [name, dbm, name === cell]), ([name]) => name);
    set_options(this.target, Object.keys(this.model.cells).filter((name) => name !== cell));
    this.relocate.disabled = this.prepare.disabled = this.target.options.length === 0;
    this.cancel.disabled = active.length === 0 && announced === null;
    this.show_drive();
  }

  show_status([active], announced) {
    const does = active?.ho_status === "IN_PREPARATION" ? "preparing" : "handing off";
    const prepared = announced ? `prepared for ${announced.target_cell}` : "";
    set_text(this.status, !active ? prepared : active.state === "running" ? does : active.state);
    set_attribute(this.status, "data-kind", active ? "busy" : announced ? "ready" : null);
  }

  show_age() {
    const location = this.model.locations.get(this.name);
    if (!location) return;
    const silent_s = location.heard_s ? this.model.now_s() - location.heard_s : 0;
    set_text(this.age, silent_s < SILENT_S ? "" : `silent for ${Math.round(silent_s)} s`);
  }

  show_drive() {
    const { here, told, order } = this.model.drives.get(this.name) ?? {};
    const known = Boolean(told && (here || told.traces.length > 0));
    this.driving.hidden = !known;
    if (!known) return;
    set_options(this.trace, told.traces);
    const wanted = order.trace !== null;
    set_text(this.drive, wanted ? "Stop" : "Start");
    set_attribute(this.drive, "aria-label", `${wanted ? "Stop the trace" : "Start the trace"}: ${this.name}`);
    this.trace.disabled = this.speed.disabled = this.loop.disabled = wanted;
    this.drive.disabled = !here && !wanted;
    if (wanted) this.trace.value = order.trace;
    const does = told.state === "driving" && wanted ? `drives ${order.trace}` : DRIVE[told.state];
    const pending = told.number !== order.number && here ? (wanted ? "is to drive" : "is to stop") : does;
    set_text(this.drive_state, here ? `${pending}${told.error ? `: ${told.error}` : ""}` : "not listening");
  }

  send(ho_status) {
    return ask_signed_in("POST", "/api/handoffs", {
      ue: this.name,
      target_cell: this.target.value,
      ...(ho_status && { ho_status }),
      // Two clicks are two wishes, one that is sent twice is not.
      key: crypto.randomUUID?.() ?? String(Math.random()).slice(2),
    });
  }

  on_relocate() {
    return this.send(null);
  }

  on_prepare() {
    return this.send("IN_PREPARATION");
  }

  async on_cancel() {
    const active = this.model.active_of(this.name);
    for (const handoff of active) {
      await ask_signed_in("POST", `/api/handoffs/${handoff.id}/cancel`);
    }
    const announced = this.model.announced_of(this.name);
    if (active.length === 0 && announced) {
      await ask_signed_in("POST", "/api/handoffs", {
        ue: this.name, target_cell: announced.target_cell, ho_status: "CANCELLED",
      });
    }
  }

  on_drive() {
    const { order } = this.model.drives.get(this.name);
    const stop = order.trace !== null;
    return ask_signed_in("PUT", `/api/ues/${this.name}/order`, stop ? {} : {
      trace: this.trace.value,
      loop: this.loop.checked,
      ...(this.speed.value && { speed_mps: Number(this.speed.value) }),
    });
  }
}

class Signal {
  constructor(cell, model) {
    this.meter = element("span", { className: "meter" });
    this.value = element("span", { className: "mono" });
    this.node = element("li", { "data-tone": model.tone_of(cell) },
      element("span", {}, cell), element("span", { className: "track" }, this.meter), this.value);
  }

  update([, dbm, serving]) {
    const part = (dbm - WEAK_DBM) / (STRONG_DBM - WEAK_DBM);
    this.meter.style.width = `${100 * Math.min(1, Math.max(0.02, part))}%`;
    set_text(this.value, `${dbm.toFixed(0)} dBm`);
    this.node.classList.toggle("serving", serving);
  }
}

function motion(location) {
  if (location?.speed_mps === null || location?.speed_mps === undefined) return "";
  const towards = location.heading_deg === null ? "" : ` ${compass(location.heading_deg)}`;
  return `${location.speed_mps.toFixed(1)} m/s${towards}`;
}
