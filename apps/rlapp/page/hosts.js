// The ME hosts: which instances they have, and which UEs are in their cells.

import { element, Keyed, set_attribute, set_text } from "./dom.js";

export class HostsView {
  constructor(list, model) {
    this.model = model;
    this.hosts = new Keyed(list, ([name]) => new Host(name, model));
  }

  render() {
    this.hosts.show([...this.model.me_hosts()], ([name]) => name);
  }
}

class Host {
  constructor(name, model) {
    this.name = name;
    this.model = model;
    this.cells = element("span", { className: "chips" });
    this.cell_chips = new Keyed(this.cells, (cell) => new Chip(cell, model));
    this.users = element("p", { className: "quiet" });
    const instances = element("ul", { className: "instances" });
    this.instances = new Keyed(instances, () => new Instance());
    this.nothing = element("p", { className: "quiet" }, "no instance here");
    this.node = element("li", { className: "me-host" },
      element("div", { className: "row head" }, element("h3", {}, name), this.cells),
      this.users, instances, this.nothing);
  }

  update([, cells]) {
    this.cell_chips.show(cells, (cell) => cell);
    const users = [...this.model.locations.values()].filter((location) => cells.includes(location.cell));
    set_text(this.users, users.length > 0 ? users.map((user) => user.ue).join(", ") : "no UE here");
    const here = [...this.model.instances.values()].filter((seen) => seen.me_host === this.name);
    this.instances.show(here, (seen) => seen.app);
    this.nothing.hidden = here.length > 0;
  }
}

class Chip {
  constructor(cell, model) {
    this.cell = cell;
    this.model = model;
    this.node = element("span", { className: "chip", "data-tone": model.tone_of(cell) });
  }

  update() {
    const { zone, access_points } = this.model.cells[this.cell];
    const out = Object.values(access_points).every((point) => point.status === "Unserviceable");
    set_text(this.node, `${this.cell} · ${zone}${out ? " · out of service" : ""}`);
  }
}

class Instance {
  constructor() {
    this.app = element("span", { className: "app" });
    this.state = element("span", { className: "badge" });
    this.where = element("span", { className: "mono quiet" });
    this.node = element("li", {}, this.app, this.state, this.where);
  }

  update({ app, state, name, address }) {
    set_text(this.app, app);
    set_text(this.state, state);
    set_attribute(this.state, "data-kind", state);
    set_text(this.where, `${name} ${address ?? ""}`);
  }
}
