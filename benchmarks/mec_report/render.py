# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report as files: summary.json, report.md, report.html and plots/*.svg."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

from . import tables, units
from .canvas import inline
from .definitions import definitions
from .plots import Plot, plots

Json = dict[str, Any]


def write(folder: Path, summary: Json) -> list[Path]:
    """Write the report of a folder into it; returns the files. Raises OSError."""
    drawn = plots(summary)
    return write_files(folder, summary, drawn, markdown(summary, drawn), html(summary, drawn))


def write_files(
    folder: Path, summary: Json, drawn: Sequence[Plot], markdown: str, html: str
) -> list[Path]:
    """Write what a report consists of into a folder; returns the files. Raises OSError."""
    contents = {"summary.json": json.dumps(summary, indent=1, ensure_ascii=False) + "\n"}
    contents |= {f"plots/{plot.name}.svg": plot.svg for plot in drawn}
    contents |= {"report.md": markdown, "report.html": html}
    (folder / "plots").mkdir(exist_ok=True)
    for stale in (folder / "plots").glob("*.svg"):
        stale.unlink()
    for name, text in contents.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in contents]


def markdown(summary: Json, drawn: list[Plot]) -> str:
    """The report in Markdown; the plots are links to their files."""
    return as_markdown("report.md.j2", _context(summary, drawn))


def html(summary: Json, drawn: list[Plot]) -> str:
    """The report as one HTML file, with the plots in it."""
    return as_html("report.html.j2", _context(summary, drawn))


def as_markdown(template: str, context: Json, package: str = "mec_report") -> str:
    """Fill a template in; those of this package can be imported by others, too."""
    environment = _environment(package, autoescape=False)
    environment.filters["cell"] = _markdown_cell
    text = environment.get_template(template).render(context)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def as_html(template: str, context: Json, package: str = "mec_report") -> str:
    """Like `as_markdown`, for HTML."""
    environment = _environment(package, autoescape=True)
    environment.filters["inline"] = _inline
    return environment.get_template(template).render(context)


def _environment(package: str, autoescape: bool) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader(
            [jinja2.PackageLoader(name) for name in dict.fromkeys((package, "mec_report"))]
        ),
        autoescape=autoescape,  # noqa: S701, Markdown has an escape of its own
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"seconds": units.seconds, "number": units.number}
    return environment


def _context(summary: Json, drawn: list[Plot]) -> Json:
    replay, machine = summary["replay"], summary["environment"]
    return {
        "summary": summary,
        "table_4": None if summary["series_from"] == "replay" else tables.table_4(summary),
        "overview": tables.overview(summary["series"]),
        "figures": [tables.figures_of(each) for each in _measured(summary)],
        "phases": tables.phases(summary["phase_order"], _measured(summary)),
        "replay": replay and tables.replay(replay["policies"]),
        "relocations": tables.relocations(summary),
        "environment": machine and tables.environment(machine),
        "files": tables.files(summary),
        "plots": [plot for plot in drawn if not plot.name.startswith("replay-")],
        "replay_plots": [plot for plot in drawn if plot.name.startswith("replay-")],
        "definitions": definitions(summary),
    }


def _measured(summary: Json) -> list[Json]:
    return [each for each in summary["series"] if each["outcomes"]["completed"]]


def _inline(plot: Plot) -> Markup:
    return Markup(inline(plot.svg, plot.name, str(escape(plot.caption))))  # noqa: S704, own SVG


def _markdown_cell(text: str) -> str:
    """Text that stays text within a Markdown table."""
    return re.sub(r"([\\`*_<>\[\]|&#])", r"\\\1", " ".join(text.split()))
