# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plots of a benchmark's report, with the looks of all reports."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from mec_report.canvas import plain_log, render, rows_figure, style
from mec_report.plots import Plot, strips

Json = dict[str, Any]

_HEIGHT_INCHES = 3.0
# The label of an axis, and what one of a figure's units is on it.
_AXES = {
    "longest_gap_s": ("Longest gap at the UE (ms)", 1000),
    "downtime_s": ("Median downtime of the apps (ms)", 1000),
    "backbone_bytes": ("Bytes over the backbone (MB)", 1e-6),
}
# What is drawn of a sweep, where it is not the gap alone.
_DRAWN = {"return": ("backbone_bytes",), "apps": ("downtime_s", "longest_gap_s")}


def plots(summary: Json) -> list[Plot]:
    """A strip of points where a sweep has one row; lines over its rows where it has several."""
    titles = list(summary["schemes"].values())
    found = []
    for sweep in summary["sweeps"]:
        if len(sweep["rows"]) == 1:
            found.append(_gaps(sweep))
        else:
            fields = _DRAWN.get(sweep["name"], ("longest_gap_s",))
            found += [_lines(sweep, titles, field) for field in fields]
    return [plot for plot in found if plot is not None]


def _gaps(sweep: Json) -> Plot | None:
    (row,) = sweep["rows"]
    rows = [(s["title"], s["gaps_s"], s["longest_gap_s"]) for s in row["schemes"] if s["gaps_s"]]
    if not rows:
        return None
    return Plot(
        f"{sweep['name']}-gaps",
        f"{sweep['title']}: the UE's longest gap of every round (points), its median (bar) and the "
        "95\u00a0% interval of the median (whiskers).",
        render(lambda: strips(rows, "Longest gap (ms)")),
    )


def _lines(sweep: Json, titles: Sequence[str], field: str) -> Plot | None:
    """The median of a figure over the rows, with intervals, a line a scheme."""
    if not any(scheme[field] for row in sweep["rows"] for scheme in row["schemes"]):
        return None
    label, _ = _AXES[field]
    return Plot(
        f"{sweep['name']}-{field.rpartition('_')[0].replace('_', '-')}",
        f"{sweep['title']}: {label.rpartition(' (')[0]}, medians with their 95\u00a0% intervals.",
        render(functools.partial(_line_figure, sweep, titles, field)),
    )


def _line_figure(sweep: Json, titles: Sequence[str], field: str) -> Figure:
    label, per_unit = _AXES[field]
    figure, axes = rows_figure(_HEIGHT_INCHES)
    names = [row["name"] for row in sweep["rows"]]
    for index, title in enumerate(titles):
        points = [
            (place, scheme[field])
            for place, row in enumerate(sweep["rows"])
            for scheme in row["schemes"]
            if scheme["title"] == title and scheme[field]
        ]
        if points:
            _line(axes, points, title, index, per_unit)
    axes.set_yscale("log")
    plain_log(axes, "y")
    axes.grid(True, axis="y")
    # Rows stand side by side: what they differ in may be no number, or begin with 0.
    axes.set_xticks(range(len(names)), names)
    axes.set_xlim(-0.4, len(names) - 0.6)
    axes.set_xlabel(sweep["axis"])
    axes.set_ylabel(label)
    figure.legend(loc="outside upper left", ncols=3)
    return figure


def _line(
    axes: Axes, points: Sequence[tuple[int, Json]], title: str, index: int, per_unit: float
) -> None:
    look = style(index)
    medians = [spread["median"] * per_unit for _, spread in points]
    ends = [spread["median_interval"] or (spread["median"],) * 2 for _, spread in points]
    below = [m - low * per_unit for m, (low, _) in zip(medians, ends, strict=True)]
    above = [high * per_unit - m for m, (_, high) in zip(medians, ends, strict=True)]
    axes.errorbar(
        [place for place, _ in points],
        medians,
        yerr=[below, above],
        color=look.color,
        linestyle=look.line,
        marker=look.marker,
        markersize=4.5,
        capsize=3,
        label=title,
    )
