# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Handoffs of the video service: whole, in parts, there and back, and not at all."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import CELL_OF, ME_HOST_OF, OTHER_CELL, Testbed, changed

pytestmark = [pytest.mark.testbed, pytest.mark.both]

# What a relocation moves when hardly anything has changed: lists of files, and a small database.
SMALL_BYTES = 256 * 1024


@pytest.fixture(autouse=True)
def together(testbed: Testbed) -> None:
    """The UE is in the cell of the ME host that serves it."""
    testbed.attach("ue1", CELL_OF[testbed.serving("videoapp")])


def other_cell(testbed: Testbed) -> str:
    return OTHER_CELL[testbed.cell("ue1")]


def moved_bytes(record: dict[str, Any]) -> int:
    return sum(phase["bytes"] for phase in record["phases"])


@pytest.mark.parametrize("trip", ["there", "back"])
def test_a_handoff_moves_the_ue_and_its_app(testbed: Testbed, trip: str) -> None:
    cell = other_cell(testbed)
    testbed.handoff(cell)
    (record,) = testbed.records()
    target = ME_HOST_OF[cell]
    assert record["outcome"] == "completed", trip
    assert record["target"] == target
    assert record["error"] is None
    assert record["verification"]["verified"]
    assert record["verification"]["files"] > 1
    assert testbed.cell("ue1") == cell
    assert testbed.where("videoapp")[target] == "serving"
    assert list(testbed.where("videoapp").values()).count("serving") == 1
    assert 0 < record["downtime_s"] < 2
    assert record["client"]["failed"] == 0
    assert record["client"]["requests"] > 100


def test_the_return_trip_sends_only_what_changed(testbed: Testbed) -> None:
    testbed.handoff(other_cell(testbed))
    testbed.handoff(other_cell(testbed))
    (record,) = testbed.records()
    assert record["outcome"] == "completed"
    assert moved_bytes(record) < SMALL_BYTES


def test_a_handoff_to_where_everything_is_changes_nothing(testbed: Testbed) -> None:
    output = testbed.handoff(testbed.cell("ue1"))
    assert set(changed(output).values()) == {0}


@pytest.mark.parametrize("policy", ["proactive", "reactive"])
def test_check_mode_tells_what_would_move_and_moves_nothing(testbed: Testbed, policy: str) -> None:
    cell, before = testbed.cell("ue1"), testbed.where("videoapp")
    given = ("-e", f"handoff_policy={policy}", "--check", "--diff")
    output = testbed.handoff(OTHER_CELL[cell], *given)
    assert f"+videoapp serves on {ME_HOST_OF[OTHER_CELL[cell]]}" in output
    assert f"+cell {OTHER_CELL[cell]}" in output
    assert testbed.cell("ue1") == cell
    assert testbed.where("videoapp") == before


def test_a_prepared_handoff_is_completed_later(testbed: Testbed) -> None:
    cell, target_cell = testbed.cell("ue1"), other_cell(testbed)
    target = ME_HOST_OF[target_cell]
    testbed.handoff(target_cell, "-e", "ho_status=in_preparation")
    assert testbed.cell("ue1") == cell
    assert testbed.where("videoapp") == {ME_HOST_OF[cell]: "serving", target: "prepared"}

    again = testbed.handoff(target_cell, "-e", "ho_status=in_preparation")
    assert "videoapp is kept in step" in again

    testbed.handoff(target_cell, "-e", "ho_status=in_execution")
    (record,) = testbed.records()
    assert record["outcome"] == "completed"
    assert record["client"]["failed"] == 0
    assert testbed.where("videoapp")[target] == "serving"


def test_a_cancelled_handoff_leaves_nothing_at_the_target(testbed: Testbed) -> None:
    cell, target_cell = testbed.cell("ue1"), other_cell(testbed)
    target = ME_HOST_OF[target_cell]
    testbed.handoff(target_cell, "-e", "ho_status=in_preparation")
    testbed.handoff(target_cell, "-e", "ho_status=cancelled")
    assert testbed.where("videoapp") == {ME_HOST_OF[cell]: "serving", target: "absent"}
    assert testbed.remains(target, "videoapp") == ""
    assert "videoapp" not in testbed.on(target, "ls /srv/mec/pv/")
    assert testbed.cell("ue1") == cell
    output = testbed.handoff(target_cell, "-e", "ho_status=cancelled")
    assert set(changed(output).values()) == {0}


def test_an_image_comes_straight_from_the_source(testbed: Testbed) -> None:
    target = ME_HOST_OF[other_cell(testbed)]
    # A kubelet leaves containers that have ended, which keep their images.
    testbed.on(target, "docker container prune --force && docker image prune --all --force")
    testbed.handoff(other_cell(testbed), "-e", "handoff_image_from=source")
    (record,) = testbed.records()
    assert record["outcome"] == "completed"
    [image] = [phase for phase in record["phases"] if phase["name"] == "image_sync"]
    assert image["bytes"] > 0
