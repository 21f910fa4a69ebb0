# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The phases of one relocation on the axis of time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from . import units
from .canvas import NEUTRAL, SHADE, WIDTH_INCHES, Style, at_end, titled_rows

Json = dict[str, Any]
Row = tuple[str, float, float, bool]
"""Name, begin and duration in seconds, and whether it is of the critical section."""

# Times of the record are rounded to microseconds.
_RESOLUTION_S = 1e-5
_ROOM_FOR_LABELS = 1.14
_CRITICAL = "hold to switch"


def timeline(shown: Json, look: Style) -> Figure:
    """All phases in seconds, and those of the critical section in milliseconds."""
    phases, critical = shown["phases"], shown["critical"]
    inside = [phase for phase in phases if critical and _within(phase, critical)]
    outer = _outer(phases, inside, critical)
    heights = [0.75 + 0.22 * len(outer), 0.75 + 0.22 * len(inside)]
    if not inside:
        figure = Figure(figsize=(WIDTH_INCHES, heights[0]), layout="constrained")
        _bars(figure.subplots(), outer, look, 1)
        return figure
    figure = Figure(figsize=(WIDTH_INCHES, sum(heights)), layout="constrained")
    above, below = figure.subplots(2, 1, gridspec_kw={"height_ratios": heights})
    begin_s, end_s = critical["start_s"], critical["end_s"]
    _bars(above, outer, look, 1, (begin_s, end_s))
    above.set_xlabel("Time since the handoff message (s)")
    zoomed = [(p["name"], p["start_s"] - begin_s, p["duration_s"], True) for p in inside]
    _bars(below, zoomed, look, 1000, (0, end_s - begin_s))
    below.set_xlabel("Time since the hold (ms)")
    return figure


def _within(phase: Json, critical: Json) -> bool:
    begins_s, ends_s = phase["start_s"], phase["start_s"] + phase["duration_s"]
    return bool(
        begins_s >= critical["start_s"] - _RESOLUTION_S
        and ends_s <= critical["end_s"] + _RESOLUTION_S
    )


def _outer(phases: Sequence[Json], inside: Sequence[Json], critical: Json | None) -> list[Row]:
    """All phases, those of the critical section as one."""
    rows = [(p["name"], p["start_s"], p["duration_s"], False) for p in phases if p not in inside]
    if critical and inside:
        begin_s, end_s = critical["start_s"], critical["end_s"]
        rows.append((_CRITICAL, begin_s, end_s - begin_s, True))
    return sorted(rows, key=lambda row: row[1])


def _bars(
    axes: Axes,
    rows: Sequence[Row],
    look: Style,
    per_s: float,
    shaded_s: tuple[float, float] | None = None,
) -> None:
    """A bar a row, with its duration behind it; the critical section is shaded.

    `per_s` is what a second is on the axis.
    """
    if shaded_s:
        axes.axvspan(shaded_s[0] * per_s, shaded_s[1] * per_s, color=SHADE, linewidth=0, zorder=0.1)
    for row, (_, begin_s, duration_s, critical) in enumerate(rows):
        color = look.color if critical else NEUTRAL
        axes.barh(
            row,
            duration_s * per_s,
            0.62,
            begin_s * per_s,
            color=color,
            edgecolor=color,
            linewidth=0.8,
        )
        at_end(axes, (begin_s + duration_s) * per_s, row, units.seconds(duration_s))
    end_s = max(begin_s + duration_s for _, begin_s, duration_s, _ in rows)
    axes.set_xlim(0, end_s * per_s * _ROOM_FOR_LABELS or 1)
    titled_rows(axes, [name for name, *_ in rows])
