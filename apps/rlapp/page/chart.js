// Downtime and longest gap of every relocation, beside what the paper measured.

import uPlot from "./uplot.js";
import { duration } from "./units.js";

// The mean of Table 4.
const PAPER_S = 0.514;
const SHOWN = 200;
const LEGEND_PX = 26;
const MARGIN_PX = 6;

export class ChartView {
  constructor(container, note, model) {
    this.container = container;
    this.note = note;
    this.model = model;
    this.plot = null;
    new ResizeObserver(() => this.resize()).observe(container);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      this.plot?.destroy();
      this.plot = null;
      this.render();
    });
  }

  render() {
    const measured = this.model.relocations.filter((record) => record.downtime_s > 0).slice(-SHOWN);
    const milliseconds = (time_s) => (time_s > 0 ? time_s * 1000 : null);
    this.data = [
      measured.map((record) => record.number),
      measured.map((record) => milliseconds(record.downtime_s)),
      measured.map((record) => milliseconds(record.client?.longest_gap_s)),
      measured.map(() => PAPER_S * 1000),
    ];
    this.container.dataset.points = measured.length;
    this.note.textContent = measured.length > 0 ? "" : "No relocation yet.";
    this.container.classList.toggle("nothing", measured.length === 0);
    if (measured.length === 0) return;
    if (this.plot) this.plot.setData(this.data);
    else this.create();
  }

  create() {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    const axis = { stroke: colour("--quiet"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false } };
    const value = (_plot, number) => (number === null || number === undefined ? "–" : duration(number / 1000));
    const series = (label, name, options = {}) => ({
      label, value, stroke: colour(name), width: 1.5,
      points: { show: true, size: 6, fill: colour(name), stroke: colour(name) }, ...options,
    });
    const round = (number) => (Number.isInteger(number) ? String(number) : "");
    const power = (time_ms) => {
      if (Math.log10(time_ms) % 1 !== 0) return "";
      return time_ms < 1000 ? `${time_ms} ms` : `${time_ms / 1000} s`;
    };
    this.plot = new uPlot({
      ...this.space(),
      padding: [8, 8, 0, 0],
      cursor: { y: false },
      scales: {
        x: { time: false, range: (_plot, low, high) => [low - 0.5, high + 0.5] },
        y: { distr: 3, range: (_plot, low, high) => [10 ** Math.floor(Math.log10(low)), 10 ** Math.ceil(Math.log10(high * 1.05))] },
      },
      axes: [
        { ...axis, size: 26, incrs: [1, 2, 5, 10, 20, 50, 100], values: (_plot, ticks) => ticks.map(round) },
        { ...axis, size: 60, values: (_plot, ticks) => ticks.map(power) },
      ],
      series: [
        { label: "No", value: (_plot, number) => number ?? "–" },
        series("downtime", "--accent"),
        series("longest gap", "--gap", { width: 0 }),
        series("paper", "--quiet", { dash: [5, 5], width: 1, points: { show: false } }),
      ],
    }, this.data, this.container);
  }

  space() {
    const legend_px = this.plot?.root.querySelector(".u-legend").offsetHeight ?? LEGEND_PX;
    return {
      width: this.container.clientWidth - 2 * MARGIN_PX,
      height: Math.max(110, this.container.clientHeight - legend_px - MARGIN_PX),
    };
  }

  resize() {
    this.plot?.setSize(this.space());
  }
}
