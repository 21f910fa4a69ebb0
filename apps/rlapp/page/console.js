// The console, put together: the model follows the service, and the views follow the model.

import { ask_signed_in } from "/open/api.js";
import { element, set_text } from "./dom.js";
import { Feed } from "./feed.js";
import { Model } from "./model.js";
import { ChartView } from "./chart.js";
import { HandoffsView } from "./handoffs.js";
import { HostsView } from "./hosts.js";
import { LogView } from "./log.js";
import { MapView } from "./map.js";
import { RelocationsView } from "./relocations.js";
import { UesView } from "./ues.js";
import { duration, median } from "./units.js";

const NOTICE_MS = 8000;
const TICK_MS = 250;
const DRAW_EVERY_MS = 100;

const at = (id) => document.getElementById(id);
const model = new Model();
let notice_timer = null;

/** Do something that the service may refuse, and say so where it does. */
async function act(button, work) {
  // Not disabled meanwhile: it would lose the keyboard's focus.
  if (button.getAttribute("aria-busy") === "true") return;
  button.setAttribute("aria-busy", "true");
  try {
    await work();
    at("problem").hidden = true;
  } catch (error) {
    at("problem").textContent = error.message;
    at("problem").hidden = false;
    clearTimeout(notice_timer);
    notice_timer = setTimeout(() => { at("problem").hidden = true; }, NOTICE_MS);
  } finally {
    button.removeAttribute("aria-busy");
    mark(...views.keys());
  }
}

function show_figures() {
  const done = model.relocations.filter((record) => record.outcome === "completed");
  const figures = [
    ["UEs", model.locations.size],
    ["handoffs now", model.active().length],
    ["relocations", done.length],
    ["median downtime", duration(median(done.map((record) => record.downtime_s).filter((value) => value !== null)))],
  ];
  at("figures").replaceChildren(
    ...figures.map(([name, value]) =>
      element("div", {}, element("dt", {}, name), element("dd", {}, String(value))),
    ),
  );
}

const ues = new UesView(at("ues").querySelector("ul"), model, act);
const map = new MapView(at("map"), model);
const handoffs = new HandoffsView(at("active"), at("ended"), at("prediction"), model, act);
const chart = new ChartView(at("chart"), at("chart-note"), model);
const hosts = new HostsView(at("hosts"), model);
const relocations = new RelocationsView(at("relocations"), at("more"), model, act);
const log = new LogView(at("log"), at("log-filter"), model);

// View -> the events that change it.
const views = new Map([
  [ues, ["location", "handoff", "drive"]],
  [map, ["location", "handoff", "instance", "access_point"]],
  [handoffs, ["handoff", "phase", "relocation", "prediction"]],
  [chart, ["relocation"]],
  [hosts, ["instance", "location", "access_point"]],
  [relocations, ["relocation"]],
  [log, ["log", "location"]],
  [{ render: show_figures }, ["location", "handoff", "relocation"]],
]);

// However many events come, views are drawn so often at most.
const dirty = new Set();
let drawn_ms = 0;

function mark(...changed) {
  if (dirty.size === 0) {
    const wait_ms = Math.max(0, drawn_ms + DRAW_EVERY_MS - performance.now());
    setTimeout(() => requestAnimationFrame(draw), wait_ms);
  }
  for (const view of changed) dirty.add(view);
}

function draw(now_ms) {
  drawn_ms = now_ms;
  const drawn = [...dirty];
  dirty.clear();
  for (const view of drawn) view.render();
}

/** Tell those who do not see it. */
function announce(type, data) {
  if (type === "handoff" && data.handoff.state !== "queued") {
    const { ue, target_cell, state } = data.handoff;
    set_text(at("announcer"), `Handoff of ${ue} to ${target_cell}: ${state}`);
  } else if (type === "relocation") {
    const { app, target, outcome, downtime_s } = data.record;
    const down = downtime_s ? `, downtime ${duration(downtime_s)}` : "";
    set_text(at("announcer"), `Relocation of ${app} to ${target}: ${outcome}${down}`);
  }
}

function show_connection(connected) {
  at("connection").dataset.state = connected ? "live" : "lost";
  set_text(at("connection"), connected ? "Live" : "Connection lost. Reconnecting…");
  document.body.classList.toggle("stale", !connected);
}

new Feed({
  state: (state) => {
    model.load(state);
    map.begin();
    log.anew();
    mark(...views.keys());
  },
  event: (type, data, id) => {
    model.apply(type, data, id);
    announce(type, data);
    mark(...[...views].filter(([, types]) => types.includes(type)).map(([view]) => view));
  },
  connected: show_connection,
});

// What grows with time alone.
setInterval(() => {
  if (document.hidden) return;
  if (model.active().length > 0) mark(handoffs);
  ues.show_ages();
}, TICK_MS);

at("sign-out").addEventListener("click", ({ currentTarget }) =>
  act(currentTarget, async () => {
    await ask_signed_in("DELETE", "/api/session");
    location.assign("/sign-in");
  }),
);
at("survey").addEventListener("click", ({ currentTarget }) =>
  act(currentTarget, () => ask_signed_in("POST", "/api/survey")),
);
