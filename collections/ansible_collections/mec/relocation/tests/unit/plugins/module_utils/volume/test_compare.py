# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The verification of a volume finds what differs, and takes no work of the app for a defect."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import pytest
from ansible_collections.mec.relocation.plugins.module_utils.ground.errors import RelocationError
from ansible_collections.mec.relocation.plugins.module_utils.volume.compare import (
    Comparison,
    compare,
    verify,
    write_manifest,
)
from ansible_collections.mec.relocation.plugins.module_utils.volume.stream import Reader
from ansible_collections.mec.relocation.plugins.module_utils.wire.channel import ChannelLost
from ansible_collections.mec.relocation.plugins.module_utils.wire.steps import Step, Verify
from ansible_collections.mec.relocation.tests.unit.plugins.module_utils.volume.volumes import (
    ACTIONS,
    NAMES,
    App,
    actions_on,
    copy,
    furnish,
    needs_root,
    view,
)
from hypothesis import HealthCheck, given, settings

# When the app began to change the volume.
NEVER, ALWAYS = sys.maxsize, 0
Actions = list[tuple[str, bytes, bytes, int]]
EXAMPLES = settings(
    max_examples=int(os.environ.get("MEC_EXAMPLES", "100")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


def compared(source: Path, target: Path, since_ns: int) -> Comparison:
    manifest = io.BytesIO()
    write_manifest(source, manifest)
    manifest.seek(0)
    return compare(target, Reader(manifest), since_ns)


def now_ns() -> int:
    """On the clock that stamps files, after a step that parts this from what was before."""
    time.sleep(0.01)
    return time.clock_gettime_ns(5)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    root = tmp_path / "source"
    (root / "folder/below").mkdir(parents=True)
    (root / "file").write_text("content")
    os.link(root / "file", root / "folder/link")
    (root / "folder/below/other").write_text("content")
    (root / "symlink").symlink_to("file")
    os.mkfifo(root / "fifo")
    with open(root / "sparse", "wb") as sparse:
        sparse.truncate(2**20)
        sparse.seek(2**19)
        sparse.write(b"island")
    return root


@pytest.fixture
def target(source: Path) -> Path:
    root = source.with_name("target")
    copy(source, root)
    return root


def test_a_copy_is_the_same(source: Path, target: Path) -> None:
    found = compared(source, target, NEVER)
    # The content of two files and of one with two names.
    assert found == Comparison(files=len(view(source)), bytes=2**20 + 2 * len("content"))


def test_a_copy_of_everything_that_a_volume_can_hold_is_the_same(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    furnish(tmp_path / "source")
    copy(tmp_path / "source", tmp_path / "target")
    found = compared(tmp_path / "source", tmp_path / "target", NEVER)
    assert (found.differences, found.files) == ([], len(view(tmp_path / "source")))


def test_a_hole_is_the_same_as_zeros(source: Path, target: Path) -> None:
    status = (target / "sparse").stat()
    (target / "sparse").write_bytes((source / "sparse").read_bytes())
    os.utime(target / "sparse", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert (target / "sparse").stat().st_blocks > status.st_blocks
    assert compared(source, target, NEVER).differing == 0


def rewrite(path: Path) -> None:
    """Other content of the same size, and the time as it was."""
    status = path.stat()
    with open(path, "r+b") as file:
        file.write(b"CONTENT")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def replace(path: Path, make: Callable[[Path], object]) -> None:
    path.unlink()
    make(path)


DEFECTS: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    "content": (lambda root: rewrite(root / "file"), ["file: another content"]),
    "in a hole": (lambda root: rewrite(root / "sparse"), ["sparse: another content"]),
    "size": (
        lambda root: (root / "file").write_text("contents"),
        ["file: another time, size, content", "folder/link: another time"],
    ),
    "more zeros": (
        lambda root: os.truncate(root / "sparse", 2**20 + 1),
        ["sparse: another time, size"],
    ),
    "mode": (
        lambda root: (root / "folder/below").chmod(0o700),
        ["folder/below: another mode"],
    ),
    "time": (
        lambda root: os.utime(root / "symlink", ns=(1, 1), follow_symlinks=False),
        ["symlink: another time"],
    ),
    "attribute": (
        lambda root: os.setxattr(root / "folder", "user.note", b""),
        ["folder: another attributes"],
    ),
    "symbolic link": (
        lambda root: replace(root / "symlink", lambda path: path.symlink_to("fifo")),
        [".: another time", "symlink: another time, content"],
    ),
    "hard link broken": (
        lambda root: replace(root / "file", lambda path: path.write_text("content")),
        [".: another time", "file: another time", "folder/link: another hard links, size, content"],
    ),
    "type": (
        lambda root: replace(root / "fifo", Path.mkdir),
        [".: another time", "fifo: another type, mode, time, content"],
    ),
    "missing": (
        lambda root: (root / "fifo").unlink(),
        [".: another time", "fifo: is missing"],
    ),
    "folder missing": (
        lambda root: shutil.rmtree(root / "folder/below"),
        ["folder: another time", "folder/below: is missing", "folder/below/other: is missing"],
    ),
    "folder too much": (
        lambda root: (root / "folder-\udcff/new").mkdir(parents=True),
        [
            ".: another time",
            "folder-\\xff: is not at the source",
            "folder-\\xff/new: is not at the source",
        ],
    ),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_every_difference_is_found(source: Path, target: Path, defect: str) -> None:
    make, differences = DEFECTS[defect]
    make(target)
    found = compared(source, target, NEVER)
    assert found.differences == differences
    assert (found.differing, found.changed_since) == (len(differences), 0)
    # The same, done by the app, is none.
    found = compared(source, target, ALWAYS)
    assert (found.differing, found.changed_since) == (0, len(differences))


@needs_root
def test_another_owner_and_another_device_are_found(source: Path, target: Path) -> None:
    os.mknod(source / "device", 0o020600, os.makedev(1, 3))
    shutil.rmtree(target)
    copy(source, target)
    os.chown(target / "file", 1, 2)
    status = (target / "device").stat()
    replace(target / "device", lambda path: os.mknod(path, 0o020600, os.makedev(1, 5)))
    os.utime(target / "device", ns=(1, status.st_mtime_ns))
    assert compared(source, target, NEVER).differences == [
        ".: another time",
        "device: another content",
        "file: another owner",
        "folder/link: another owner",
    ]


def test_many_differences_are_counted_and_some_are_named(source: Path, target: Path) -> None:
    for number in range(50):
        (target / f"{number}").touch()
    found = compared(source, target, NEVER)
    assert found.differing == 51
    assert len(found.differences) == 10


def test_a_volume_that_is_not_there_is_an_error(source: Path, target: Path) -> None:
    with pytest.raises(FileNotFoundError):
        compared(source / "nothing", target, NEVER)
    with pytest.raises(RelocationError, match="cannot be compared"):
        compared(source, target / "nothing", NEVER)


@pytest.mark.parametrize("record", [[], [b""], [b"../x", *[b""] * 8], [b"", *[b"x"] * 8]])
def test_a_manifest_that_is_none_is_refused(target: Path, record: list[bytes]) -> None:
    with pytest.raises(RelocationError, match="cannot be compared"):
        compare(target, [record], NEVER)


# -- whatever happens ---------------------------------------------------------------------------


@EXAMPLES
@given(before=actions_on(NAMES, ACTIONS), after=actions_on(NAMES, ACTIONS))
def test_what_differs_is_found_and_nothing_else(before: Actions, after: Actions) -> None:
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as opened:
        source, target = Path(folder, "source"), Path(folder, "target")
        source.mkdir()
        for root, actions in ((source, before), (target, after)):
            app = App(root)
            opened.callback(app.close)
            for action in actions:
                app.act(*action)
            if root == source:
                copy(source, target)
        found = compared(source, target, NEVER)
        assert (found.differing > 0) == (view(source) != view(target)), found.differences


@EXAMPLES
@given(before=actions_on(NAMES, ACTIONS), after=actions_on(NAMES, ACTIONS))
def test_what_the_app_has_done_is_no_difference(before: Actions, after: Actions) -> None:
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as opened:
        source, target = Path(folder, "source"), Path(folder, "target")
        source.mkdir()
        app = App(source)
        opened.callback(app.close)
        for action in before:
            app.act(*action)
        copy(source, target)
        known = view(source)
        since_ns = now_ns()
        app = App(target)
        opened.callback(app.close)
        for what, one, other, number in after:
            # A folder in another's place brings files that have not changed. That would be noted.
            if not (
                what in ("rename", "exchange") and os.path.isdir(app.at(one)) and other in known
            ):
                app.act(what, one, other, number)
        found = compared(source, target, since_ns)
        assert found.differences == []
        assert (found.changed_since > 0) == (known != view(target))


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_is_found_beside_what_the_app_does(
    source: Path, target: Path, defect: str
) -> None:
    make, differences = DEFECTS[defect]
    make(target)
    since_ns = now_ns()
    (target / "folder/new").mkdir()
    (target / "new").touch()
    found = compared(source, target, since_ns)
    # It works in two folders: their times, and what has gone from them, are put down to it.
    hidden = (".:", "folder:", "fifo: is missing", "folder/below: is missing", "folder/below/o")
    assert found.differences == [each for each in differences if not each.startswith(hidden)]


# -- between two hosts --------------------------------------------------------------------------


class Target:
    """The other host, whose agent is this process."""

    name = "worker2"

    def __init__(self, root: Path, error: Exception | None = None) -> None:
        self.root = root
        self.error = error
        self.found: Comparison | None = None

    def begin(self, _step: Step[Any]) -> Any:
        raise AssertionError

    def stream(self, step: Step[Any], write: Callable[[IO[bytes]], None]) -> Any:
        assert step == Verify("notes")
        stream = io.BytesIO()
        write(stream)
        stream.seek(0)
        self.found = compare(self.root, Reader(stream), NEVER)
        return self

    def result(self, timeout_s: float = 0.0) -> Any:
        assert timeout_s > 10
        if self.error is not None:
            raise self.error
        assert self.found is not None
        return asdict(self.found)


def test_a_record_tells_what_was_found(source: Path, target: Path) -> None:
    told = verify(source, Target(target), "notes")
    assert told["verified"] is True
    assert told["error"] is None
    rewrite(target / "file")
    told = verify(source, Target(target), "notes")
    assert told["verified"] is False
    assert (told["differing"], told["differences"]) == (1, ["file: another content"])
    assert told["files"] == len(view(source))
    assert told["duration_s"] > 0


def test_a_record_tells_that_nothing_was_found_out(source: Path, target: Path) -> None:
    told = verify(source, Target(target, ChannelLost("closed")), "notes")
    assert (told["verified"], told["error"], told["files"]) == (False, "closed", 0)
    told = verify(source / "nothing", Target(target), "notes")
    assert told["verified"] is False
    assert "No such file" in told["error"]
