# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A volume that is kept in step: over the channel where that can be, by rsync where not.

The channel here is a pipe within this process, and rsync a faithful copy.
"""

from __future__ import annotations

import io
import itertools
import mmap
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Any

import pytest
from ansible_collections.mec.relocation.plugins.module_utils.ground.errors import RelocationError
from ansible_collections.mec.relocation.plugins.module_utils.ground.record import Record
from ansible_collections.mec.relocation.plugins.module_utils.host.owner import State
from ansible_collections.mec.relocation.plugins.module_utils.host.state import AppState
from ansible_collections.mec.relocation.plugins.module_utils.volume.apply import apply
from ansible_collections.mec.relocation.plugins.module_utils.volume.copy import VolumeCopy
from ansible_collections.mec.relocation.plugins.module_utils.volume.rsync import VolumePass
from ansible_collections.mec.relocation.plugins.module_utils.volume.stream import Reader
from ansible_collections.mec.relocation.plugins.module_utils.volume.watch import VolumeWatch
from ansible_collections.mec.relocation.plugins.module_utils.wire.channel import ChannelLost
from ansible_collections.mec.relocation.plugins.module_utils.wire.steps import (
    Apply,
    Durable,
    Step,
    Sync,
)
from ansible_collections.mec.relocation.tests.unit.plugins.module_utils.hosts import host_config
from ansible_collections.mec.relocation.tests.unit.plugins.module_utils.volume.volumes import (
    LocalPasses,
    needs_rsync,
)


class Done:
    def __init__(self, error: Exception | None, answer: Any = None) -> None:
        self.error = error
        self.answer = answer

    def result(self, _timeout_s: float = 0.0) -> Any:
        if self.error is not None:
            raise self.error
        return self.answer


class Sides:
    """A volume at both ends, and what leads from one to the other."""

    def __init__(self, place: Path) -> None:
        self.source, self.copy = place / "source", place / "copy"
        self.source.mkdir()
        self.copy.mkdir()
        self.name = "worker2"
        # Of each pass of rsync, whether it compared contents.
        self.comparisons: list[bool] = []
        self.asked: list[str] = []
        self.refuse: Exception | None = None
        self.misfit = ""
        self.hold_s = 2.0
        self.during: Callable[[], object] = lambda: None

    # -- as passes of rsync ---------------------------------------------------

    def run(self, *, by_content: bool = False) -> VolumePass:
        self.comparisons.append(by_content)
        self.asked.append("rsync")
        shutil.rmtree(self.copy)
        shutil.copytree(self.source, self.copy, symlinks=True)
        self.during()
        return VolumePass(1_000_000, (), 0.0)

    # -- as the target --------------------------------------------------------

    def begin(self, step: Step[Any]) -> Any:
        assert step in (Sync("notes"), Durable("notes"))
        self.asked.append(step.step_name)
        return Done(None)

    def stream(self, step: Step[Any], write: Callable[[IO[bytes]], None]) -> Any:
        assert step == Apply("notes")
        self.asked.append(step.step_name)
        stream = io.BytesIO()
        write(stream)
        stream.seek(0)
        if self.refuse is None and not self.misfit:
            apply(self.copy, Reader(stream))
        return Done(self.refuse, {"files": 0, "bytes": 0, "misfit": self.misfit})

    def watched(self) -> VolumeCopy:
        passes: Any = self
        return VolumeCopy(passes, self, "notes", lambda: [os.getpid()], self.hold_s)

    def seen(self) -> list[dict[str, bytes]]:
        return [
            {str(p.relative_to(side)): p.read_bytes() for p in side.rglob("*") if p.is_file()}
            for side in (self.source, self.copy)
        ]


@pytest.fixture
def sides(tmp_path: Path) -> Sides:
    return Sides(tmp_path)


def phases(record: Record) -> set[str]:
    return {phase["name"] for phase in record.to_dict()["phases"]}


def moved(record: Record, name: str) -> list[int]:
    return [phase["bytes"] for phase in record.to_dict()["phases"] if phase["name"] == name]


def test_after_one_comparison_only_what_changed_crosses(sides: Sides) -> None:
    (sides.source / "old").write_bytes(b"x" * 1000)

    def during() -> None:
        (sides.source / "meanwhile").write_text("written during the pass")

    sides.during = during
    record = Record(0.0, [], id="h")
    with sides.watched() as volume:
        volume.ahead(record)
        (sides.source / "new").write_text("written after it")
        volume.last(record)
    source, copy = sides.seen()
    assert source == copy and set(copy) == {"old", "meanwhile", "new"}
    assert sides.comparisons == [False]
    assert phases(record) == {"volume_sync", "sync", "volume_delta", "last_delta"}
    assert record.fallback is None
    assert moved(record, "last_delta")[0] < 1000


def test_what_crosses_is_on_the_disk_before_the_hold(sides: Sides) -> None:
    with sides.watched() as volume:
        volume.ahead(Record(0.0, [], id="h"))
        # On a busy machine another delta may pay.
        deltas = ["apply"] * sides.asked.count("apply")
        assert deltas and sides.asked == ["rsync", "sync", "durable", *deltas, "durable"]
        sides.asked.clear()
        volume.last(Record(0.0, [], id="h"))
        # The target waits for it when it is activated.
        assert sides.asked == ["apply"]


@pytest.mark.usefixtures("unwatched")
def test_a_comparison_is_synced_like_any_pass(sides: Sides) -> None:
    with sides.watched() as volume:
        volume.ahead(Record(0.0, [], id="h"))
        assert sides.asked[:3] == ["rsync", "sync", "durable"]
        assert sides.asked[-3:] == ["rsync", "sync", "durable"]
        sides.asked.clear()
        volume.last(Record(0.0, [], id="h"))
        assert sides.asked == ["rsync", "sync"]


def write_meanwhile(sides: Sides, sizes_bytes: Iterable[int], takes_s: float = 0.0) -> None:
    """While deltas are sent, the app writes as much for the next ones."""
    sizes = iter(sizes_bytes)

    def stream(step: Step[Any], write: Callable[[IO[bytes]], None]) -> Any:
        done = Sides.stream(sides, step, write)
        (sides.source / "file").write_bytes(os.urandom(next(sizes, 0)))
        time.sleep(takes_s)
        return done

    sides.stream = stream  # type: ignore[method-assign]


def test_deltas_go_on_until_they_are_small(sides: Sides) -> None:
    (sides.source / "file").touch()
    sides.during = lambda: (sides.source / "file").write_bytes(os.urandom(400_000))
    write_meanwhile(sides, [200_000])
    record = Record(0.0, [], id="h")
    with sides.watched() as volume:
        volume.ahead(record)
    first, second, *others = moved(record, "volume_delta")
    assert first > 400_000 > second > 200_000
    assert sum(others) < 10_000
    assert record.warning is None


def test_an_app_that_writes_too_fast_is_told(sides: Sides) -> None:
    write_meanwhile(sides, itertools.repeat(1_000_000), takes_s=0.25)
    record = Record(0.0, [], id="h")
    with sides.watched() as volume:
        volume.ahead(record)
        volume.last(record)
    assert record.warning is not None
    assert re.fullmatch(
        r"'notes' writes \d\.\d MB/s to its volume, the way to worker2 takes \d\.\d MB/s\. "
        r"The downtime is about \d\.\d s\.",
        record.warning,
    )


def test_an_app_that_writes_far_too_fast_is_not_relocated(sides: Sides) -> None:
    write_meanwhile(sides, itertools.repeat(1_000_000), takes_s=0.25)
    sides.hold_s = 0.2
    with (
        sides.watched() as volume,
        pytest.raises(RelocationError, match=r"\d\.\d s, and requests wait for 0\.2 s at most"),
    ):
        volume.ahead(Record(0.0, [], id="h"))


def test_without_a_pass_ahead_everything_is_compared(sides: Sides) -> None:
    (sides.source / "file").write_text("x")
    record = Record(0.0, [], id="h")
    with sides.watched() as volume:
        volume.last(record)
    assert sides.comparisons == [True]
    assert record.fallback is None


def test_a_delta_that_does_not_fit_is_replaced_by_a_comparison(sides: Sides) -> None:
    record = Record(0.0, [], id="h")
    with sides.watched() as volume:
        volume.ahead(record)
        sides.misfit = "another size"
        (sides.source / "file").write_text("x")
        volume.last(record)
    source, copy = sides.seen()
    assert source == copy
    assert sides.comparisons == [False, True]
    assert record.fallback == "another size"


def test_a_watch_that_is_lost_is_replaced_by_a_comparison(sides: Sides) -> None:
    record = Record(0.0, [], id="h")
    with sides.watched() as volume:
        volume.ahead(record)
        sides.source.rename(sides.source.with_name("elsewhere"))
        sides.source.mkdir()
        (sides.source / "file").write_text("x")
        volume.last(record)
    source, copy = sides.seen()
    assert source == copy
    assert "is lost" in (record.fallback or "")


@pytest.fixture
def unwatched(monkeypatch: pytest.MonkeyPatch) -> None:
    """No volume can be watched."""

    def no_more(_watch: VolumeWatch) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(VolumeWatch, "__enter__", no_more)


@pytest.mark.usefixtures("unwatched")
def test_a_volume_that_cannot_be_watched_is_compared(sides: Sides) -> None:
    record = Record(0.0, [], id="h")
    with sides.watched() as volume:
        volume.ahead(record)
        (sides.source / "file").write_text("x")
        volume.last(record)
    source, copy = sides.seen()
    assert source == copy
    assert "cannot be watched" in (record.fallback or "")


@needs_rsync
@pytest.mark.usefixtures("unwatched")
def test_a_store_that_moved_no_time_is_found_without_a_watch(tmp_path: Path, sides: Sides) -> None:
    passes = LocalPasses(tmp_path)
    file, copy = passes.source / "file", passes.target / "file"
    file.write_bytes(bytes(5000))
    with (
        open(file, "r+b") as opened,
        mmap.mmap(opened.fileno(), 0) as mapped,
        VolumeCopy(passes, sides, "notes", lambda: [os.getpid()], hold_s=2.0) as volume,
    ):
        mapped[0] = 1
        before = file.stat()
        volume.ahead(Record(0.0, [], id="h"))
        mapped[0] = 2
        # Where the page has been written back meanwhile, the store moves the time after all.
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
        passes.run()
        assert copy.read_bytes()[0] == 1
        volume.last(Record(0.0, [], id="h"))
        assert copy.read_bytes()[0] == 2


@needs_rsync
@pytest.mark.parametrize("state", [State.SERVING, State.RELOCATING, State.RETIRED])
def test_a_second_run_does_not_bring_back_what_the_target_has_gone_beyond(
    tmp_path: Path, sides: Sides, state: State
) -> None:
    # The first run has completed; the delta of the second does not fit, and rsync is refused.
    passes = LocalPasses(tmp_path)
    (passes.source / "file").write_text("as it was frozen")
    with VolumeCopy(passes, sides, "notes", lambda: [os.getpid()], hold_s=2.0) as volume:
        volume.ahead(Record(0.0, [], id="h1"))
        (passes.target / "file").write_text("acknowledged by the target")
        kept = AppState(host_config(tmp_path, "worker2").state_dir, "notes")
        kept.write(kept.note()._replace(state=state, taken=4))
        (passes.source / "other").write_text("x")
        sides.misfit = "another size"
        with pytest.raises(RelocationError, match=f"app 'notes' is {state} here"):
            volume.last(Record(0.0, [], id="h1"))
        with pytest.raises(RelocationError, match=f"app 'notes' is {state} here"):
            volume.ahead(Record(0.0, [], id="h1"))
    assert (passes.target / "file").read_text() == "acknowledged by the target"
    assert not (passes.target / "other").exists()


@pytest.mark.parametrize("refusal", [ChannelLost("closed"), RelocationError("it serves here")])
def test_a_refusal_is_not_answered_with_rsync(sides: Sides, refusal: RelocationError) -> None:
    with sides.watched() as volume:
        volume.ahead(Record(0.0, [], id="h"))
        sides.refuse = refusal
        with pytest.raises(type(refusal)):
            volume.last(Record(0.0, [], id="h"))
    assert sides.comparisons == [False]
