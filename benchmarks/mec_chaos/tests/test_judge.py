# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A run is judged by what was seen: each thing that may be wrong is found."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from mec_chaos.beats import Overlap
from mec_chaos.history import SLOTS, Write, slot_of
from mec_chaos.judge import Seen, judge

BOUND_S = 30.0


def record(outcome: str, **more: Any) -> dict[str, Any]:
    return {"outcome": outcome, "source": "worker1", "target": "worker2", **more}


def seen(**other: Any) -> Seen:
    """A handoff from worker1 to worker2 that a fault has met at 10 s, and that was completed."""
    journal, writes = b"", []
    for number in range(200):
        journal += f"{number}\n".encode()
        at_s = number / 10
        instance = "a" if at_s < 10 else "b"
        writes.append(Write(f"{number}", at_s, at_s + 0.05, instance, len(journal)))
    held = [""] * SLOTS
    for write in writes:
        held[slot_of(write.entry)] = write.entry
    well = Seen(
        kinds=["cut"],
        source="worker1",
        target="worker2",
        writes=writes,
        journal=journal,
        slots={"file": held, "mapped": held},
        complaints=[],
        overlaps=[],
        beating={"a": "worker1", "b": "worker2"},
        faults_ended_s=10.0,
        until_s=20.0,
        records=[record("completed")],
        told=True,
        survey={"worker1": None, "worker2": {"state": "serving"}},
        gateways={"worker1": "worker2", "worker2": "worker2"},
    )
    return dataclasses.replace(well, **other)


def test_a_run_that_ended_well_has_not_failed() -> None:
    verdict = judge(seen(), BOUND_S)
    assert not verdict.failed, verdict.wrong
    assert verdict.serves_on == "worker2"
    assert verdict.acknowledged == 200
    assert verdict.away_s is not None and verdict.away_s < 0.2


@pytest.mark.parametrize(
    ("wrong", "other"),
    [
        ("lost", {"journal": seen().journal.replace(b"7\n", b"", 1)}),
        ("twice", {"journal": seen().journal + b"7\n"}),
        ("stale", {"slots": {"file": [""] * SLOTS}}),
        ("two_writers", {"overlaps": [Overlap("a", "b", 1.0, 2.0)]}),
        ("churn", {"complaints": ["whole-1 has 2 of 5 files"]}),
        ("down", {"until_s": 25.0}),
        ("down", {"until_s": 60.0, "writes": [*seen().writes, Write("x", 55, 60, "b", 1)]}),
        ("record", {"records": [record("aborted")]}),
        ("record", {"records": []}),
        ("record", {"records": [record("uncertain")]}),
        ("record", {"records": [record("completed"), record("aborted")]}),
        ("record", {"survey": {"worker1": None, "worker2": {"state": "prepared"}}}),
        (
            "record",
            {"survey": {"worker1": {"state": "relocating"}, "worker2": {"state": "serving"}}},
        ),
        ("record", {"gateways": {"worker1": None, "worker2": "worker2"}}),
        ("record", {"until_s": 25.0}),
        ("blind", {"beating": {"a": "worker1"}}),
        ("blind", {"writes": []}),
    ],
)
def test_what_is_wrong_is_found(wrong: str, other: dict[str, Any]) -> None:
    assert wrong in judge(seen(**other), BOUND_S).wrong


def test_what_never_began_needs_no_record() -> None:
    here = {"worker1": {"state": "serving"}, "worker2": None}
    back = {"worker1": "worker1", "worker2": "worker1"}
    beating = {"a": "worker1", "b": "worker1"}
    stayed = seen(records=[], told=False, survey=here, gateways=back, beating=beating)
    assert not judge(stayed, BOUND_S).failed


def test_what_was_uncertain_and_ended_since_has_a_record_of_it() -> None:
    assert not judge(seen(records=[record("uncertain"), record("completed")]), BOUND_S).failed


def test_a_power_cut_may_take_what_was_never_synced() -> None:
    assert not judge(seen(kinds=["power"], complaints=["half of it"]), BOUND_S).failed
