# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plots of the report, drawn from what summary.json holds."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from . import units
from .canvas import (
    INK,
    WIDTH_INCHES,
    Style,
    at_end,
    fill,
    plain_log,
    render,
    rows_figure,
    style,
    titled_rows,
)
from .timeline import timeline

Json = dict[str, Any]

# From this ratio of the largest value to the smallest on, a linear axis hides the small ones.
_LOG_FROM_RATIO = 10
# What the clock of the samples resolves; a logarithmic axis has no zero.
_CLOCK_MS = 0.001
_BELOW = "Below, the critical section (hold to switch), in which no instance serves."


@dataclass(frozen=True)
class Plot:
    """A plot of the report. `name` is that of its file, without a suffix."""

    name: str
    caption: str
    svg: str


def plots(summary: Json) -> list[Plot]:
    """All plots for which there are figures, in the order of the report."""
    series = [each for each in summary["series"] if each["outcomes"]["completed"]]
    paper_s = summary["paper"]["mean_downtime_s"]
    found = []
    if series:
        found += [
            Plot(
                "downtime",
                "Downtime of every completed relocation (points), its median (bar) and the "
                "95\u00a0% interval of the median (whiskers); dashed: the paper's mean, on another "
                "machine.",
                render(lambda: _downtime(series, paper_s)),
            )
        ]
    if any(each["gaps"]["count"] for each in series):
        found.append(
            Plot(
                "gaps",
                "Time between successive successful answers at the UE, all completed relocations "
                "together: the share that is not longer (left), and the share that is at least as "
                "long (right), in which the tail shows. Requests that were held are answered "
                "together, hence gaps far below the interval of the probe.",
                render(lambda: _gaps(series)),
            )
        )
    for index, each in enumerate(series):
        if not each["timeline"]["phases"]:
            continue
        found.append(
            Plot(
                f"timeline-{each['name']}",
                f"{each['title']}: the phases of the relocation with the median downtime. "
                + (_BELOW if each["timeline"]["critical"] else ""),
                render(functools.partial(timeline, each["timeline"], style(index))),
            )
        )
    if any(phase["bytes"] for each in series for phase in each["phases"]):
        found.append(
            Plot(
                "bytes",
                "Bytes that a relocation moves, by phase: medians of completed relocations, on a "
                "logarithmic scale. Phases that move nothing are left out.",
                render(lambda: _bytes(summary["phase_order"], series)),
            )
        )
    if summary["replay"]:
        found += _of_replay(summary["replay"]["policies"])
    return found


def _of_replay(policies: Sequence[Json]) -> list[Plot]:
    found = []
    interrupted = [each for each in policies if each["downtimes_s"]]
    if interrupted:
        found.append(
            Plot(
                "replay-downtime",
                "Replay: downtime of every completed relocation by policy (points), its median "
                "(bar) and the 95\u00a0% interval of the median (whiskers).",
                render(lambda: _policy_downtime(interrupted)),
            )
        )
    if any(each["bytes"]["total"] for each in policies):
        found.append(
            Plot(
                "replay-bytes",
                "Replay: bytes that each policy moved in total, and what of them was prepared for "
                "nothing.",
                render(lambda: _policy_bytes(policies)),
            )
        )
    return found


def _downtime(series: Sequence[Json], paper_s: float) -> Figure:
    rows = [
        (
            each["title"],
            [
                r["downtime_s"]
                for r in each["repetitions"]
                if r["outcome"] == "completed" and r["downtime_s"] is not None
            ],
            each["figures"]["downtime_s"],
        )
        for each in series
    ]
    return strips(rows, "Downtime (ms)", paper_s)


def _policy_downtime(policies: Sequence[Json]) -> Figure:
    rows = [(each["title"], each["downtimes_s"], each["downtime_s"]) for each in policies]
    return strips(rows, "Downtime (ms)")


def strips(
    rows: Sequence[tuple[str, list[float], Json]], label: str, mark_s: float | None = None
) -> Figure:
    """One strip of points a row, with median and interval; values in seconds."""
    figure, axes = rows_figure(0.75 + 0.55 * len(rows) + (0.25 if mark_s else 0))
    for row, (_, values_s, spread) in enumerate(rows):
        look = style(row)
        axes.plot(
            [value * 1000 for value in values_s],
            [row + 0.15 + offset for offset in _offsets(len(values_s))],
            look.marker,
            color=look.color,
            markersize=4.5,
            markerfacecolor="none",
            alpha=0.85,
        )
        _median(axes, row, spread)
    shown = [value for _, values, _ in rows for value in values]
    lowest, highest = min(shown), max([*shown, mark_s or 0])
    if 0 < lowest * _LOG_FROM_RATIO < highest:
        axes.set_xscale("log")
        plain_log(axes, "x")
    else:
        axes.set_xlim(0, highest * 1080 or 1)
    axes.set_xlabel(label)
    titled_rows(axes, [title for title, _, _ in rows])
    if mark_s:
        axes.axvline(mark_s * 1000, color=INK, linestyle=(0, (5, 3)), linewidth=1)
        axes.annotate(
            f"the paper: {mark_s:g} s",
            (mark_s * 1000, 1),
            xycoords=("data", "axes fraction"),
            xytext=(0, 3),
            textcoords="offset points",
            ha="center",
        )
    return figure


def _offsets(count: int) -> list[float]:
    """Where points of one row stand apart, in turn above and below."""
    return [0.08 * (index % 5 - 2) if count > 1 else 0.0 for index in range(count)]


def _median(axes: Axes, row: int, spread: Json) -> None:
    median_ms = spread["median"] * 1000
    axes.plot([median_ms] * 2, [row - 0.36, row - 0.1], color=INK, linewidth=2.4)
    if spread["median_interval"]:
        low_ms, high_ms = (end * 1000 for end in spread["median_interval"])
        axes.errorbar(
            median_ms,
            row - 0.23,
            xerr=[[median_ms - low_ms], [high_ms - median_ms]],
            color=INK,
            linewidth=1.1,
            capsize=4,
        )


def _gaps(series: Sequence[Json]) -> Figure:
    figure = Figure(figsize=(WIDTH_INCHES, 3.3), layout="constrained")
    below, above = figure.subplots(1, 2)
    for index, each in enumerate(series):
        count = each["gaps"]["count"]
        if not count:
            continue
        points = each["gaps"]["points"]
        gaps_ms = [max(gap_s * 1000, _CLOCK_MS) for gap_s, _ in points]
        look = style(index)
        line: Json = {"color": look.color, "linestyle": look.line, "linewidth": 1.4}
        below.step(gaps_ms, [rank / count for _, rank in points], where="post", **line)
        above.step(
            gaps_ms,
            [(count - rank + 1) / count for _, rank in points],
            where="pre",
            marker=look.marker,
            markersize=3.5,
            markerfacecolor="none",
            markevery=_apart(gaps_ms),
            label=each["title"],
            **line,
        )
    # The tail begins behind the interval of the probe; what is below shows on the left.
    above.set_xlim(left=1)
    below.set(xscale="log", ylim=(0, 1.02), ylabel="Share of gaps not longer")
    above.set(xscale="log", yscale="log", ylabel="Share of gaps at least as long")
    for axes in (below, above):
        axes.grid(True, axis="both")
        axes.set_xlabel("Gap between answers (ms)")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    figure.legend(loc="outside upper left", ncols=len(series) if len(series) < 4 else 2)
    return figure


def _apart(gaps_ms: Sequence[float]) -> list[int]:
    """Which points get a marker: those of the tail, which lie far from all others."""
    usual_ms = gaps_ms[len(gaps_ms) // 2]
    return [index for index, gap_ms in enumerate(gaps_ms) if gap_ms > 4 * usual_ms]


def _bytes(order: Sequence[str], series: Sequence[Json]) -> Figure:
    """Bars of one thickness; a phase takes as many rows as series move something in it."""
    bars: list[tuple[float, int, float]] = []
    middles: dict[str, float] = {}
    top = 0.0
    for name in order:
        sizes = [_moved(each, name) for each in series]
        moving = [index for index, size_bytes in enumerate(sizes) if size_bytes]
        if moving:
            bars += [(top + row, index, sizes[index]) for row, index in enumerate(moving)]
            middles[name] = top + (len(moving) - 1) / 2
            top += len(moving) + 0.7
    figure, axes = rows_figure(0.9 + 0.21 * top)
    for index, each in enumerate(series):
        own = [(row, size_bytes) for row, of, size_bytes in bars if of == index]
        widths = [size_bytes for _, size_bytes in own]
        places = [row for row, _ in own]
        axes.barh(places, widths, 0.86, label=each["title"], **fill(style(index)))
    for row, _, size_bytes in bars:
        at_end(axes, size_bytes, row, units.size(size_bytes))
    axes.set_xscale("log")
    axes.set_xlim(1, max(size_bytes for _, _, size_bytes in bars) * 30)
    axes.xaxis.set_major_locator(LogLocator(base=1000))
    axes.xaxis.set_major_formatter(lambda value, _: units.size(value).replace(".0", ""))
    axes.minorticks_off()
    axes.set_xlabel("Bytes moved, median (log scale)")
    titled_rows(axes, list(middles))
    axes.set_yticks(list(middles.values()), list(middles))
    axes.set_ylim(top - 1.0, -0.9)
    if len(series) > 1:
        figure.legend(loc="outside upper left", ncols=len(series) if len(series) < 4 else 2)
    return figure


def _moved(series: Json, name: str) -> float:
    """The median bytes of a phase; 0 where a series does not have it."""
    return next((phase["bytes"] for phase in series["phases"] if phase["name"] == name), 0)


def _policy_bytes(policies: Sequence[Json]) -> Figure:
    figure, axes = rows_figure(1.15 + 0.42 * len(policies))
    parts = {
        "relocations": [each["bytes"]["relocations"] for each in policies],
        "preparations, used": [
            each["bytes"]["preparations"] - each["wasted"]["without_completion"]["bytes"]
            for each in policies
        ],
        "preparations, for nothing": [
            each["wasted"]["without_completion"]["bytes"] for each in policies
        ],
    }
    left_mb = [0.0] * len(policies)
    for index, (name, values) in enumerate(parts.items()):
        # A bar of no width would still have an edge.
        rows = [row for row, value in enumerate(values) if value]
        widths_mb = [values[row] / 1e6 for row in rows]
        begins_mb = [left_mb[row] for row in rows]
        axes.barh(rows, widths_mb, 0.6, begins_mb, label=name, **fill(_PARTS[index]))
        left_mb = [left + value / 1e6 for left, value in zip(left_mb, values, strict=True)]
    for row, each in enumerate(policies):
        at_end(axes, left_mb[row], row, units.size(each["bytes"]["total"]))
    axes.set_xlim(0, max(left_mb) * 1.15)
    axes.set_xlabel("Bytes moved (MB)")
    titled_rows(axes, [each["title"] for each in policies])
    figure.legend(loc="outside upper left", ncols=3)
    return figure


_PARTS = (
    Style("#4d4d4d", "-", "o", ""),
    Style("#56B4E9", "-", "o", "\\\\\\\\"),
    Style("#D55E00", "-", "o", "////"),
)
