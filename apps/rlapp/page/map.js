// The map: cells, zones, paths and hosts are drawn from data, and need no internet. Where tiles are
// configured they lie below.

import * as L from "./leaflet.js";
import { element, set_attribute, set_text } from "./dom.js";
import { compass } from "./units.js";

const HULL_POINTS = 48;
// A zone is drawn a little wider than its cells.
const ZONE_MARGIN = 1.06;
// More UEs than this have only their names beside them.
const CROWD = 8;
const EARTH_M = 6_371_008.8;
const GRID_PIXELS = 70;
// At the top the name of a zone, at the bottom the legend.
const PADDING = { paddingTopLeft: [12, 26], paddingBottomRight: [12, 34] };

export class MapView {
  constructor(container, model) {
    this.model = model;
    this.container = container;
    this.map = L.map(container, { zoomControl: false, zoomSnap: 0.25, attributionControl: false, maxZoom: 20 });
    L.control.zoom({ position: "topright" }).addTo(this.map);
    L.control.scale({ imperial: false, position: "bottomright" }).addTo(this.map);
    this.fit_control().addTo(this.map);
    for (const [name, order] of [["grid", 250], ["zones", 300], ["cells", 350], ["paths", 420]]) {
      this.map.createPane(name).style.zIndex = order;
    }
    this.fixed = L.layerGroup().addTo(this.map);
    this.grid = L.polyline([], { pane: "grid", className: "grid", interactive: false });
    this.ues = new Map();
    this.cells = new Map();
    this.hosts = new Map();
    this.moves = new Map();
    // Whoever has moved the map himself keeps his view.
    this.own_view = false;
    this.map.on("moveend zoomend", () => this.draw_grid());
    this.map.on("dragstart", () => { this.own_view = true; });
    container.addEventListener("wheel", () => { this.own_view = true; }, { passive: true });
    new ResizeObserver(() => this.resize()).observe(container);
  }

  /** Draw what does not change while the service runs. */
  begin() {
    const { model } = this;
    this.fixed.clearLayers();
    for (const layers of [this.ues, this.moves]) {
      for (const layer of layers.values()) layer.remove();
      layers.clear();
    }
    this.cells.clear();
    this.hosts.clear();
    this.add_tiles(model.tiles);
    this.add_zones();
    for (const [name, cell] of Object.entries(model.cells)) this.add_cell(name, cell);
    for (const [name, cells] of model.me_hosts()) this.add_host(name, cells);
    const places = Object.values(model.cells);
    this.bounds = places.reduce(
      (bounds, cell) => bounds.extend(L.latLng(cell.lat, cell.lon).toBounds(2 * ZONE_MARGIN * cell.range_m)),
      L.latLngBounds([]),
    );
    this.fit();
    this.grid.addTo(this.fixed);
  }

  render() {
    const { model } = this;
    for (const [name, marker] of this.cells) this.update_cell(name, marker);
    for (const [name, label] of this.hosts) this.update_host(name, label);
    for (const [name, location] of model.locations) this.update_ue(name, location);
    this.container.classList.toggle("crowded", model.locations.size > CROWD);
    this.update_moves();
  }

  resize() {
    this.map.invalidateSize({ animate: false });
    if (this.bounds && !this.own_view) this.fit();
  }

  fit() {
    this.own_view = false;
    this.map.fitBounds(this.bounds, { ...PADDING, animate: false });
  }

  fit_control() {
    const control = new L.Control({ position: "topright" });
    control.onAdd = () => {
      const button = element("button", {
        type: "button", className: "fit", title: "Show all cells", "aria-label": "Show all cells",
        onclick: () => this.fit(),
      }, "⤢");
      L.DomEvent.disableClickPropagation(button);
      return button;
    };
    return control;
  }

  add_tiles(tiles) {
    if (!tiles) return;
    const source = L.tileLayer(tiles.url, {
      maxZoom: 20, maxNativeZoom: tiles.zoom_max,
      // Public sources want to know whose page shows their tiles.
      referrerPolicy: "strict-origin-when-cross-origin",
    });
    source.addTo(this.fixed);
    this.container.classList.add("tiled");
    if (!this.attribution) {
      this.attribution = new L.Control({ position: "bottomright" });
      this.attribution.onAdd = () => element("div", { className: "attribution" }, tiles.attribution);
      this.attribution.addTo(this.map);
    }
  }

  add_zones() {
    const zones = new Map();
    for (const cell of Object.values(this.model.cells)) {
      zones.set(cell.zone, [...(zones.get(cell.zone) ?? []), cell]);
    }
    for (const [name, cells] of zones) {
      const outline = hull(cells.flatMap((cell) => circle(cell, ZONE_MARGIN * cell.range_m)));
      L.polygon(outline, { pane: "zones", className: "zone", interactive: false }).addTo(this.fixed);
      const top = outline.reduce((best, point) => (point[0] > best[0] ? point : best));
      label(top, "zone-label", name).addTo(this.fixed);
    }
  }

  add_cell(name, cell) {
    const tone = this.model.tone_of(name);
    const area = L.circle([cell.lat, cell.lon], {
      pane: "cells", radius: cell.range_m, className: `cell tone-${tone}`, interactive: false,
    }).addTo(this.fixed);
    const points = Object.entries(cell.access_points);
    for (const [, point] of points.length > 1 ? points : []) {
      label([point.lat, point.lon], `access-point tone-${tone}`, "").addTo(this.fixed);
    }
    const text = element("span", { className: "cell-name" }, name);
    label([cell.lat, cell.lon], `mast tone-${tone}`, element("span", { className: "dot" }), text).addTo(this.fixed);
    this.cells.set(name, area);
  }

  update_cell(name, area) {
    const path = area.getElement();
    if (!path) return;
    const expected = Object.keys(this.model.ues).some(
      (ue) => this.model.announced_of(ue)?.target_cell === name,
    );
    const points = Object.values(this.model.cells[name].access_points);
    path.classList.toggle("expected", expected);
    path.classList.toggle("out", points.every((point) => point.status === "Unserviceable"));
  }

  /** An ME host stands where its cells do: at their middle. */
  place_of_host(cells) {
    const places = cells.map((name) => this.model.cells[name]);
    const mean = (key) => places.reduce((sum, place) => sum + place[key], 0) / places.length;
    return [mean("lat"), mean("lon")];
  }

  add_host(name, cells) {
    const apps = element("span", { className: "host-apps" });
    const box = label(this.place_of_host(cells), "host", element("span", { className: "host-name" }, name), apps);
    box.addTo(this.fixed);
    this.hosts.set(name, apps);
  }

  update_host(name, apps) {
    const here = [...this.model.instances.values()].filter((seen) => seen.me_host === name);
    set_text(apps, here.filter((seen) => seen.state === "serving").map((seen) => seen.app).join(", "));
  }

  update_ue(name, location) {
    if (!(name in this.model.ues)) return;
    const here = [location.lat, location.lon];
    if (!this.ues.has(name)) this.ues.set(name, new UeLayer(name, this.model, here, this.map));
    this.ues.get(name).update(location, this.served_from(name, location), this.model.tracks.get(name) ?? []);
  }

  /** The way from a UE to what serves it: its cell, and the host of another one, if need be. */
  served_from(name, location) {
    const cell = this.model.cells[location.cell];
    if (!cell) return { radio: [], backbone: [] };
    const mast = [cell.lat, cell.lon];
    const hosts = this.model.me_hosts();
    const elsewhere = new Set();
    for (const app of this.model.apps_of(name)) {
      const seen = this.model.serving(app);
      if (seen && seen.me_host !== cell.me_host && hosts.has(seen.me_host)) elsewhere.add(seen.me_host);
    }
    return {
      radio: [[location.lat, location.lon], mast],
      backbone: [...elsewhere].map((host) => [mast, this.place_of_host(hosts.get(host))]),
    };
  }

  update_moves() {
    const wanted = new Map();
    for (const handoff of this.model.active()) {
      const source = this.model.cells[handoff.source_cell ?? source_of(handoff, this.model)];
      const target = this.model.cells[handoff.target_cell];
      if (source && target && source !== target) wanted.set(handoff.id, [source, target]);
    }
    for (const [id, line] of this.moves) {
      if (wanted.has(id)) continue;
      line.remove();
      this.moves.delete(id);
    }
    for (const [id, ends] of wanted) {
      if (this.moves.has(id)) continue;
      const line = L.polyline(arc(...ends), { pane: "paths", className: "move", interactive: false });
      this.moves.set(id, line.addTo(this.map));
    }
  }

  /** Lines in round distances, so that an empty map has a scale. */
  draw_grid() {
    const bounds = this.map.getBounds().pad(0.2);
    const middle = bounds.getCenter();
    const size = this.map.getSize();
    const width_m = this.map.distance([middle.lat, bounds.getWest()], [middle.lat, bounds.getEast()]);
    const wanted_m = (GRID_PIXELS * width_m) / Math.max(1.4 * size.x, 1);
    const power = 10 ** Math.floor(Math.log10(wanted_m));
    const step_m = [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= wanted_m);
    const lat_step = (step_m / EARTH_M) * (180 / Math.PI);
    const lon_step = lat_step / Math.max(0.01, Math.cos((middle.lat * Math.PI) / 180));
    const lines = [];
    for (let lat = Math.floor(bounds.getSouth() / lat_step) * lat_step; lat <= bounds.getNorth(); lat += lat_step) {
      lines.push([[lat, bounds.getWest()], [lat, bounds.getEast()]]);
    }
    for (let lon = Math.floor(bounds.getWest() / lon_step) * lon_step; lon <= bounds.getEast(); lon += lon_step) {
      lines.push([[bounds.getSouth(), lon], [bounds.getNorth(), lon]]);
    }
    this.grid.setLatLngs(lines);
  }
}

/** One UE: its marker, its path, and the ways to its cell and to what serves it. */
class UeLayer {
  constructor(name, model, here, map) {
    const tone = `ue-tone-${model.ue_tone_of(name)}`;
    const path = (className) => L.polyline([], { pane: "paths", className: `${className} ${tone}`, interactive: false });
    this.arrow = element("span", { className: "arrow" });
    this.mark = label(here, `ue-mark ${tone}`, this.arrow, element("span", { className: "ue-name" }, name), element("span"));
    this.detail = this.mark.options.icon.options.html.lastElementChild;
    this.detail.className = "ue-detail";
    this.track = path("track-line");
    this.radio = path("radio-line");
    this.backbone = path("backbone-line");
    this.layers = [this.track, this.radio, this.backbone, this.mark];
    for (const layer of this.layers) layer.addTo(map);
  }

  update(location, { radio, backbone }, track) {
    const here = [location.lat, location.lon];
    this.mark.setLatLng(here);
    this.track.setLatLngs(track);
    this.radio.setLatLngs(radio);
    this.backbone.setLatLngs(backbone);
    set_attribute(this.arrow, "title", location.heading_deg === null ? null : compass(location.heading_deg));
    this.arrow.style.rotate = `${location.heading_deg ?? 0}deg`;
    this.arrow.classList.toggle("still", !location.speed_mps);
    set_text(this.detail, location.cell ?? "no cell");
  }

  remove() {
    for (const layer of this.layers) layer.remove();
  }
}

/** A marker that is only to be looked at: everything that it says is in the lists, too. */
function label(place, className, ...children) {
  const html = element("div", { className: "label-content" }, ...children);
  const icon = L.divIcon({ className: `label ${className}`, html, iconSize: null });
  return L.marker(place, { icon, interactive: false, keyboard: false });
}

function source_of(handoff, model) {
  const plan = handoff.plan?.relocations?.[0]?.source;
  const planned = plan && model.me_hosts().get(plan)?.[0];
  return planned ?? model.locations.get(handoff.ue)?.cell;
}

/** Points around a cell; near enough to the sphere for what a cell reaches. */
function circle({ lat, lon }, radius_m) {
  const reach_deg = (radius_m / EARTH_M) * (180 / Math.PI);
  return Array.from({ length: HULL_POINTS }, (_, index) => {
    const angle = (2 * Math.PI * index) / HULL_POINTS;
    return [
      lat + reach_deg * Math.cos(angle),
      lon + (reach_deg * Math.sin(angle)) / Math.cos((lat * Math.PI) / 180),
    ];
  });
}

/** The convex hull (Andrew's monotone chain). */
function hull(points) {
  const sorted = [...points].sort((a, b) => a[1] - b[1] || a[0] - b[0]);
  const turn = (o, a, b) => (a[1] - o[1]) * (b[0] - o[0]) - (a[0] - o[0]) * (b[1] - o[1]);
  const half = (ordered) => {
    const chain = [];
    for (const point of ordered) {
      while (chain.length > 1 && turn(chain.at(-2), chain.at(-1), point) <= 0) chain.pop();
      chain.push(point);
    }
    return chain.slice(0, -1);
  };
  return [...half(sorted), ...half(sorted.reverse())];
}

/** A bow from one cell to another, beside the straight way that the backbone takes. */
function arc(source, target) {
  const [north, east] = [target.lat - source.lat, target.lon - source.lon];
  return Array.from({ length: 25 }, (_, index) => {
    const part = index / 24;
    const bend = 0.35 * Math.sin(Math.PI * part);
    return [source.lat + part * north + bend * east * 0.6, source.lon + part * east - bend * north * 0.6];
  });
}
