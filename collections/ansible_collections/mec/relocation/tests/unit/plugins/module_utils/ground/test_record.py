# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The relocation record."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.mec.relocation.plugins.module_utils.ground.record import Record, settled

ENDS = {"id": "h1", "app": "videoapp", "source": "worker1", "target": "worker2"}


@pytest.mark.parametrize(
    ("completed", "outcome", "where"),
    [(True, "completed", "worker2"), (False, "aborted", "worker1")],
)
def test_what_was_uncertain_is_told_as_it_has_ended(
    completed: bool, outcome: str, where: str
) -> None:
    record = Record(0.0, [], **ENDS)
    record.outcome, record.error = "uncertain", "The host was lost."
    with record.phase("hold"):
        pass
    first: dict[str, Any] = record.to_dict()
    told = settled(first, completed=completed)
    assert told["settled"] and told["outcome"] == outcome
    assert told["error"] == f"The host was lost. It has ended since: {where} has the app."
    assert told["phases"] == first["phases"] and told["id"] == "h1"


def test_what_left_no_record_has_one_with_all_of_its_keys() -> None:
    told = settled(ENDS, completed=False)
    assert set(Record(0.0, [], **ENDS).to_dict()) <= set(told)
