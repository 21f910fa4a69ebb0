// The service's log, and the locations of UEs, with a filter.

import { element, set_options } from "./dom.js";
import { LEVELS } from "./model.js";
import { clock } from "./units.js";

const SHOWN = 400;
const NAMED = ["id", "time_s", "level", "message"];

export class LogView {
  constructor(list, form, model) {
    this.list = list;
    this.form = form;
    this.model = model;
    this.last = 0;
    form.addEventListener("input", () => this.anew());
    form.addEventListener("submit", (event) => event.preventDefault());
    list.addEventListener("scroll", () => {
      this.held = list.scrollHeight - list.scrollTop - list.clientHeight > 24;
    });
  }

  render() {
    const { elements } = this.form;
    const names = ["", ...Object.keys(this.model.ues), ...this.model.apps];
    set_options(elements.about, names, (name) => name || "all");
    this.append(this.fresh());
  }

  /** Show the log of a state, or what another filter lets through. */
  anew() {
    this.list.replaceChildren();
    this.held = false;
    this.last = 0;
    this.append(this.fresh().slice(-SHOWN));
  }

  /** What is to be shown and is not yet. */
  fresh() {
    const with_places = LEVELS.location >= Number(this.form.elements.level.value);
    const lines = this.model.log_after(this.last, with_places);
    this.last = lines.at(-1)?.id ?? this.last;
    return lines.filter((line) => this.wants(line));
  }

  append(lines) {
    this.list.append(...lines.map(line_of));
    while (this.list.childElementCount > SHOWN) this.list.firstElementChild.remove();
    // Whoever reads further up is left there.
    if (!this.held) this.list.scrollTop = this.list.scrollHeight;
  }

  wants(line) {
    const { level, about, text } = this.form.elements;
    if (LEVELS[line.level] < Number(level.value)) return false;
    if (about.value && ![line.ue, line.app].includes(about.value)) return false;
    return !text.value || words_of(line).toLowerCase().includes(text.value.toLowerCase());
  }
}

function words_of(line) {
  return [line.level, line.message, ...fields_of(line).map(([name, value]) => `${name}=${value}`)].join(" ");
}

function fields_of(line) {
  return Object.entries(line).filter(([name, value]) => !NAMED.includes(name) && value !== null);
}

function line_of(line) {
  const shown = (value) => (typeof value === "object" ? JSON.stringify(value) : String(value));
  return element("li", { "data-level": line.level },
    element("time", { dateTime: new Date(line.time_s * 1000).toISOString() }, clock(line.time_s)),
    element("span", { className: "level" }, line.level),
    element("span", { className: "words" },
      line.message,
      // Spaces are text, so that a line can be copied as it is read.
      ...fields_of(line).flatMap(([name, value]) => [
        " ", element("span", { className: "field" }, element("b", {}, `${name}=`), shown(value)),
      ])));
}
