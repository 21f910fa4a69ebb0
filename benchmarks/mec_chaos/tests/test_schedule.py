# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Schedules: the same seed, the same faults; and all that is to be drawn is drawn."""

from __future__ import annotations

import json

from mec_chaos.schedule import CHANGES, KINDS, TWO_FAULTS, Schedule, draw, seed_of

HAS = ("disks", "clock")
MANY = range(2000)


def drawn(platform: str = "docker", has: tuple[str, ...] = HAS) -> list[Schedule]:
    return [draw(seed, platform, has) for seed in MANY]


def test_a_seed_is_a_schedule() -> None:
    assert drawn() == drawn()
    assert len(set(drawn())) > len(MANY) * 0.99


def test_seeds_come_from_the_commit_and_the_number() -> None:
    seeds = {seed_of(commit, number) for commit in ("abc", "abd") for number in range(100)}
    assert len(seeds) == 200
    assert seed_of("abc", 1) == seed_of("abc", 1)


def test_a_schedule_that_was_kept_is_the_same() -> None:
    for schedule in drawn():
        assert Schedule.from_json(json.loads(json.dumps(schedule.as_json()))) == schedule


def test_every_kind_is_drawn_where_it_is_known() -> None:
    for platform in ("docker", "kubernetes"):
        kinds = {fault.kind for schedule in drawn(platform) for fault in schedule.faults}
        assert kinds == {name for name, kind in KINDS.items() if platform in kind.platforms}


def test_what_the_testbed_lacks_is_not_drawn() -> None:
    kinds = {fault.kind for schedule in drawn(has=()) for fault in schedule.faults}
    assert kinds == {
        name for name, kind in KINDS.items() if "docker" in kind.platforms and not kind.needs
    }


def test_a_third_of_the_runs_has_two_faults() -> None:
    two = sum(len(schedule.faults) == 2 for schedule in drawn()) / len(MANY)
    assert abs(two - TWO_FAULTS) < 0.04


def test_moments_lie_before_the_cutover_and_after_it_and_close_to_each_change() -> None:
    moments = [fault.moment for schedule in drawn() for fault in schedule.faults]
    anywhere = [moment.fraction for moment in moments if not moment.change]
    assert min(anywhere) < 0.02 and max(anywhere) > 1.0
    assert {(moment.host, moment.change) for moment in moments if moment.change} == {
        (host, change) for host, changes in CHANGES.items() for change in changes
    }


def test_faults_last_within_their_bounds() -> None:
    for schedule in drawn("kubernetes"):
        for fault in schedule.faults:
            least_s, most_s = KINDS[fault.kind].lasts_s
            assert least_s <= fault.lasts_s <= most_s
            assert fault.place in KINDS[fault.kind].places


def test_kinds_can_be_chosen() -> None:
    schedules = [draw(seed, "docker", (), ["cut"]) for seed in range(20)]
    assert {fault.kind for schedule in schedules for fault in schedule.faults} == {"cut"}
