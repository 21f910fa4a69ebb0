# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files that are replaced."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.mec.relocation.plugins.module_utils.ground import durable
from ansible_collections.mec.relocation.plugins.module_utils.ground.durable import (
    Slots,
    write_durably,
)
from hypothesis import given
from hypothesis import strategies as st

SLOT = durable._SLOT_BYTES
NOTES = st.dictionaries(
    st.text(max_size=8), st.one_of(st.integers(), st.text(max_size=20), st.none()), max_size=6
)


@pytest.fixture
def slots(tmp_path: Path) -> Slots:
    return Slots(tmp_path / "note.json")


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    write_durably(path, "one")
    write_durably(path, json.dumps({"two": 2}), mode=0o644)
    assert path.read_text() == '{"two": 2}'
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]


def test_nothing_was_written(slots: Slots) -> None:
    assert slots.read() is None


def test_what_was_written_last_is_read(slots: Slots) -> None:
    for number in range(7):
        slots.write({"number": number})
        assert Slots(slots.path).read() == {"number": number}
        assert slots.path.stat().st_size == 2 * SLOT


def test_a_change_takes_no_new_room_and_one_sync(
    slots: Slots, monkeypatch: pytest.MonkeyPatch
) -> None:
    slots.write({"number": 0})
    inode = slots.path.stat().st_ino
    synced: list[int] = []
    monkeypatch.setattr(os, "fdatasync", synced.append)
    monkeypatch.setattr(os, "fsync", lambda _file: pytest.fail("another sync"))
    slots.write({"number": 1})
    assert len(synced) == 1
    assert (slots.path.stat().st_ino, slots.path.stat().st_size) == (inode, 2 * SLOT)


@given(st.lists(NOTES, min_size=1, max_size=4), NOTES, st.integers(0, SLOT), st.binary(max_size=64))
def test_a_crash_at_any_byte_leaves_the_old_or_the_new(
    before: list[dict[str, Any]], new: dict[str, Any], cut: int, garbage: bytes
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        slots = Slots(Path(folder) / "note.json")
        for note in before:
            slots.write(note)
        old = slots.path.read_bytes()
        slots.write(new)
        written = slots.path.read_bytes()
        [at] = [at for at in (0, SLOT) if written[at : at + SLOT] != old[at : at + SLOT]]
        # Up to the cut it is the new slot; then what the disk made of it, and the old one.
        torn = (written[at : at + cut] + garbage + old[at + cut + len(garbage) : at + SLOT])[:SLOT]
        slots.path.write_bytes(old[:at] + torn + old[at + SLOT :])
        assert slots.read() in (before[-1], new)
        # It can be written on.
        slots.write({"after": 1})
        assert slots.read() == {"after": 1}


@given(st.integers(0, 2 * SLOT - 1), st.integers(1, 255))
def test_a_byte_that_has_changed_damages_one_slot_alone(at: int, by: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        slots = Slots(Path(folder) / "note.json")
        slots.write({"number": 1})
        slots.write({"number": 2})
        content = bytearray(slots.path.read_bytes())
        content[at] ^= by
        slots.path.write_bytes(content)
        # Blanks behind an object may change into others; then nothing is damaged.
        expected = [{"number": 2}] if at < SLOT else [{"number": 1}, {"number": 2}]
        assert slots.read() in expected
        assert at >= SLOT + 40 or at < SLOT or slots.read() == {"number": 1}


@pytest.mark.parametrize("size", [0, 1, SLOT - 1, SLOT, SLOT + 1])
def test_a_file_that_was_cut_off_is_damaged_or_old(slots: Slots, size: int) -> None:
    slots.write({"number": 1})
    slots.write({"number": 2})
    os.truncate(slots.path, size)
    if size >= SLOT - 1:  # but for the line feed
        assert slots.read() == {"number": 1}
    else:
        with pytest.raises(ValueError, match="neither of its two slots is whole"):
            slots.read()
    slots.write({"number": 3})
    assert slots.read() == {"number": 3}


def test_what_does_not_fit_leaves_what_was_there(slots: Slots) -> None:
    slots.write({"number": 1})
    with pytest.raises(ValueError, match="do not fit"):
        slots.write({"text": "x" * SLOT})
    assert slots.read() == {"number": 1}


def test_it_is_for_root_alone(slots: Slots) -> None:
    slots.write({})
    assert slots.path.stat().st_mode & 0o777 == 0o600
