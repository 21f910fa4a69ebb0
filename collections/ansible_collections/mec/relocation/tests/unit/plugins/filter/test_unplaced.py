# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is deployed before a handoff, because it serves nowhere."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.mec.relocation.plugins.filter.unplaced import unplaced

DECLARED = [{"name": "video"}, {"name": "notes"}]


def host(**states: str) -> dict[str, Any]:
    apps = {name: {"state": state} for name, state in states.items()}
    return {"mec_apps": DECLARED, "survey_me_host": {"apps": apps}}


@pytest.mark.parametrize(
    ("worker1", "worker2", "expected"),
    [
        (host(), host(), ["video", "notes"]),
        (host(video="serving"), host(notes="prepared"), []),
        (host(video="absent"), host(notes="serving"), ["video"]),
        (host(), {"mec_apps": DECLARED, "survey_me_host": {"unreachable": True}}, []),
        (host(), {"mec_apps": DECLARED}, []),
    ],
    ids=["nothing", "all", "one", "a host that is silent", "a host that was not asked"],
)
def test_what_no_host_has(
    worker1: dict[str, Any], worker2: dict[str, Any], expected: list[str]
) -> None:
    hostvars = {"worker1": worker1, "worker2": worker2}
    assert unplaced(hostvars, ["worker1", "worker2"]) == expected
