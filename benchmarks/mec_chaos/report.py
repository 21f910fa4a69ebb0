# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""chaos.jsonl as a table: by kind of fault, and the runs that failed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mec_report.table import Table, plain

Json = Mapping[str, Any]


def read(folder: Path) -> list[dict[str, Any]]:
    """The runs of a folder, as far as there are any."""
    file = folder / "chaos.jsonl"
    if not file.exists():
        return []
    # The last line may have been cut short.
    lines = file.read_text(encoding="utf-8").split("\n")[:-1]
    return [json.loads(line) for line in lines]


def by_kind(runs: Sequence[Json]) -> Table:
    """For each kind of fault: runs with it, those that failed, and how long the app was away."""
    kinds = sorted({kind for run in runs for kind in _kinds(run)})
    rows = [_row(kind, [run for run in runs if kind in _kinds(run)]) for kind in kinds]
    rows += [
        _row("two at once", [run for run in runs if len(run["faults"]) > 1]),
        _row("all", runs),
    ]
    columns = ["fault", "runs", "failed", "lost", "two writers", "longest away [s]"]
    return plain("Faults in handoffs", columns, rows)


def failures(runs: Sequence[Json]) -> Table:
    """The runs that failed, each with its seed."""
    rows = [
        (
            str(run["number"]),
            str(run["seed"]),
            run["scenario"],
            " and ".join(_told(fault) for fault in run["faults"]),
            "; ".join(f"{kind}: {found[0]}" for kind, found in run["verdict"]["wrong"].items()),
        )
        for run in runs
        if run["failed"]
    ]
    return plain(
        "Runs that failed", ["run", "seed", "scenario", "faults", "what is wrong"], rows, range(5)
    )


def as_markdown(title: str, tables: Iterable[Table]) -> str:
    """Tables as a page."""
    parts = [f"# {title}\n"]
    for table in tables:
        lines = [
            table.columns,
            tuple("---" if n in table.texts else "---:" for n in range(len(table.columns))),
        ]
        lines += [
            tuple(_cell(cell) for cell in row) for group in table.groups for row in group.all_rows
        ]
        rows = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        parts.append(f"## {table.caption}\n\n{rows}\n")
    return "\n".join(parts)


def _row(name: str, runs: Sequence[Json]) -> tuple[str, ...]:
    times = [run["verdict"]["away_s"] for run in runs]
    gone = sum(each is None for each in times)
    longest = max((each for each in times if each is not None), default=0.0)
    return (
        name,
        f"{len(runs)}",
        f"{sum(run['failed'] for run in runs)}",
        f"{_count(runs, 'lost')}",
        f"{_count(runs, 'two_writers')}",
        f"for good ({gone})" if gone else f"{longest:.2f}",
    )


def _count(runs: Sequence[Json], wrong: str) -> int:
    return sum(run["verdict"]["counts"].get(wrong, 0) for run in runs)


def _kinds(run: Json) -> set[str]:
    return {fault["kind"] for fault in run["faults"]}


def _told(fault: Json) -> str:
    return f"{fault['kind']} ({fault['place']})"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")[:200]
