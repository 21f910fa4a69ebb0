# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plan: from a handoff message and a situation to what is to be done."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.mec.relocation.plugins.module_utils.ground.errors import RelocationError
from ansible_collections.mec.relocation.plugins.module_utils.handoff.plan import (
    DECISIONS,
    Message,
    Plan,
    Situation,
    plan,
)
from hypothesis import given
from hypothesis import strategies as st

CELLS = {"cell1": {"me_host": "worker1"}, "cell2": {"me_host": "worker2"}}


def host(state: str = "absent", **more: Any) -> dict[str, Any]:
    return {
        "apps": {
            "videoapp": {
                "declaration": {"image": "videoapp:1.0", "health": "/", "volume": "/data"},
                "state": state,
                "handoff": None,
                "lease": None,
                "busy": None,
                "peer": None,
                "epoch": 1,
                **more,
            }
        }
    }


def decide(
    status: str | None = None,
    worker1: dict[str, Any] | None = None,
    worker2: dict[str, Any] | None = None,
    cell: str = "cell1",
    **message: Any,
) -> Plan:
    situation = Situation(
        cells=CELLS,
        ues={"ue1": {"cell": cell}},
        me_hosts={"worker1": worker1 or host("serving"), "worker2": worker2 or host()},
        apps=["videoapp"],
    )
    asked = {"ue": "ue1", "target_cell": "cell2", "ho_status": status, **message}
    return plan(Message(**asked), situation, "new")


PREPARED = host("prepared", handoff="earlier")


PREPARE, WHOLE, EXECUTE, NOTHING = (True, False), (True, True), (False, True), (False, False)


# Figure 6 of the paper: one line for each way through it, with where the UE is when the message
# comes. `steps` is (prepare, execute).
@pytest.mark.parametrize(
    ("status", "cell", "target", "decision", "scenario", "steps", "move_ue"),
    [
        (None, "cell1", host(), "proactive", "proactive", WHOLE, True),
        (None, "cell1", PREPARED, "continue", "proactive", WHOLE, True),
        (None, "cell2", host(), "reactive", "reactive", EXECUTE, False),
        (None, "cell2", PREPARED, "continue", "proactive", WHOLE, False),
        ("in_preparation", "cell1", host(), "proactive", "proactive", PREPARE, False),
        ("IN_PREPARATION", "cell1", PREPARED, "continue", "proactive", PREPARE, False),
        ("IN_EXECUTION", "cell1", host(), "reactive", "reactive", EXECUTE, True),
        ("IN_EXECUTION", "cell1", PREPARED, "continue", "proactive", EXECUTE, True),
        ("IN_EXECUTION", "cell2", host(), "reactive", "reactive", EXECUTE, False),
        ("COMPLETED", "cell2", host(), "reactive", "reactive", EXECUTE, False),
        ("COMPLETED", "cell2", PREPARED, "continue", "proactive", EXECUTE, False),
        ("CANCELLED", "cell1", PREPARED, "abort", "proactive", NOTHING, False),
        ("REJECTED", "cell1", PREPARED, "abort", "proactive", NOTHING, False),
        ("CANCELLED", "cell1", host(), "nothing", "proactive", NOTHING, False),
    ],
)
def test_the_message_and_what_is_prepared_decide(
    status: str | None,
    cell: str,
    target: dict[str, Any],
    decision: str,
    scenario: str,
    steps: tuple[bool, bool],
    move_ue: bool,
) -> None:
    decided = decide(status, worker2=target, cell=cell)
    [relocation] = decided.relocations
    assert decided.move_ue == move_ue
    assert (relocation.decision, relocation.scenario) == (decision, scenario)
    assert (relocation.prepare, relocation.execute) == steps
    assert relocation.clean == (("worker2",) if decision == "abort" else ())
    assert relocation.handoff == ("earlier" if target is PREPARED else "new")
    assert (relocation.source, relocation.target) == ("worker1", "worker2")
    assert "videoapp" in relocation.reason


@pytest.mark.parametrize(
    ("policy", "status", "target", "decision", "steps"),
    [
        ("proactive", "IN_EXECUTION", host(), "proactive", WHOLE),
        ("proactive", "IN_EXECUTION", PREPARED, "continue", EXECUTE),
        ("proactive", "IN_PREPARATION", host(), "proactive", PREPARE),
        ("reactive", None, host(), "reactive", EXECUTE),
        ("reactive", "IN_EXECUTION", PREPARED, "reactive", EXECUTE),
        ("reactive", "IN_PREPARATION", host(), "nothing", NOTHING),
    ],
)
def test_a_policy_decides_in_place_of_the_message(
    policy: str,
    status: str | None,
    target: dict[str, Any],
    decision: str,
    steps: tuple[bool, bool],
) -> None:
    [relocation] = decide(status, worker2=target, policy=policy).relocations
    assert relocation.decision == decision
    assert (relocation.prepare, relocation.execute) == steps


def test_a_preparation_elsewhere_is_cleaned_up() -> None:
    cells = {**CELLS, "cell3": {"me_host": "worker3"}}
    situation = Situation(
        cells=cells,
        ues={"ue1": {"cell": "cell1"}},
        me_hosts={"worker1": host("serving"), "worker2": PREPARED, "worker3": host()},
        apps=["videoapp"],
    )
    [relocation] = plan(Message("ue1", "cell3"), situation, "new").relocations
    assert (relocation.decision, relocation.clean) == ("proactive", ("worker2",))


def test_a_ue_that_has_moved_comes_from_where_the_message_says() -> None:
    decided = decide("completed", cell="cell2", source_cell="cell1")
    assert (decided.source_cell, decided.target_cell) == ("cell1", "cell2")


def test_an_app_at_its_target_stays() -> None:
    decided = decide(worker1=host(), worker2=host("serving"))
    [relocation] = decided.relocations
    assert not relocation.prepare
    assert not relocation.execute
    assert decided.move_ue


def test_a_ue_in_its_target_cell_stays() -> None:
    assert not decide(target_cell="cell1").move_ue


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"ue": "ue9"}, r"UE 'ue9' is not known \(known: ue1\)"),
        ({"target_cell": "cell9"}, r"cell 'cell9' is not known \(known: cell1, cell2\)"),
        ({"source_cell": "cell2"}, "it is in 'cell1'"),
        ({"source_cell": "cell9"}, "cell 'cell9' is not known"),
        ({"status": "soon"}, "ho_status 'soon' is not one of"),
        ({"status": "completed"}, "is completed, but it is in cell 'cell1', not in 'cell2'"),
        ({"policy": "bold"}, "policy 'bold' is not one of adaptive, proactive, reactive"),
        ({"apps": ("other",)}, "App 'other' is not declared"),
        ({"apps": ("../x",)}, "not a DNS label"),
        ({"worker2": {"unreachable": True, "msg": "timed out"}}, "worker2 does not answer: timed"),
        (
            {"worker1": {"unreachable": True, "msg": "x"}},
            "serves on no ME host that answers; worker1 .* -e keep=worker2 -e dead=worker1",
        ),
        ({"worker1": host()}, "serves nowhere"),
        ({"worker2": host("serving")}, "serves on several ME hosts: worker1, worker2"),
        (
            {"worker1": host("relocating", peer="worker2")},
            "as worker1 and worker2 reach .* -e app=videoapp -e keep=worker1 -e dead=worker2",
        ),
        (
            {"worker2": host("taking", peer="worker1")},
            "as worker2 and worker1 reach .* -e app=videoapp -e keep=worker2 -e dead=worker1",
        ),
        ({"worker1": host("relocating", busy="first")}, "being relocated by handoff first"),
        ({"worker2": host("taking", lease={"owner": "first"})}, "relocated by handoff first"),
        ({"worker2": host(lease={"owner": "other"})}, "is being relocated by handoff other"),
    ],
)
def test_what_stands_in_the_way_is_named(given: dict[str, Any], words: str) -> None:
    with pytest.raises(RelocationError, match=words):
        decide(**given)


def test_a_handoff_may_go_on_under_its_own_lease() -> None:
    assert decide("in_execution", worker2=host("prepared", handoff="a", lease={"owner": "a"}))


def test_where_two_say_that_it_serves_there_the_newer_epoch_counts() -> None:
    # worker1 has begun again, and has not heard yet that worker2 has been made the owner.
    found = decide(worker1=host("serving", epoch=1), worker2=host("serving", epoch=2))
    assert (found.relocations[0].decision, found.relocations[0].source) == ("nothing", "worker2")


STATES = ["absent", "prepared", "serving", "relocating", "taking", "retired"]


@given(
    st.sampled_from([None, "in_preparation", "in_execution", "completed", "cancelled", "rejected"]),
    st.sampled_from(["adaptive", "proactive", "reactive"]),
    st.sampled_from(["cell1", "cell2"]),
    st.sampled_from(["cell1", "cell2"]),
    st.sampled_from(STATES),
    st.sampled_from(STATES),
)
def test_whatever_is_decided_is_safe_and_is_one_of_the_five(
    status: str | None, policy: str, cell: str, target_cell: str, first: str, second: str
) -> None:
    states = {"worker1": first, "worker2": second}
    try:
        decided = decide(
            status,
            worker1=host(first, handoff="a"),
            worker2=host(second, handoff="a"),
            cell=cell,
            target_cell=target_cell,
            policy=policy,
        )
    except RelocationError:
        return
    [relocation] = decided.relocations
    assert relocation.decision in DECISIONS
    assert relocation.reason.endswith(".")
    acts = relocation.prepare or relocation.execute
    assert acts == (relocation.decision in ("proactive", "continue", "reactive"))
    if acts:
        assert states[relocation.source] == "serving"
        assert relocation.source != relocation.target
    for cleaned in relocation.clean:
        assert states[cleaned] == "prepared"
    # What is not announced cannot be prepared ahead, and what is only announced is not executed.
    if relocation.decision == "reactive":
        assert not relocation.prepare and relocation.execute
        assert policy == "reactive" or states[relocation.target] != "prepared"
    if status == "in_preparation":
        assert not relocation.execute and not decided.move_ue
    if status in ("cancelled", "rejected"):
        assert not acts and not decided.move_ue


@given(
    st.sampled_from([None, "in_preparation", "in_execution", "cancelled"]),
    st.sampled_from(["absent", "prepared"]),
)
def test_the_same_message_in_the_same_situation_is_decided_alike(
    status: str | None, second: str
) -> None:
    assert decide(status, worker2=host(second, handoff="a")) == decide(
        status, worker2=host(second, handoff="a")
    )
