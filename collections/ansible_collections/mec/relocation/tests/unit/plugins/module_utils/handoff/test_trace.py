# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Handoff traces: what is refused, and which messages a trace becomes."""

from __future__ import annotations

import pytest
from ansible_collections.mec.relocation.plugins.module_utils.ground.errors import RelocationError
from ansible_collections.mec.relocation.plugins.module_utils.handoff.trace import (
    FIELDS,
    Event,
    messages,
    read_trace,
)
from hypothesis import given
from hypothesis import strategies as st

HEADER = ",".join(FIELDS)


def read(*rows: str, header: str = HEADER) -> list[Event]:
    return read_trace([header, *rows], "t.csv", ["ue1", "ue2"], ["cell1", "cell2"])


COMMUTE = (
    "20,ue1,cell1,cell2,10,completed",
    "50,ue1,cell2,cell1,,completed",
    "80,ue1,cell1,cell2,15,cancelled",
)


@pytest.mark.parametrize(
    ("policy", "sent"),
    [
        (
            "adaptive",
            [
                (10, 1, "in_preparation"),
                (20, 1, "in_execution"),
                (50, 2, "in_execution"),
                (65, 3, "in_preparation"),
                (80, 3, "cancelled"),
            ],
        ),
        ("reactive", [(20, 1, "in_execution"), (50, 2, "in_execution")]),
    ],
)
def test_a_trace_becomes_messages(policy: str, sent: list[tuple[float, int, str]]) -> None:
    found = messages(read(*COMMUTE), policy)
    assert [(m.at_s, m.event, m.ho_status) for m in found] == sent
    assert (found[0].source_cell, found[0].target_cell) == ("cell1", "cell2")


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (["x,ue1,cell1,cell2,,completed"], "line 2, time_s: 'x' is not a number of seconds"),
        (["nan,ue1,cell1,cell2,,completed"], "line 2, time_s: 'nan' is not a number"),
        (["-1,ue1,cell1,cell2,,completed"], "line 2, time_s: '-1' is not a number"),
        (["1,ue9,cell1,cell2,,completed"], r"line 2, ue: 'ue9' is not a UE .*\(ue1, ue2\)"),
        (["1,ue1,cell9,cell2,,completed"], "line 2, source_cell: 'cell9' is not a cell"),
        (["1,ue1,cell1,cell1,,completed"], "line 2, target_cell: 'cell1' is the source cell"),
        (["9,ue1,cell1,cell2,ten,completed"], "line 2, announced_s: 'ten' is not a number"),
        (["9,ue1,cell1,cell2,10,completed"], "announced_s: '10' is before the trace begins"),
        (["9,ue1,cell1,cell2,,gone"], "ho_status: 'gone' is not how a handoff ends"),
        (["9,ue1,cell1,cell2,,cancelled"], "ho_status: 'cancelled' is said of a handoff that"),
        (["9,ue1,cell1,cell2"], "line 2: it has not as many fields"),
        (["9,ue1,cell1,cell2,,completed,more"], "line 2: it has not as many fields"),
        (["9,ue1,cell1,cell2,,completed", "8,ue2,cell1,cell2,,completed"], "line 3, time_s: '8'"),
        (
            ["9,ue1,cell1,cell2,,completed", "19,ue1,cell1,cell2,,completed"],
            "line 3, source_cell: 'cell1' is not where ue1 is since line 2",
        ),
        (
            ["9,ue1,cell1,cell2,,completed", "19,ue1,cell2,cell1,15,completed"],
            "line 3, announced_s: '15' is before the handoff of ue1 in line 2",
        ),
        ([], "has no handoff"),
    ],
)
def test_what_is_wrong_is_named_with_its_line_and_field(rows: list[str], words: str) -> None:
    with pytest.raises(RelocationError, match=words):
        read(*rows)


@pytest.mark.parametrize(
    ("header", "words"),
    [("time_s,ue", "lacks source_cell"), (HEADER + ",speed", "has speed"), ("", "lacks time_s")],
)
def test_a_wrong_header_is_refused(header: str, words: str) -> None:
    with pytest.raises(RelocationError, match=f"line 1: the header {words}"):
        read(header=header)


def test_there_is_no_other_policy() -> None:
    with pytest.raises(RelocationError, match="'bold' is not one of"):
        messages(read(*COMMUTE), "bold")


@given(st.lists(st.tuples(st.floats(1, 50), st.booleans(), st.booleans()), min_size=1, max_size=9))
def test_every_handoff_that_comes_is_executed_once_under_any_policy(
    steps: list[tuple[float, bool, bool]],
) -> None:
    rows, now_s, cell = [], 0.0, "cell1"
    for pause_s, announced, comes in steps:
        now_s += pause_s
        other = "cell2" if cell == "cell1" else "cell1"
        announced = announced or not comes
        lead = f"{pause_s / 2:.3f}" if announced else ""
        end = "completed" if comes else "cancelled"
        rows.append(f"{now_s:.6f},ue1,{cell},{other},{lead},{end}")
        cell = other if comes else cell
    events = read(*rows)
    for policy in ("adaptive", "proactive", "reactive"):
        found = messages(events, policy)
        executed = [m.event for m in found if m.ho_status == "in_execution"]
        assert executed == [e.number for e in events if e.ho_status == "completed"]
        assert [m.at_s for m in found] == sorted(m.at_s for m in found)
        prepared = {m.event for m in found if m.ho_status == "in_preparation"}
        cancelled = {m.event for m in found if m.ho_status == "cancelled"}
        assert cancelled <= prepared
