# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The checker of histories finds what it is there for, and nothing in what is well."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from mec_chaos.history import SLOTS, Write, away_s, complaints, slot_of, stale


def app(count: int) -> tuple[list[Write], bytes]:
    """Entries one after the other, all acknowledged, and the journal of them."""
    journal, writes = b"", []
    for number in range(count):
        journal += f"{number}\n".encode()
        writes.append(Write(f"{number}", number, number + 0.5, "one", len(journal)))
    return writes, journal


def without(write: Write) -> Write:
    return Write(write.entry, write.sent_s, write.ended_s)


def test_nothing_is_wrong_with_what_is_well() -> None:
    assert complaints(*app(50)) == {}


@given(st.integers(0, 19))
def test_an_acknowledged_entry_that_is_not_there_is_lost(number: int) -> None:
    writes, journal = app(20)
    assert complaints(writes, journal.replace(f"{number}\n".encode(), b"", 1))["lost"]


def test_an_entry_that_was_not_acknowledged_may_be_there_or_not() -> None:
    writes, journal = app(20)
    assert complaints([*writes[:-1], without(writes[-1])], journal) == {}
    assert complaints([*writes[:-1], without(writes[-1])], journal[: -len("19\n")]) == {}


def test_what_was_lost_and_written_over_is_lost_and_moved() -> None:
    writes, journal = app(20)
    # The last five are gone, and others went on from there.
    later = [Write(f"x{n}", 30 + n, 30.5 + n, "two", 0) for n in range(3)]
    found = complaints([*writes, *later], journal[: -len("15\n") * 5] + b"x0\nx1\nx2\n")
    assert found["lost"] == ["15", "16", "17", "18", "19"]
    assert len(found["moved"]) == 3


def test_an_entry_that_is_there_twice_was_executed_twice() -> None:
    writes, journal = app(20)
    assert complaints(writes, journal + b"7\n")["twice"] == ["7"]
    unacknowledged = [*writes[:7], without(writes[7]), *writes[8:]]
    assert complaints(unacknowledged, journal + b"7\n")["twice"] == ["7"]


def test_an_entry_before_one_that_was_acknowledged_before_it_was_sent_is_out_of_order() -> None:
    first, second = Write("a", 0, 1, "one", 4), Write("b", 2, 3, "one", 2)
    assert complaints([first, second], b"b\na\n")["order"] == ["b"]


def test_entries_that_were_under_way_together_may_stand_either_way() -> None:
    first, second = Write("a", 0, 2, "one", 4), Write("b", 1, 3, "one", 2)
    assert complaints([first, second], b"b\na\n") == {}


def test_a_line_that_nobody_has_sent_is_strange() -> None:
    writes, journal = app(3)
    assert complaints(writes, journal + b"other\n")["strange"] == ["other"]


def test_what_a_crash_has_cut_short_is_not_strange() -> None:
    writes, journal = app(3)
    assert complaints([*writes, Write("9-17", 5, 6)], journal + b"9-1\n") == {}


def slots_of(entries: list[str]) -> list[str]:
    held = [""] * SLOTS
    for entry in entries:
        held[slot_of(entry)] = entry
    return held


def test_a_slot_with_an_older_entry_is_stale() -> None:
    writes, journal = app(200)
    entries = [write.entry for write in writes]
    assert stale(writes, journal, {"file": slots_of(entries), "mapped": slots_of(entries)}) == []
    old = slots_of(entries[:100])
    found = stale(writes, journal, {"file": slots_of(entries), "mapped": old})
    assert found and all(each.startswith("mapped slot") for each in found)


def test_a_slot_may_be_ahead_of_what_was_acknowledged() -> None:
    writes, journal = app(200)
    held = slots_of([write.entry for write in writes])
    assert stale([*writes[:100], *map(without, writes[100:])], journal, {"file": held}) == []


def test_how_long_it_was_away_is_the_longest_gap_since_then() -> None:
    writes = [Write(f"{n}", at_s - 0.1, at_s, "one", 1) for n, at_s in enumerate((0, 5, 6, 6.5))]
    assert away_s(writes, 4.0, 7.0) == 1.0
    assert away_s(writes, 1.0, 7.0) == 4.0
    assert away_s(writes, 1.0, 9.0) is None
