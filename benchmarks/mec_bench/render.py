# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report of a benchmark as files: summary.json, report.md, report.html and plots/*.svg."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mec_report.plots import Plot
from mec_report.render import as_html, as_markdown, write_files
from mec_report.tables import environment

from . import tables
from .definitions import DEFINITIONS
from .plots import plots

Json = dict[str, Any]

_ENVIRONMENT = ("run", "project", "machine", "versions")


def write(folder: Path, summary: Json) -> list[Path]:
    """Write the report of a folder into it; returns the files. Raises OSError."""
    drawn = plots(summary)
    context = _context(summary, drawn)
    markdown = as_markdown("bench.md.j2", context, "mec_bench")
    html = as_html("bench.html.j2", context, "mec_bench")
    return write_files(folder, summary, drawn, markdown, html)


def _context(summary: Json, drawn: list[Plot]) -> Json:
    return {
        "summary": summary,
        "targets": tables.targets(summary),
        "sweeps": [
            {
                "name": sweep["name"],
                "title": sweep["title"],
                "tables": [
                    table(sweep, row)
                    for table in (tables.ratios, tables.others)
                    for row in sweep["rows"]
                ],
                "plots": [plot for plot in drawn if plot.name.startswith(f"{sweep['name']}-")],
            }
            for sweep in summary["sweeps"]
        ],
        "failures": tables.failures(summary) if summary["samples"]["failed"] else None,
        "environment": environment(
            {k: summary[k] for k in ("run", "project", "machine", "versions")}
        ),
        "definitions": DEFINITIONS,
    }
