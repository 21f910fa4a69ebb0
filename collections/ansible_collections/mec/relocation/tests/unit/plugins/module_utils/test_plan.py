# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plan: from a handoff message and a situation to what is to be done."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.mec.relocation.plugins.module_utils.errors import RelocationError
from ansible_collections.mec.relocation.plugins.module_utils.plan import (
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
                **more,
            }
        }
    }


def decide(
    status: str | None = None,
    worker1: dict[str, Any] | None = None,
    worker2: dict[str, Any] | None = None,
    **message: Any,
) -> Plan:
    situation = Situation(
        cells=CELLS,
        ues={"ue1": {"cell": "cell1"}},
        me_hosts={"worker1": worker1 or host("serving"), "worker2": worker2 or host()},
        apps=["videoapp"],
    )
    asked = {"ue": "ue1", "target_cell": "cell2", "ho_status": status, **message}
    return plan(Message(**asked), situation, "new")


PREPARED = host("prepared", handoff="earlier")


@pytest.mark.parametrize(
    ("status", "target", "move_ue", "prepare", "execute", "clean", "handoff"),
    [
        (None, host(), True, True, True, (), "new"),
        (None, PREPARED, True, True, True, (), "earlier"),
        ("in_preparation", host(), False, True, False, (), "new"),
        ("IN_PREPARATION", PREPARED, False, True, False, (), "earlier"),
        ("IN_EXECUTION", PREPARED, True, False, True, (), "earlier"),
        ("IN_EXECUTION", host(), True, True, True, (), "new"),
        ("CANCELLED", PREPARED, False, False, False, ("worker2",), "earlier"),
        ("REJECTED", PREPARED, False, False, False, ("worker2",), "earlier"),
        ("CANCELLED", host(), False, False, False, (), "new"),
        ("COMPLETED", PREPARED, False, False, False, (), "earlier"),
    ],
)
def test_the_message_decides(
    status: str | None,
    target: dict[str, Any],
    move_ue: bool,
    prepare: bool,
    execute: bool,
    clean: tuple[str, ...],
    handoff: str,
) -> None:
    decided = decide(status, worker2=target)
    [relocation] = decided.relocations
    assert decided.move_ue == move_ue
    assert (relocation.prepare, relocation.execute) == (prepare, execute)
    assert relocation.clean == clean
    assert relocation.handoff == handoff
    assert (relocation.source, relocation.target) == ("worker1", "worker2")
    assert "videoapp" in relocation.reason or "handoff" in relocation.reason


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
        ({"status": "soon"}, "ho_status 'soon' is not one of"),
        ({"apps": ("other",)}, "App 'other' is not declared"),
        ({"apps": ("../x",)}, "not a DNS label"),
        ({"worker2": {"unreachable": True, "msg": "timed out"}}, "worker2 does not answer: timed"),
        ({"worker1": {"unreachable": True, "msg": "x"}}, "serves on no ME host that answers"),
        ({"worker1": host()}, "serves nowhere"),
        ({"worker2": host("serving")}, "serves on several ME hosts: worker1, worker2"),
        ({"worker1": host("relocating")}, "settle.yml -e app=videoapp"),
        ({"worker2": host(lease={"owner": "other"})}, "is being relocated by handoff other"),
    ],
)
def test_what_stands_in_the_way_is_named(given: dict[str, Any], words: str) -> None:
    with pytest.raises(RelocationError, match=words):
        decide(**given)


def test_a_handoff_may_go_on_under_its_own_lease() -> None:
    assert decide("in_execution", worker2=host("prepared", handoff="a", lease={"owner": "a"}))


@given(
    st.sampled_from([None, "in_preparation", "in_execution", "completed", "cancelled"]),
    st.sampled_from(["absent", "prepared", "serving", "relocating"]),
    st.sampled_from(["absent", "prepared", "serving", "relocating"]),
)
def test_nothing_is_executed_but_from_the_one_that_serves(
    status: str | None, first: str, second: str
) -> None:
    try:
        decided = decide(
            status, worker1=host(first, handoff="a"), worker2=host(second, handoff="a")
        )
    except RelocationError:
        return
    [relocation] = decided.relocations
    states = {"worker1": first, "worker2": second}
    if relocation.execute or relocation.prepare:
        assert states[relocation.source] == "serving"
        assert relocation.source != relocation.target
    for cleaned in relocation.clean:
        assert states[cleaned] == "prepared"
