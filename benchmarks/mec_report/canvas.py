# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How the plots look, and how they become SVG: the same figures give the same bytes."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from matplotlib.typing import RcKeyType

# The text of an A4 page is so wide, and nothing on it is smaller than 9 pt.
WIDTH_INCHES = 6.3
_SETTINGS: dict[RcKeyType, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": "#444444",
    "axes.grid.axis": "x",
    "axes.labelcolor": "#222222",
    "axes.labelsize": 9.5,
    "axes.linewidth": 0.7,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 9.5,
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "hatch.linewidth": 0.6,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "legend.handlelength": 2.6,
    "svg.fonttype": "path",
    "svg.hashsalt": "mec.relocation",
    "xtick.color": "#444444",
    "xtick.labelcolor": "#222222",
    "ytick.color": "#444444",
    "ytick.labelcolor": "#222222",
}
_NO_METADATA = {"Creator": None, "Date": None, "Format": None, "Type": None}


@dataclass(frozen=True)
class Style:
    """What tells one series from another, in colour and without."""

    color: str
    line: str
    marker: str
    hatch: str


# Colours of Okabe and Ito, which the colour-blind can tell apart.
_STYLES = (
    Style("#0072B2", "-", "o", ""),
    Style("#D55E00", "--", "s", "////"),
    Style("#009E73", ":", "^", "\\\\\\\\"),
    Style("#CC79A7", "-.", "D", "xxxx"),
    Style("#E69F00", "-", "v", "----"),
    Style("#56B4E9", "--", "P", "++++"),
)
NEUTRAL = "#b5b5b5"
SHADE = "#fbe9dd"
INK = "#222222"


def style(index: int) -> Style:
    """The look of the series with this place in the report."""
    return _STYLES[index % len(_STYLES)]


def render(draw: Callable[[], Figure]) -> str:
    """Draw a figure with the settings of this report; returns SVG."""
    with mpl.rc_context():
        # Settings of the user's own must not change a report.
        mpl.rcdefaults()
        mpl.rcParams.update(_SETTINGS)
        out = io.StringIO()
        draw().savefig(out, format="svg", metadata=_NO_METADATA)
    return out.getvalue()


def inline(svg: str, name: str, label: str) -> str:
    """An SVG as a part of an HTML page: no prologue, and ids that are its own.

    `label` is what a screen reader says; it holds no markup.
    """
    body = svg[svg.index("<svg") :]
    body = re.sub(r'\bid="', f'id="{name}-', body)
    body = re.sub(r'href="#', f'href="#{name}-', body)
    body = body.replace("url(#", f"url(#{name}-")
    return body.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)


def plain_log(axes: Axes, which: str) -> None:
    """Ticks of a logarithmic axis as plain numbers at 1, 2 and 5."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(ticker.LogLocator(base=10, subs=(1, 2, 5)))
    axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:,g}"))
    axis.set_minor_locator(ticker.NullLocator())


def rows_figure(height_inches: float) -> tuple[Figure, Axes]:
    """A figure as wide as the text."""
    figure = Figure(figsize=(WIDTH_INCHES, height_inches), layout="constrained")
    return figure, figure.subplots()


def fill(look: Style) -> dict[str, Any]:
    """A bar that is told from others by its hatch, too."""
    return {
        "color": look.color,
        "edgecolor": look.color,
        "hatch": look.hatch,
        "hatchcolor": "white",
        "linewidth": 0.8,
    }


def titled_rows(axes: Axes, titles: Sequence[str]) -> None:
    """Rows with names, the first on top."""
    axes.set_yticks(range(len(titles)), titles)
    axes.set_ylim(len(titles) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(True, axis="x")


def at_end(axes: Axes, x: float, y: float, text: str) -> None:
    """Write a figure behind a bar that ends at x, y."""
    axes.annotate(text, (x, y), xytext=(4, 0), textcoords="offset points", va="center")
