// All relocations: the columns of the paper's Table 4, and what a user noticed.

import { ask_signed_in } from "/open/api.js";
import { element, Keyed } from "./dom.js";
import { scenario_name } from "./handoffs.js";
import { duration } from "./units.js";

const SHOWN = 100;
const MORE = 1000;

export class RelocationsView {
  constructor(body, more, model, act) {
    this.model = model;
    this.more = more;
    this.shown = SHOWN;
    this.rows = new Keyed(body, () => new Row());
    more.addEventListener("click", () =>
      act(more, async () => {
        this.shown = MORE;
        this.model.add_relocations(await ask_signed_in("GET", `/api/relocations?limit=${MORE}`));
      }),
    );
  }

  render() {
    const { relocations } = this.model;
    const shown = relocations.slice(-this.shown).reverse();
    this.rows.show(shown, (record) => record.number);
    // Numbers begin at 1.
    this.more.hidden = shown.length === 0 || shown.at(-1).number === 1 || this.shown === MORE;
  }
}

/** A record changes once at the most: when it was uncertain, and it is known how it ended. */
class Row {
  constructor() {
    this.node = element("tr");
    this.drawn = null;
  }

  update(record) {
    if (record === this.drawn) return;
    this.drawn = record;
    const cell = (text, className = "") => element("td", { className }, text);
    const instance = (seen) => element("td", {},
      element("span", { className: "name" }, seen?.name ?? "–"),
      element("span", { className: "mono quiet" }, seen?.address ?? ""));
    const outcome = element("span", { className: "badge", "data-kind": record.outcome }, record.outcome);
    const told = [record.error, record.fallback, record.warning].filter(Boolean).join("; ");
    if (told) outcome.title = told;
    this.node.replaceChildren(
      element("th", { scope: "row", className: "number" }, String(record.number)),
      cell(duration(record.downtime_s), "number strong"),
      instance(record.source_instance),
      instance(record.target_instance),
      cell(scenario_name(record.scenario)),
      element("td", {}, outcome, told ? element("span", { className: "unseen" }, told) : null),
      cell(duration(record.client?.longest_gap_s), "number"),
      element("td", { className: "number", title: requests(record.client) },
        record.client ? String(record.client.failed) : "–"));
  }
}

function requests(client) {
  return client ? `of ${client.requests} requests` : "not watched";
}
