# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The checker of beats finds two writers, and none in a handoff that is as it should be."""

from __future__ import annotations

from mec_chaos.beats import overlaps

BEAT_S = 0.005


def beating(instance: str, from_s: float, to_s: float) -> list[tuple[str, float]]:
    count = round((to_s - from_s) / BEAT_S)
    return [(instance, from_s + number * BEAT_S) for number in range(count)]


def test_one_after_the_other_is_a_handoff() -> None:
    assert overlaps(beating("a", 0, 1) + beating("b", 1.01, 2)) == []
    assert overlaps(beating("b", 1.01, 2) + beating("a", 0, 1)) == []


def test_both_at_once_are_two_writers() -> None:
    found = overlaps(beating("a", 0, 1) + beating("b", 0.9, 2))
    assert found
    assert abs(found[0].from_s - 0.9) < BEAT_S and abs(found[0].to_s - 1) < 2 * BEAT_S


def test_a_blink_is_enough() -> None:
    assert overlaps([*beating("a", 0, 1), ("b", 0.5012)])


def test_a_source_that_goes_on_when_the_target_is_dead_is_one_writer() -> None:
    assert overlaps(beating("a", 0, 1) + beating("b", 1.5, 2) + beating("a", 2.5, 3)) == []


def test_a_source_that_goes_on_beside_the_target_is_another_writer() -> None:
    stood_still = beating("a", 0, 1) + beating("a", 1.5, 1.6)
    assert overlaps([*stood_still, *beating("b", 1.2, 3)])


def test_turns_of_two_that_never_overlap_are_two_writers() -> None:
    turns = [*beating("a", 0, 0.2), *beating("a", 2, 2.2), *beating("b", 1, 1.2)]
    assert overlaps(turns) == []
    assert overlaps([*turns, *beating("b", 3, 3.2)])


def test_three_instances_are_compared_with_each_other() -> None:
    found = overlaps(beating("a", 0, 1) + beating("b", 2, 3) + beating("c", 2.5, 4))
    assert {(each.first, each.second) for each in found} == {("b", "c")}
