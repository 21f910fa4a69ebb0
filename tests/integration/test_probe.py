# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The downtime probe on a UE, against the gateways of its cells."""

from __future__ import annotations

import time
from typing import Any

import pytest

from .conftest import OTHER_CELL

pytestmark = pytest.mark.testbed

PROBE = "mec.relocation.downtime_probe"


@pytest.fixture
def probe(testbed: Any, radicale: str) -> Any:
    """Starts, stops and runs a probe of the UE."""

    def act(state: str, **arguments: Any) -> dict[str, Any]:
        if state != "stopped":
            arguments["url"] = f"{radicale}/.web/"
        result: dict[str, Any] = testbed.module(
            "ue1", PROBE, state=state, name="test", interval_s=0.02, **arguments
        )
        return result

    yield act
    act("stopped")


def test_a_service_that_serves(probe: Any) -> None:
    result = probe("run", duration_s=2)
    assert not result["changed"]
    assert (result["summary"]["failed"], result["summary"]["requests"]) == (0, 100)
    assert 0.01 < result["summary"]["longest_gap_s"] < 0.5


def test_started_twice_and_stopped_twice(testbed: Any, probe: Any) -> None:
    first, second = probe("started"), probe("started")
    assert first["changed"] and not second["changed"]
    assert first["id"] == second["id"]
    stopped, again = probe("stopped"), probe("stopped")
    assert stopped["changed"] and not again["changed"]
    assert stopped["summary"] == again["summary"]
    lines = testbed.on("ue1", f"cat {stopped['samples']}").splitlines()
    assert len(lines) - 1 == stopped["summary"]["requests"] > 10


def test_restarted_begins_anew(probe: Any) -> None:
    first = probe("started")
    time.sleep(2)
    second = probe("restarted")
    assert second["changed"] and second["id"] != first["id"]
    assert probe("stopped")["summary"]["duration_s"] < 10


def test_a_change_of_cell_costs_no_request(testbed: Any, probe: Any) -> None:
    cell = testbed.cell("ue1")
    probe("started")
    for target in (OTHER_CELL[cell], cell):
        testbed.on("ue1", f"mec-ue-attach {target}")
        time.sleep(1)
    summary = probe("stopped")["summary"]
    assert summary["failed"] == 0, summary["first_errors"]
    assert summary["longest_gap_s"] < 0.5


def test_an_outage_is_seen(testbed: Any, probe: Any) -> None:
    gateway = {"cell1": "worker1", "cell2": "worker2"}[testbed.cell("ue1")]
    probe("started")
    testbed.on(gateway, "systemctl stop haproxy.socket haproxy; sleep 0.7; systemctl start haproxy")
    time.sleep(1)
    summary = probe("stopped")["summary"]
    assert summary["failed"] > 10
    assert 0.7 < summary["longest_gap_s"] < 5
    assert summary["first_errors"]
