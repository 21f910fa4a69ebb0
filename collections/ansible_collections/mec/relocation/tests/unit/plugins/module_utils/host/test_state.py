# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an ME host remembers on disk."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.mec.relocation.plugins.module_utils.ground.app import App
from ansible_collections.mec.relocation.plugins.module_utils.ground.errors import RelocationError
from ansible_collections.mec.relocation.plugins.module_utils.host import state as state_module
from ansible_collections.mec.relocation.plugins.module_utils.host.owner import Note, State
from ansible_collections.mec.relocation.plugins.module_utils.host.state import (
    AppState,
    append_record,
    last_records,
)
from hypothesis import given
from hypothesis import strategies as st

APP = App.from_dict(
    {"name": "videoapp", "image": "videoapp:1.0", "port": 80, "secrets": {"PASSWORD": "x"}}
)
NOTE = Note(State.SERVING, 3, 3, 0, 3, 3, "", ("worker2", "worker3"), "h1", "videoapp-1")


def test_a_declaration_is_kept_for_root_alone(tmp_path: Path) -> None:
    kept = AppState(tmp_path, "videoapp")
    assert kept.declare(APP) is True
    assert kept.declare(APP) is False
    assert kept.declaration() == APP
    assert (kept.folder / "app.json").stat().st_mode & 0o777 == 0o600


def test_an_unknown_app_is_named(tmp_path: Path) -> None:
    with pytest.raises(RelocationError, match="'videoapp' is not known on this host"):
        AppState(tmp_path, "videoapp").declaration()


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    kept = AppState(tmp_path, "videoapp")
    kept.declare(APP)
    (kept.folder / "app.json").write_text('{"name": ')
    with pytest.raises(RelocationError, match=r"app\.json is damaged"):
        kept.declaration()


def test_no_name_leads_out_of_the_folder(tmp_path: Path) -> None:
    with pytest.raises(RelocationError, match="not a DNS label"):
        AppState(tmp_path, "../videoapp")


# -- the note ---------------------------------------------------------------------------------


def test_without_a_note_a_host_plays_no_part(tmp_path: Path) -> None:
    assert AppState(tmp_path, "videoapp").note() == Note()


@given(
    st.builds(
        Note,
        st.sampled_from(State),
        *[st.integers(0, 2**63)] * 5,
        st.text(max_size=30),
        st.lists(st.text(max_size=30), max_size=20).map(tuple),
        st.text(max_size=60),
        st.text(max_size=60),
    )
)
def test_a_note_survives_its_file(tmp_path_factory: pytest.TempPathFactory, note: Note) -> None:
    kept = AppState(tmp_path_factory.mktemp("state"), "videoapp")
    kept.write(note)
    read = AppState(kept.folder.parents[1], "videoapp").note()
    assert read == note
    assert type(read.state) is State and type(read.rivals) is tuple


@pytest.mark.parametrize(
    "content",
    ["", "{}", "null", json.dumps({"number": 1, "value": {}, "sum": 1})],
)
def test_a_damaged_note_names_the_command_that_helps(tmp_path: Path, content: str) -> None:
    kept = AppState(tmp_path, "videoapp")
    kept.write(NOTE)
    (kept.folder / "owner.json").write_text(content)
    with pytest.raises(RelocationError, match=r"owner\.json is damaged: .*settle\.yml -e app=vid"):
        kept.note()


def test_a_note_of_another_form_is_damaged(tmp_path: Path) -> None:
    kept = AppState(tmp_path, "videoapp")
    for wrong in ({"state": "dancing", "rivals": []}, {"state": "serving", "rivals": [], "x": 1}):
        kept.folder.mkdir(parents=True, exist_ok=True)
        kept._slots.write(wrong)
        with pytest.raises(RelocationError, match="is damaged"):
            kept.note()


@pytest.mark.parametrize(
    ("old", "note"),
    [
        (
            {"state": "serving", "handoff": "h0", "name": "videoapp-1"},
            Note(State.SERVING, 1, 1, 0, 1, 1, handoff="h0", instance="videoapp-1"),
        ),
        (
            {"state": "relocating", "handoff": "h0", "name": "videoapp-1", "target": "worker2"},
            Note(State.RELOCATING, 1, 1, 2, 1, 1, "worker2", (), "h0", "videoapp-1"),
        ),
        (
            {"state": "prepared", "handoff": "h0", "name": "videoapp-1"},
            Note(State.PREPARED, handoff="h0", instance="videoapp-1"),
        ),
        ({}, Note()),
    ],
)
def test_a_note_of_the_library_before_is_read(
    tmp_path: Path, old: dict[str, Any], note: Note
) -> None:
    kept = AppState(tmp_path, "videoapp")
    kept.declare(APP)
    (kept.folder / "instance.json").write_text(json.dumps(old))
    assert kept.note() == note
    assert [known.name for known in AppState.all(tmp_path)] == ["videoapp"]
    kept.write(note._replace(state=State.RETIRED))
    # Once there is another, it counts no more.
    assert not (kept.folder / "instance.json").exists()
    assert kept.note().state is State.RETIRED


def test_a_host_is_current_until_it_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_module, "CURRENT", tmp_path / "run" / "current")
    kept, other = AppState(tmp_path, "videoapp"), AppState(tmp_path, "notes")
    assert not kept.current
    kept.mark_current()
    assert (kept.current, other.current) == (True, False)
    monkeypatch.setattr(state_module, "CURRENT", tmp_path / "run of the next boot" / "current")
    assert not kept.current


def test_that_a_host_is_current_is_of_this_boot() -> None:
    assert Path("/run") in state_module.CURRENT.parents


# -- a disk that is full ----------------------------------------------------------------------


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    size = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(size, check=False).returncode != 0:
        pytest.skip("nothing can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def fill(folder: Path) -> None:
    with contextlib.suppress(OSError), open(folder / "filling", "wb", buffering=0) as file:
        while True:
            file.write(bytes(512))


def test_a_full_disk_takes_the_next_note(small: Path) -> None:
    kept = AppState(small, "videoapp")
    kept.write(NOTE)
    fill(small)
    for epoch in range(4, 9):
        kept.write(NOTE._replace(taken=epoch))
        assert kept.note().taken == epoch


def test_a_first_note_that_does_not_fit_is_refused_and_named(small: Path) -> None:
    kept = AppState(small, "videoapp")
    kept.folder.mkdir(parents=True)
    fill(small)
    with pytest.raises(RelocationError, match=r"'videoapp' cannot be written: No space left"):
        kept.write(NOTE)
    assert kept.note() == Note()


def test_a_record_that_does_not_fit_leaves_the_others_whole(small: Path) -> None:
    append_record(small, {"app": "a", "number": 1})
    fill(small)
    with pytest.raises(RelocationError, match="The record of 'b' cannot be kept"):
        append_record(small, {"app": "b", "filling": "x" * 100_000})
    (small / "filling").unlink()
    append_record(small, {"app": "a", "number": 2})
    lines = (small / "records.jsonl").read_text().splitlines()
    assert [json.loads(line)["number"] for line in lines] == [1, 2]


# -- records ----------------------------------------------------------------------------------


def test_the_newest_record_of_each_app_counts(tmp_path: Path) -> None:
    for number, app in enumerate(["a", "b", "a"]):
        append_record(tmp_path, {"app": app, "number": number})
    with open(tmp_path / "records.jsonl", "a") as file:
        file.write('{"app": "a", "numb')
    assert {app: record["number"] for app, record in last_records(tmp_path).items()} == {
        "a": 2,
        "b": 1,
    }


def test_a_record_after_half_a_line_is_a_line_of_its_own(tmp_path: Path) -> None:
    append_record(tmp_path, {"app": "a", "number": 1})
    with open(tmp_path / "records.jsonl", "a") as file:
        file.write('{"app": "a", "numb')
    append_record(tmp_path, {"app": "a", "number": 3})
    assert last_records(tmp_path)["a"]["number"] == 3
    lines = (tmp_path / "records.jsonl").read_text().splitlines()
    assert (len(lines), json.loads(lines[0])["number"]) == (3, 1)


@pytest.mark.parametrize(
    "line", [b'{"id": "x"}', b"[]", b"7", b"null", b'{"app": 1}', b"\xff\xfe", b""]
)
def test_what_is_no_record_is_passed_over(tmp_path: Path, line: bytes) -> None:
    append_record(tmp_path, {"app": "a", "number": 1})
    with open(tmp_path / "records.jsonl", "ab") as file:
        file.write(line + b"\n")
    append_record(tmp_path, {"app": "b", "number": 2})
    assert {app: found["number"] for app, found in last_records(tmp_path).items()} == {
        "a": 1,
        "b": 2,
    }


def test_nobody_has_recorded_anything(tmp_path: Path) -> None:
    assert last_records(tmp_path) == {}
