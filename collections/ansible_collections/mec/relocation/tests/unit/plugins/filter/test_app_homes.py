# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where apps are to be served."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from ansible_collections.mec.relocation.plugins.filter.app_homes import FilterModule

app_homes = FilterModule().filters()["app_homes"]


def part(state: str, epoch: int = 0, copy: int = 0) -> dict[str, dict[str, Any]]:
    return {"notes": {"state": state, "epoch": epoch, "copy": copy}}


@pytest.mark.parametrize("state", ["serving", "relocating", "taking"])
def test_an_app_stays_where_it_is_owned(state: str) -> None:
    answers = {"worker1": part("retired", 5, 9), "worker2": part(state, 5, 0)}
    assert app_homes(["notes"], answers, "worker1") == {"notes": "worker2"}


def test_the_newer_of_two_owners_counts() -> None:
    # worker1 was declared dead, and has come back.
    answers = {"worker1": part("serving", 5, 5), "worker2": part("serving", 1006, 1006)}
    for hosts in itertools.permutations(answers):
        asked = {host: answers[host] for host in hosts}
        assert app_homes(["notes"], asked, "worker1") == {"notes": "worker2"}


def test_a_source_of_an_app_that_is_taken_just_now_is_still_its_home() -> None:
    answers = {"worker1": part("relocating", 5, 5), "worker2": part("taking", 4, 0)}
    assert app_homes(["notes"], answers, "worker2") == {"notes": "worker1"}


def test_an_app_that_nobody_owns_is_served_where_its_newest_volume_is() -> None:
    answers = {"worker1": part("retired", 7, 3), "worker2": part("retired", 7, 7)}
    assert app_homes(["notes"], answers, "worker1") == {"notes": "worker2"}


@pytest.mark.parametrize("answers", [{}, {"worker2": {}}, {"worker2": part("prepared")}])
def test_a_new_app_is_served_on_the_first_host(answers: dict[str, Any]) -> None:
    assert app_homes(["notes"], answers, "worker1") == {"notes": "worker1"}


def test_each_app_has_a_home_of_its_own() -> None:
    answers = {"worker2": part("serving", 1, 1)}
    assert app_homes(["notes", "other"], answers, "worker1") == {
        "notes": "worker2",
        "other": "worker1",
    }
