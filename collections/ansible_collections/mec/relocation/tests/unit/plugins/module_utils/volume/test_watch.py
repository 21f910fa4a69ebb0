# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The watch of a volume: what it finds, and that it says when it may have missed something."""

from __future__ import annotations

import ctypes
import mmap
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.mec.relocation.plugins.module_utils.volume import inotify
from ansible_collections.mec.relocation.plugins.module_utils.volume import watch as volume_watch
from ansible_collections.mec.relocation.plugins.module_utils.volume.inotify import Event
from ansible_collections.mec.relocation.plugins.module_utils.volume.mounts import mount_below
from ansible_collections.mec.relocation.plugins.module_utils.volume.round import Round
from ansible_collections.mec.relocation.plugins.module_utils.volume.watch import VolumeWatch

OURS = [os.getpid()]


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    root = tmp_path / "volume"
    (root / "folder").mkdir(parents=True)
    (root / "file").write_text("content")
    (root / "folder/file").write_text("content")
    (root / "idle").write_text("content")
    return root


@pytest.fixture
def watch(volume: Path) -> Iterator[VolumeWatch]:
    with VolumeWatch(volume, OURS) as watch:
        yield watch


def paths(watch: VolumeWatch) -> set[bytes]:
    dirty = watch.dirty(OURS)
    assert dirty is not None, watch.reason
    return set(dirty.paths)


def until_identified(watch: VolumeWatch, path: Path) -> None:
    """Until the watch's own thread has looked at a file: how soon is the machine's affair."""
    inode, end_s = path.stat().st_ino, time.monotonic() + 60
    while inode not in watch._round.inodes:
        assert time.monotonic() < end_s, f"{path} was not looked at"
        time.sleep(0.01)


def test_nothing_is_dirty_when_nothing_happened(watch: VolumeWatch, volume: Path) -> None:
    (volume / "file").read_text()
    assert paths(watch) == set()


def test_a_change_is_dirty_once(watch: VolumeWatch, volume: Path) -> None:
    (volume / "file").write_text("changed")
    assert paths(watch) == {b"file"}
    assert paths(watch) == set()


def test_a_name_that_goes_changes_its_folder(watch: VolumeWatch, volume: Path) -> None:
    (volume / "folder/file").rename(volume / "file")
    assert paths(watch) == {b"folder/file", b"file", b"folder", b""}


def test_a_new_directory_is_dirty_with_all_that_is_in_it(watch: VolumeWatch, volume: Path) -> None:
    (volume / "new/deep").mkdir(parents=True)
    (volume / "new/deep/file").write_text("content")
    dirty = watch.dirty(OURS)
    assert dirty is not None
    assert dirty.exact == {b"new", b"new/deep"}
    assert {b"new", b"new/deep", b"new/deep/file"} <= dirty.paths
    (volume / "new/deep/file").write_text("changed")
    assert paths(watch) == {b"new/deep/file"}


def test_a_directory_that_was_moved_goes_by_its_new_name(watch: VolumeWatch, volume: Path) -> None:
    (volume / "folder").rename(volume / "moved")
    assert {b"folder", b"moved", b"moved/file"} <= paths(watch)
    (volume / "moved/file").write_text("changed")
    assert b"moved/file" in paths(watch)


def test_names_are_bytes(watch: VolumeWatch, volume: Path) -> None:
    name = b"-\xff\n "
    Path(os.fsdecode(os.path.join(os.fsencode(volume), name))).write_text("content")
    assert name in paths(watch)


def test_all_names_of_a_file_are_dirty(watch: VolumeWatch, volume: Path) -> None:
    os.link(volume / "file", volume / "folder/link")
    paths(watch)
    (volume / "folder/link").write_text("changed")
    assert paths(watch) == {b"file", b"folder/link"}


def test_a_file_that_changed_under_a_name_that_is_gone_is_dirty(volume: Path) -> None:
    time.sleep(2 * volume_watch._CLOCK_STEP_NS / 1e9)
    with VolumeWatch(volume, OURS) as watch:
        os.link(volume / "file", volume / "gone")
        (volume / "gone").write_text("changed")
        (volume / "gone").unlink()
        assert paths(watch) == {b"", b"file", b"gone"}


def test_a_file_that_changed_under_a_known_name_needs_no_look_at_all_others(
    watch: VolumeWatch, volume: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.link(volume / "file", volume / "link")
    paths(watch)
    monkeypatch.setattr(watch, "_changed_since", lambda _began_ns: pytest.fail("looked"))
    (volume / "link").write_text("changed")
    (volume / "link").unlink()
    assert paths(watch) == {b"", b"file", b"link"}


def test_a_file_that_comes_and_goes_slowly_is_no_reason_to_look_at_all_others(
    watch: VolumeWatch, volume: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "_changed_since", lambda _began_ns: pytest.fail("looked"))
    (volume / "journal").write_text("content")
    until_identified(watch, volume / "journal")
    (volume / "journal").unlink()
    (volume / "temporary").write_text("content")
    (volume / "temporary").rename(volume / "file")
    assert paths(watch) == {b"", b"journal", b"temporary", b"file"}


def test_a_file_that_is_written_while_it_is_looked_at_is_still_the_same() -> None:
    noted = Round({})
    noted.note(b"", Event(1, inotify.CREATE, 0, b"journal"))
    looked_at = dict(noted.unidentified)
    noted.note(b"", Event(1, inotify.MODIFY, 0, b"journal"))
    assert noted.unidentified == looked_at
    noted.note(b"", Event(1, inotify.DELETE, 0, b"journal"))
    noted.note(b"", Event(1, inotify.CREATE, 0, b"journal"))
    assert noted.unidentified != looked_at


def test_what_is_open_for_writing_is_dirty(volume: Path) -> None:
    with open(volume / "file", "r+b"), open(volume / "idle", "rb"), VolumeWatch(volume) as watch:
        assert paths(watch) == {b"file"}
        assert paths(watch) == {b"file"}


def test_what_was_open_when_the_round_began_is_dirty(volume: Path) -> None:
    with open(volume / "file", "r+b", buffering=0) as written:
        os.link(volume / "file", volume / "link")
        (volume / "file").unlink()
        (volume / "file").write_text("another")
        with VolumeWatch(volume, OURS) as watch:
            written.write(b"through a name that it no longer has")
            written.close()
            assert b"link" in paths(watch)


@pytest.mark.parametrize("protection", [mmap.PROT_READ | mmap.PROT_WRITE, mmap.PROT_READ])
def test_what_another_process_has_mapped_is_dirty(volume: Path, protection: int) -> None:
    # Protected against writing now, it may have been written before.
    program = (
        "import mmap, os, sys; fd = os.open(sys.argv[1], os.O_RDWR);"
        "m = mmap.mmap(fd, 0, prot=int(sys.argv[2])); os.close(fd);"
        "fd = os.open(sys.argv[3], os.O_RDONLY);"
        "n = mmap.mmap(fd, 0, prot=mmap.PROT_READ); print('go', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, volume / "file", str(protection), volume / "idle"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as app:
        assert app.stdout is not None
        app.stdout.readline()
        with VolumeWatch(volume, [app.pid]) as watch:
            dirty = watch.dirty([app.pid])
            assert dirty is not None
            assert dirty.paths == {b"file"}
            app.communicate()
            # It was mapped when this round began; the process is gone.
            dirty = watch.dirty([app.pid])
            assert dirty is not None
            assert dirty.paths == {b"file"}


def test_a_symbolic_link_leads_nowhere(volume: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (volume / "link").symlink_to(tmp_path / "outside")
    with VolumeWatch(volume) as watch:
        (tmp_path / "outside/file").write_text("content")
        (volume / "new").symlink_to(tmp_path)
        assert paths(watch) == {b"", b"new"}


def test_a_folder_that_becomes_a_link_to_itself_is_nothing_special(
    watch: VolumeWatch, volume: Path
) -> None:
    (volume / "folder/new").write_text("content")
    (volume / "folder").rename(volume / "moved")
    (volume / "folder").symlink_to("folder")
    assert {b"folder", b"moved", b"moved/new"} <= paths(watch)


def test_a_look_at_all_files_follows_no_link(volume: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    time.sleep(2 * volume_watch._CLOCK_STEP_NS / 1e9)
    with VolumeWatch(volume, OURS) as watch:
        (volume / "folder").rename(tmp_path / "away")
        (volume / "folder").symlink_to(tmp_path / "outside")
        os.link(volume / "file", tmp_path / "outside/file")
        (volume / "new").mkdir()
        assert paths(watch) == {b"", b"folder", b"file", b"new"}


# -- when it may have missed something ----------------------------------------------------------


def lost(watch: VolumeWatch, why: str) -> None:
    assert watch.dirty(OURS) is None
    assert watch.reason is not None
    assert why in watch.reason
    # It stays so.
    assert watch.dirty(OURS) is None


def test_a_queue_that_ran_over_is_noticed(watch: VolumeWatch, volume: Path) -> None:
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    file, idle = volume / "file", volume / "idle"
    with watch._lock:
        for number in range(limit // 2 + 1):
            # By turns, or the kernel would make one event of them.
            os.utime(file, (number, number))
            os.utime(idle, (number, number))
    lost(watch, "faster than they were read")


def test_the_limit_of_watches_is_noticed(volume: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def __getattr__(self, name: str) -> object:
            return getattr(ctypes.CDLL(None), name)

        def inotify_add_watch(self, *_arguments: object) -> int:
            ctypes.set_errno(28)
            return -1

    monkeypatch.setattr(inotify, "_LIBC", Full())
    with VolumeWatch(volume) as watch:
        lost(watch, "the limit of inotify watches")


def test_a_root_that_was_moved_is_noticed(watch: VolumeWatch, volume: Path) -> None:
    volume.rename(volume.with_name("away"))
    lost(watch, "its root was moved")


def test_another_directory_in_its_place_is_noticed(watch: VolumeWatch, volume: Path) -> None:
    # A parent was moved: no event of the root tells.
    above = volume.parent
    above.rename(above.with_name("away"))
    volume.mkdir(parents=True)
    lost(watch, "another directory has taken its place")


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_a_mount_in_the_volume_is_noticed(watch: VolumeWatch, volume: Path) -> None:
    assert paths(watch) == set()
    folder = str(volume / "folder")
    if subprocess.run(["mount", "--bind", folder, folder], check=False).returncode != 0:
        pytest.skip("nothing can be mounted here")
    try:
        lost(watch, f"{folder} is mounted in it")
    finally:
        subprocess.run(["umount", folder], check=True)


def test_only_mounts_below_the_root_count() -> None:
    table = b"22 27 0:21 / /a\\040b rw - tmpfs none rw\n23 22 0:4 / /a\\040bc rw - tmpfs none rw\n"
    assert mount_below(b"/a b", table) is None
    below = b"24 22 0:5 / /a\\040b/c\\134d rw - tmpfs none rw\n"
    assert mount_below(b"/a b", table + below) == b"/a\\040b/c\\134d"
    assert mount_below(b"/", table) == b"/a\\040b"


def test_processes_that_may_not_be_looked_into_are_noticed(
    watch: VolumeWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: object) -> set[int]:
        raise PermissionError(13, "Permission denied", "/proc/1/fd")

    monkeypatch.setattr(volume_watch, "inodes_open_for_writing", refuse)
    lost(watch, "Permission denied")


def test_a_volume_that_is_not_there_is_an_error(volume: Path) -> None:
    with pytest.raises(FileNotFoundError), VolumeWatch(volume / "nothing"):
        pass


# -- one round ----------------------------------------------------------------------------------

CREATE, DELETE, MODIFY = inotify.CREATE, inotify.DELETE, inotify.MODIFY
FROM, TO = inotify.MOVED_FROM, inotify.MOVED_TO


@pytest.mark.parametrize(
    "events, accounted",
    [
        ([(MODIFY, 0, b"known")], True),
        ([(DELETE, 0, b"known")], True),
        ([(DELETE, 0, b"known"), (MODIFY, 0, b"known")], True),
        ([(CREATE, 0, b"new")], False),
        ([(CREATE, 0, b"new"), (DELETE, 0, b"new")], False),
        ([(MODIFY, 0, b"nameless")], False),
        ([(FROM, 1, b"known"), (TO, 1, b"new"), (MODIFY, 0, b"new"), (DELETE, 0, b"new")], True),
        ([(TO, 1, b"new")], False),
        ([(CREATE, 0, b"new"), (FROM, 1, b"new")], False),
        ([(FROM, 1, b"known")], True),
        ([(CREATE, 0, b"new"), (FROM, 1, b"known"), (TO, 1, b"new")], False),
        ([(DELETE, 0, b"known"), (CREATE, 0, b"known"), (DELETE, 0, b"known")], False),
    ],
)
def test_a_round_knows_whether_every_file_was_identified(
    events: list[tuple[int, int, bytes]], accounted: bool
) -> None:
    ours = Round({b"folder/known"})
    for mask, cookie, name in events:
        ours.note(b"folder", Event(1, mask, cookie, name))
    assert ours.accounted == accounted


def test_a_file_is_identified_under_the_name_that_it_was_moved_to() -> None:
    ours = Round(set())
    ours.note(b"", Event(1, CREATE, 0, b"temporary"))
    ours.note(b"", Event(1, FROM, 7, b"temporary"))
    ours.note(b"", Event(1, TO, 7, b"final"))
    assert list(ours.unidentified) == [b"final"]
    ours.identify(b"final", 42)
    ours.note(b"", Event(1, DELETE, 0, b"final"))
    assert ours.accounted
    assert ours.inodes == {42}
