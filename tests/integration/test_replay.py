# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A trace of handoffs is replayed: what comes, what comes as a surprise, and what never comes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .conftest import PROJECT, Testbed

pytestmark = pytest.mark.testbed

HEADER = "time_s,ue,source_cell,target_cell,announced_s,ho_status\n"
TRACE = (
    HEADER
    + "2,ue1,cell1,cell2,,completed\n"
    + "20,ue1,cell2,cell1,9,cancelled\n"
    + "32,ue1,cell2,cell1,9,completed\n"
)
RUN = "test-replay"


@pytest.fixture
def folder() -> Iterator[Path]:
    results = PROJECT / "results" / RUN
    shutil.rmtree(results, ignore_errors=True)
    yield results
    shutil.rmtree(results, ignore_errors=True)


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_a_trace_is_replayed_and_reported(testbed: Testbed, folder: Path, tmp_path: Path) -> None:
    trace = tmp_path / "trace.csv"
    trace.write_text(TRACE)
    given = ("-e", f"trace={trace}", "-e", f"run={RUN}", "-e", '{"replay_policies": ["adaptive"]}')
    testbed.playbook("replay", *given)

    replayed = {line["event"]: line for line in lines(folder / "replay.jsonl")}
    records = {record["id"]: record for record in lines(folder / "relocations.jsonl")}
    prepared = {line["handoff"] for line in lines(folder / "preparations.jsonl")}
    assert [replayed[event]["ho_status"] for event in (1, 2, 3)] == [
        *("completed", "cancelled", "completed"),
    ]
    [surprise], [wasted], [announced] = (replayed[event]["handoffs"] for event in (1, 2, 3))
    assert records[surprise]["scenario"] == "reactive"
    assert records[announced]["scenario"] == "proactive"
    assert all(record["outcome"] == "completed" for record in records.values())
    assert wasted not in records
    assert prepared == {wasted, announced}
    assert testbed.where("videoapp") == {"worker1": "serving", "worker2": "retired"}

    summary = json.loads((folder / "summary.json").read_text())
    [policy] = summary["replay"]["policies"]
    assert policy["wasted"]["in_vain"]["handoffs"] == 1
    assert "Announced, never came" in (folder / "report.html").read_text()

    # What a named run has done already is not done again.
    testbed.playbook("replay", *given)
    assert len(lines(folder / "replay.jsonl")) == 3


def test_a_malformed_trace_runs_nothing(testbed: Testbed, folder: Path, tmp_path: Path) -> None:
    trace = tmp_path / "trace.csv"
    trace.write_text(HEADER + "2,ue1,cell1,cell2,,completed\n9,ue1,cell1,cell2,,completed\n")
    before = testbed.where("videoapp")
    said = testbed.refused("replay", "-e", f"trace={trace}", "-e", f"run={RUN}")
    assert "trace.csv, line 3, source_cell: 'cell1' is not where ue1 is since line 2" in said
    assert testbed.where("videoapp") == before
    assert not folder.exists()
