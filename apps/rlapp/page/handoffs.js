// Handoffs: those under way, phase by phase, and how the last ones ended.

import { ask_signed_in } from "/open/api.js";
import { element, Keyed, set_attribute, set_text } from "./dom.js";
import { clock, duration, size } from "./units.js";

const ENDED_SHOWN = 12;
const SCENARIOS = { proactive: "pro-active", reactive: "re-active" };
// In these no instance serves: the paper's downtime is from the first to the last.
const CUTOVER_FROM = "hold";
const CUTOVER_TO = "switch";
const ASKED_BY = { prediction: "by RLapp", operator: "by hand" };

export const scenario_name = (name) => SCENARIOS[name] ?? name ?? "";

export class HandoffsView {
  constructor(active, ended, prediction, model, act) {
    this.model = model;
    this.prediction = prediction;
    const make = (handoff) => new Handoff(handoff, model, act);
    this.newest = null;
    this.active = new Keyed(active, make);
    this.ended = new Keyed(ended, make);
    this.nothing = element("p", { className: "quiet empty" }, "No handoff yet.");
    active.before(this.nothing);
  }

  render() {
    const active = this.model.active();
    const ended = this.model.ended().slice(0, ENDED_SHOWN);
    this.nothing.hidden = active.length + ended.length > 0;
    this.active.show(active, (handoff) => handoff.id);
    this.ended.show(ended, (handoff) => handoff.id);
    // With nothing under way the newest is the one to look at, until there is another.
    const newest = active.length === 0 ? ended[0]?.id : null;
    if (newest !== this.newest) {
      for (const [id, view] of this.ended.views) view.details.open = id === newest;
      this.newest = newest;
    }
    set_text(this.prediction, told_of(this.model.prediction));
  }
}

function told_of({ hits, surprises, median_lead_s }) {
  if (!(hits + surprises)) return "";
  const ahead = median_lead_s ? `, ${median_lead_s.toFixed(1)} s ahead` : "";
  return `${hits} of ${hits + surprises} predicted${ahead}`;
}

class Handoff {
  constructor(handoff, model, act) {
    this.model = model;
    this.title = element("h3");
    this.state = element("span", { className: "badge" });
    this.told = element("span", { className: "quiet" });
    this.step = element("p", { className: "step" });
    this.error = element("p", { className: "problem" });
    this.cancel = element("button", {
      type: "button",
      "aria-label": `Cancel the handoff of ${handoff.ue} to ${handoff.target_cell}`,
      onclick: ({ currentTarget }) =>
        act(currentTarget, () => ask_signed_in("POST", `/api/handoffs/${handoff.id}/cancel`)),
    }, "Cancel");
    this.lines = element("div", { className: "timelines" });
    this.details = element("details", {},
      element("summary", {}, this.title, this.state, this.told),
      this.error, this.lines);
    this.node = element("li", { className: "handoff", "data-handoff": handoff.id },
      this.details, element("div", { className: "row" }, this.step, this.cancel));
    this.drawn = "";
  }

  update(handoff) {
    const { model } = this;
    const active = ["queued", "running"].includes(handoff.state);
    if (active) this.details.open = true;
    const from = handoff.source_cell ?? source_cell(handoff, model);
    set_text(this.title, `${handoff.ue}: ${from && from !== handoff.target_cell ? `${from} ` : ""}→ ${handoff.target_cell}`);
    set_text(this.state, handoff.state);
    set_attribute(this.state, "data-kind", handoff.state);
    const records = model.records_of(handoff.id);
    set_text(this.told, words_of(handoff, records, model));
    set_text(this.error, handoff.error ?? "");
    this.cancel.hidden = !active;
    set_text(this.step, active ? step_of(handoff, model) : "");
    this.step.hidden = !active;
    this.draw(handoff, records, active);
  }

  draw(handoff, records, active) {
    const phases = model_phases(handoff, records, this.model);
    const running_s = active && handoff.started_s ? this.model.now_s() - handoff.started_s : 0;
    // Drawn anew only when there is something new: what runs grows on.
    const drawn = JSON.stringify([phases.length, records.map((record) => record.time), active && Math.round(running_s * 4)]);
    if (drawn === this.drawn) return;
    this.drawn = drawn;
    const lines = [];
    if (records.length > 0) {
      for (const record of records) lines.push(...timelines(record, records.length > 1));
    } else if (phases.length > 0) {
      const whole_s = Math.max(running_s, end_of(phases));
      lines.push(timeline(active ? "so far" : "what was prepared", phases, 0, whole_s));
    }
    this.lines.replaceChildren(...lines);
  }
}

function source_cell(handoff, model) {
  const host = handoff.plan?.relocations?.[0]?.source;
  return host ? model.me_hosts().get(host)?.[0] : null;
}

function words_of(handoff, records, model) {
  const planned = handoff.plan?.relocations ?? [];
  const scenarios = [...new Set(planned.map((item) => scenario_name(item.scenario)).filter(Boolean))];
  const words = [
    handoff.ho_status?.replace("IN_", "").toLowerCase(),
    ...scenarios,
    ASKED_BY[handoff.origin] ?? `by ${handoff.origin}`,
  ];
  if (handoff.expected_s && handoff.state !== "cancelled") {
    const in_s = handoff.expected_s - model.now_s();
    if (in_s > 0 && model.announced_of(handoff.ue)?.id === handoff.id) words.push(`expected in ${in_s.toFixed(0)} s`);
  }
  const down = records.map((record) => record.downtime_s).filter((value) => value !== null);
  if (down.length > 0) words.push(`downtime ${duration(Math.max(...down))}`);
  return [...words.filter(Boolean), clock(handoff.ended_s ?? handoff.asked_s)].join(" · ");
}

function step_of(handoff, model) {
  if (handoff.state === "queued") return "Waits for another handoff";
  const since_s = Math.max(0, model.now_s() - handoff.started_s);
  return `${since_s.toFixed(1)} s · ${handoff.phase ?? "Starts"}`;
}

function model_phases(handoff, records, model) {
  return records.length > 0 ? records.flatMap((record) => record.phases) : model.phases.get(handoff.id) ?? [];
}

const end_of = (phases) => Math.max(0, ...phases.map((phase) => phase.start_s + phase.duration_s));

/** A relocation as two timelines: from the message to its end, and the cutover within it. */
function timelines(record, name_app) {
  const { phases } = record;
  const app = name_app ? `${record.app}: ` : "";
  if (phases.length === 0) return [];
  const from = phases.find((phase) => phase.name === CUTOVER_FROM);
  const to = phases.findLast((phase) => phase.name === CUTOVER_TO);
  const whole_s = Math.max(record.total_s ?? 0, end_of(phases));
  if (!from || !to) return [timeline(`${app}${duration(whole_s)}`, phases, 0, whole_s)];
  const from_s = from.start_s;
  const to_s = to.start_s + to.duration_s;
  const inside = (phase) => phase.start_s >= from_s && phase.start_s + phase.duration_s <= to_s + 1e-9;
  const outside = phases.filter((phase) => !inside(phase));
  const cutover = { name: "cutover", start_s: from_s, duration_s: to_s - from_s, bytes: 0 };
  const around = [...outside, cutover].sort((a, b) => a.start_s - b.start_s);
  return [
    timeline(`${app}from the message to the end: ${duration(whole_s)}`, around, 0, whole_s),
    timeline(`${app}cutover, in which no instance serves: ${duration(to_s - from_s)}`,
      phases.filter(inside), from_s, to_s, "cutover"),
  ];
}

function timeline(title, phases, from_s, to_s, kind = "") {
  const whole_s = Math.max(to_s - from_s, 1e-9);
  const rows = phases.map((phase) => {
    const bar = element("span", { className: "bar-fill", "data-phase": phase.name });
    bar.style.left = `${(100 * (phase.start_s - from_s)) / whole_s}%`;
    bar.style.width = `${(100 * phase.duration_s) / whole_s}%`;
    return element("li", { className: "phase" },
      element("span", { className: "phase-name" }, phase.name.replaceAll("_", " ")),
      element("span", { className: "bar-track", title: size(phase.bytes) }, bar),
      element("span", { className: "mono" }, duration(phase.duration_s)));
  });
  return element("div", { className: `timeline ${kind}` },
    element("p", { className: "quiet" }, title), element("ol", {}, ...rows));
}
