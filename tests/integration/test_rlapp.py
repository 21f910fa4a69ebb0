# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""RLapp on its host: it hands off by itself, and tells the truth when it was killed."""

from __future__ import annotations

from typing import Any

import pytest
from mec_ue.console import Rlapp, rlapp_of
from mec_ue.testbed import TestbedError, find_ue

from .conftest import CELL_OF, ME_HOST_OF, OTHER_CELL, Testbed, soon

pytestmark = [pytest.mark.testbed, pytest.mark.both]

APP = "videoapp"
# With the looks at ME hosts on which a lease has to end first.
ENDS_WITHIN_S = 120


@pytest.fixture(scope="module")
def rlapp() -> Rlapp:
    """RLapp, as the controller reaches it."""
    return rlapp_of(find_ue("ue1"))


@pytest.fixture
def target_cell(testbed: Testbed) -> str:
    """The cell that ue1 goes to: the one in which its app does not serve."""
    begin = CELL_OF[testbed.serving(APP)]
    testbed.attach("ue1", begin)
    return OTHER_CELL[begin]


def end_of(rlapp: Rlapp, number: int) -> dict[str, Any]:
    """A handoff, when it has ended; RLapp may be away meanwhile."""
    found: dict[str, Any] = {}

    def ended() -> bool:
        try:
            found.update(rlapp.handoff(number))
        except TestbedError:
            return False
        return found["state"] not in ("queued", "running")

    assert soon(ended, ENDS_WITHIN_S), found
    return found


def test_it_hands_off(testbed: Testbed, rlapp: Rlapp, target_cell: str) -> None:
    done = end_of(rlapp, rlapp.hand_off("ue1", target_cell))
    assert (done["state"], done["error"]) == ("completed", None)
    assert testbed.serving(APP) == ME_HOST_OF[target_cell]
    assert testbed.cell("ue1") == target_cell
    (told,) = (
        found for found in rlapp.state()["relocations"] if found["rlapp_handoff"] == done["id"]
    )
    assert (told["outcome"], told["client"]["failed"]) == ("completed", 0)


@pytest.mark.parametrize("task", ["Pre-copy 2", "Relocate"])
def test_killed_in_the_middle_it_tells_the_truth(
    testbed: Testbed, rlapp: Rlapp, target_cell: str, task: str
) -> None:
    source = testbed.serving(APP)
    number = rlapp.hand_off("ue1", target_cell)
    assert soon(lambda: str(rlapp.handoff(number)["phase"]).startswith(task), ENDS_WITHIN_S)
    testbed.on("master", "pkill -KILL -f 'python -m rlapp serve'")
    done = end_of(rlapp, number)
    assert done["state"] in ("completed", "failed")
    moved = done["state"] == "completed"
    # Its app serves where it says, and nowhere else.
    assert testbed.where(APP)[ME_HOST_OF[target_cell] if moved else source] == "serving"
    assert list(testbed.where(APP).values()).count("serving") == 1
    assert testbed.leases(APP) == [None, None]
