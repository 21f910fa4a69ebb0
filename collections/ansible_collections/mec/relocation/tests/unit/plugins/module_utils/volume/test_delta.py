# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A volume changes in every way, is watched, and the delta makes an earlier copy the same again."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest
from ansible_collections.mec.relocation.plugins.module_utils.ground.errors import RelocationError
from ansible_collections.mec.relocation.plugins.module_utils.volume import apply as volume_apply
from ansible_collections.mec.relocation.plugins.module_utils.volume import delta as volume_delta
from ansible_collections.mec.relocation.plugins.module_utils.volume.apply import Applied, apply
from ansible_collections.mec.relocation.plugins.module_utils.volume.attributes import Attributes
from ansible_collections.mec.relocation.plugins.module_utils.volume.delta import (
    BLOCK_BYTES,
    PAGE_BYTES,
    SMALL_BYTES,
    build,
)
from ansible_collections.mec.relocation.plugins.module_utils.volume.paths import parent
from ansible_collections.mec.relocation.plugins.module_utils.volume.stream import (
    DamagedStream,
    Reader,
    Writer,
    pack,
)
from ansible_collections.mec.relocation.plugins.module_utils.volume.watch import (
    Dirty,
    VolumeWatch,
)
from ansible_collections.mec.relocation.tests.unit.plugins.module_utils.volume.volumes import (
    ACTIONS,
    FLAT,
    NAMES,
    App,
    View,
    copy,
    furnish,
    histories,
    needs_root,
    needs_rsync,
    tree,
    view,
)
from hypothesis import HealthCheck, given, settings

# The options of the passes in volume.py.
RSYNC = ["rsync", "--archive", "--hard-links", "--acls", "--xattrs", "--sparse", "--numeric-ids"]
RSYNC += ["--delete", "--modify-window=-1"]


def transfer(
    source: Path,
    target: Path,
    dirty: Dirty,
    signatures: volume_delta.Signatures = volume_delta.NONE,
) -> tuple[volume_delta.Built, Applied]:
    """One pass, through a pipe."""
    reading, writing = os.pipe()
    applied: list[Applied] = []
    with open(reading, "rb", buffering=0) as stream:
        far_end = threading.Thread(target=lambda: applied.append(apply(target, Reader(stream))))
        far_end.start()
        with open(writing, "wb", buffering=0) as out:
            built = build(source, dirty, out, signatures)
        far_end.join()
    assert applied[0].bytes == built.size_bytes
    return built, applied[0]


def everything(*roots: Path) -> Dirty:
    return Dirty(frozenset(path for root in roots for path in tree(root)))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "source").mkdir()
    return tmp_path / "source"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "target").mkdir()
    return tmp_path / "target"


# -- whatever happens ---------------------------------------------------------------------------


def missing(dirty: Dirty, before: View, now: View) -> list[bytes]:
    """Paths that differ and are not in the list."""
    gone = {path for path in dirty.paths if path not in now}
    replaced = {path for path in dirty.paths if path in now and now[path][0] != stat.S_IFDIR}

    def covered(path: bytes) -> bool:
        if path in dirty.paths:
            return True
        above = path
        while above:
            above = parent(above)
            if above in gone or above in replaced or (above in dirty.exact and path not in now):
                return True
        return False

    differing = [path for path in before.keys() | now.keys() if before.get(path) != now.get(path)]
    return sorted(path for path in differing if not covered(path))


@pytest.mark.parametrize(
    "actions, names", [(ACTIONS, NAMES), (FLAT, NAMES[:4])], ids=["folders", "flat"]
)
def test_a_delta_makes_a_copy_the_same(actions: list[str], names: list[bytes]) -> None:
    @settings(
        max_examples=int(os.environ.get("MEC_EXAMPLES", "100")),
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(history=histories(actions, names))
    def run(history: list[list[tuple[str, bytes, bytes, int]]]) -> None:
        with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as opened:
            source, target = Path(folder, "source"), Path(folder, "target")
            source.mkdir()
            app = App(source)
            opened.callback(app.close)
            first, *rounds = history
            for name in names:
                app.write(app.at(name), b"", 1) if b"/" not in name else None
            for action in first:
                app.act(*action)
            watch = opened.enter_context(VolumeWatch(source, [os.getpid()]))
            signatures = volume_delta.NONE
            for number, actions in enumerate(rounds):
                half = len(actions) // 2 if number == 0 else 0
                for action in actions[:half]:
                    app.act(*action)
                if number == 0:
                    copy(source, target)
                for action in actions[half:]:
                    app.act(*action)
                dirty = watch.dirty([os.getpid()])
                assert dirty is not None, watch.reason
                assert not missing(dirty, view(target), view(source))
                built, _applied = transfer(source, target, dirty, signatures)
                signatures = built.signatures
                assert view(target) == view(source)

    run()


WRITER = """
import os, random, shutil, sys
root, seed = sys.argv[1], int(sys.argv[2])
rnd = random.Random(seed)
def at():
    return os.path.join(root, *rnd.choice(["a", "b", "d", "d/a", "d/e", "e/a"]).split("/"))
def put(path, content):
    with open(path, "r+b" if rnd.random() < 0.5 else "wb") as out:
        out.write(content)
def through(path):
    os.link(path, path + "~")
    put(path + "~", b"through")
    os.unlink(path + "~")
def swap(path):
    put(path + "~", os.urandom(9))
    os.rename(path + "~", path)
acts = [lambda p: put(p, os.urandom(5)), lambda p: put(p, os.urandom(300000)), os.mkdir, os.unlink,
        shutil.rmtree, lambda p: os.rename(p, at()), lambda p: os.link(p, at()), through, swap,
        lambda p: os.chmod(p, rnd.randrange(0o700, 0o777)), lambda p: put(p, b"same")]
print("go", flush=True)
while True:
    try:
        rnd.choice(acts)(at())
    except OSError:
        pass
"""


@pytest.mark.parametrize("seed", range(4))
def test_passes_while_the_app_goes_on(source: Path, target: Path, seed: int) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, source, str(seed)], stdout=subprocess.PIPE
    ) as app:
        try:
            assert app.stdout is not None
            app.stdout.readline()
            with VolumeWatch(source, [app.pid]) as watch:
                signatures = volume_delta.NONE
                # What the first pass finds is all that there is.
                transfer(source, target, Dirty(frozenset([b""]), frozenset([b""])))
                transfer(source, target, everything(source))
                for number in range(6):
                    time.sleep(0.02)
                    if number == 5:
                        app.send_signal(signal.SIGSTOP)
                        os.waitid(os.P_PID, app.pid, os.WSTOPPED)
                    dirty = watch.dirty([app.pid])
                    assert dirty is not None, watch.reason
                    built, _applied = transfer(source, target, dirty, signatures)
                    signatures = built.signatures
                assert view(target) == view(source)
        finally:
            app.kill()


# -- every kind of file -------------------------------------------------------------------------


@needs_rsync
def test_every_kind_of_file_arrives_as_rsync_would_bring_it(
    source: Path, target: Path, tmp_path: Path
) -> None:
    furnish(source)
    transfer(source, target, everything(source))
    assert view(target) == view(source)
    by_rsync = tmp_path / "rsync"
    subprocess.run([*RSYNC, f"{source}/", f"{by_rsync}/"], check=True)
    assert view(target) == view(by_rsync)
    assert (target / "sparse").stat().st_blocks * 512 < 2**20
    left = subprocess.run(
        [*RSYNC, "--checksum", "--dry-run", "--itemize-changes", f"{source}/", f"{target}/"],
        check=True,
        capture_output=True,
    )
    assert left.stdout == b""


def test_a_pass_that_is_repeated_changes_nothing(source: Path, target: Path) -> None:
    furnish(source)
    transfer(source, target, everything(source))
    transfer(source, target, everything(source))
    assert view(target) == view(source)


@needs_root
def test_the_marks_of_an_overlay_stay_behind(source: Path, target: Path) -> None:
    os.setxattr(source, "trusted.overlay.opaque", b"y")
    transfer(source, target, everything(source))
    assert "trusted.overlay.opaque" not in os.listxattr(target)


@pytest.mark.parametrize("before", ["file", "folder", "symlink", "fifo", "nothing"])
@pytest.mark.parametrize("after", ["file", "folder", "symlink", "fifo", "nothing"])
def test_a_path_changes_its_kind(source: Path, target: Path, before: str, after: str) -> None:
    def have(root: Path, kind: str) -> None:
        path = root / "path"
        if kind == "file":
            path.write_text("x")
        elif kind == "folder":
            (path / "below").mkdir(parents=True)
            (path / "below/file").write_text(str(root))
        elif kind == "symlink":
            path.symlink_to("below")
        elif kind == "fifo":
            os.mkfifo(path)

    have(source, after)
    have(target, before)
    transfer(source, target, everything(source, target))
    assert view(target) == view(source)


def test_links_that_were_broken_at_the_source_are_broken(source: Path, target: Path) -> None:
    (target / "a").write_text("shared")
    os.link(target / "a", target / "b")
    (source / "a").write_text("one")
    (source / "b").write_text("two")
    transfer(source, target, everything(source))
    assert view(target) == view(source)


# -- large files --------------------------------------------------------------------------------


def test_of_a_large_file_only_what_differs_is_sent(source: Path, target: Path) -> None:
    large = source / "large"
    large.write_bytes(os.urandom(10 * 2**20))
    os.link(large, source / "other")
    first, _ = transfer(source, target, everything(source))
    kept = (target / "large").stat().st_ino
    with open(large, "r+b") as out:
        out.seek(5 * BLOCK_BYTES + 7)
        out.write(b"changed")
        out.seek(8 * BLOCK_BYTES)
        out.write(bytes(BLOCK_BYTES))
        out.seek(0, os.SEEK_END)
        out.write(b"appended")
    second, _ = transfer(source, target, everything(source), first.signatures)
    assert view(target) == view(source)
    assert second.size_bytes < 2.5 * BLOCK_BYTES
    assert (target / "large").stat().st_ino == kept
    os.truncate(large, BLOCK_BYTES + 1)
    third, _ = transfer(source, target, everything(source), second.signatures)
    assert view(target) == view(source)
    assert third.size_bytes < 2 * BLOCK_BYTES
    os.truncate(large, SMALL_BYTES)
    fourth, _ = transfer(source, target, everything(source), third.signatures)
    assert view(target) == view(source)
    assert not fourth.signatures


def test_of_a_database_the_pages_that_differ_are_sent(source: Path, target: Path) -> None:
    database = source / "database"
    database.write_bytes(os.urandom(100 * PAGE_BYTES))
    first, _ = transfer(source, target, everything(source))
    with open(database, "r+b") as out:
        out.seek(7 * PAGE_BYTES)
        out.write(b"changed")
        out.truncate(99 * PAGE_BYTES + 1)
    second, _ = transfer(source, target, everything(source), first.signatures)
    assert view(target) == view(source)
    assert second.size_bytes < 2 * PAGE_BYTES


def test_a_large_file_that_is_another_one_is_sent_whole(source: Path, target: Path) -> None:
    (source / "folder").mkdir()
    (source / "folder/large").write_bytes(os.urandom(SMALL_BYTES + 1))
    built, _ = transfer(source, target, everything(source))
    (source / "folder").rename(source / "away")
    dirty = Dirty(frozenset([b"folder", *tree(source)]), frozenset([b"away"]))
    built, _ = transfer(source, target, dirty, built.signatures)
    assert list(built.signatures) == [b"away/large"]
    assert view(target) == view(source)


@pytest.mark.parametrize("change", ["size", "time", "gone"])
def test_a_patch_of_another_file_is_refused(source: Path, target: Path, change: str) -> None:
    (source / "large").write_bytes(os.urandom(SMALL_BYTES + 1))
    built, _ = transfer(source, target, everything(source))
    if change == "size":
        status = (target / "large").stat()
        os.truncate(target / "large", 5)
        os.utime(target / "large", ns=(status.st_atime_ns, status.st_mtime_ns))
    elif change == "time":
        os.utime(target / "large", ns=(1, 1))
    else:
        (target / "large").unlink()
    out = io.BytesIO()
    build(source, everything(source), out, built.signatures)
    stream = io.BytesIO(out.getvalue() + b"next")
    reader = Reader(stream)
    with pytest.raises(RelocationError, match="'large' is not the file that the source believes"):
        apply(target, reader)
    assert reader.drain()
    assert stream.read() == b"next"


# -- streams that are not what they should be ---------------------------------------------------


@pytest.fixture
def stream(source: Path) -> bytes:
    (source / "folder").mkdir()
    (source / "folder/file").write_text("content")
    os.link(source / "folder/file", source / "link")
    (source / "symlink").symlink_to("folder")
    out = io.BytesIO()
    build(source, everything(source), out)
    return out.getvalue()


def test_a_stream_that_breaks_off_is_refused(stream: bytes, target: Path) -> None:
    for length in range(len(stream)):
        with pytest.raises(DamagedStream):
            apply(target, Reader(io.BytesIO(stream[:length])))
    assert apply(target, Reader(io.BytesIO(stream))).bytes == len(stream)


def test_a_stream_with_any_bit_flipped_is_refused(
    stream: bytes, target: Path, tmp_path: Path
) -> None:
    outside = view(tmp_path)
    for bit in range(len(stream) * 8):
        damaged = bytearray(stream)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(DamagedStream):
            apply(target, Reader(io.BytesIO(damaged)))
    now = view(tmp_path)
    for path in outside.keys() | now.keys():
        if not path.startswith(b"target"):
            assert now.get(path) == outside.get(path), path


def test_what_was_not_finished_has_another_time(source: Path, target: Path) -> None:
    (source / "file").write_bytes(os.urandom(5 * BLOCK_BYTES))
    out = io.BytesIO()
    build(source, everything(source), out)
    with pytest.raises(DamagedStream):
        apply(target, Reader(io.BytesIO(out.getvalue()[:-100])))
    assert (target / "file").stat().st_mtime_ns != (source / "file").stat().st_mtime_ns


FOLDER = list(Attributes(stat.S_IFDIR | 0o755, os.getuid(), os.getgid(), 1, ()).fields())
FILE = list(Attributes(stat.S_IFREG | 0o644, os.getuid(), os.getgid(), 1, ()).fields())


@pytest.mark.parametrize(
    "records",
    [
        [[b"file", b"../evil", b"", *FILE], [b"size", b"0"]],
        [[b"file", b"/evil", b"", *FILE], [b"size", b"0"]],
        [[b"file", b"way/evil", b"", *FILE], [b"size", b"0"]],
        [[b"file", b"./evil", b"", *FILE], [b"size", b"0"]],
        [[b"file", b"", b"", *FILE], [b"size", b"0"]],
        [[b"file", b"a", b"", *FILE], [b"data", b"-1", b"x"], [b"size", b"1"]],
        [[b"file", b"a", b"", *FILE], [b"size", b"99999999999999999999"]],
        [[b"file", b"a", b"", *FILE]],
        [[b"file", b"a", b"", *FILE], [b"absent", b"b"]],
        [[b"file", b"a", b"", *FILE[:3]], [b"size", b"0"]],
        [[b"file", b"file", pack([b"7", b"1"]), *FILE], [b"size", b"0"]],
        [[b"folder", b"..", b"", *FOLDER]],
        [[b"folder", b"way/evil", b"", *FOLDER]],
        [[b"folder", b"a", b"", *FILE]],
        [[b"folder", b"a\0b", b"", *FOLDER]],
        [[b"absent", b""]],
        [[b"absent", b"../outside/file"]],
        [[b"link", b"a", b"../outside/file"]],
        [[b"link", b"a", b"way/file"]],
        [[b"link", b"../evil", b"a"]],
        [[b"symlink", b"a", b"x", *FILE], [b"file", b"../evil", b"", *FILE]],
        [[b"symlink", b"a", b"../outside", *FILE], [b"file", b"a/evil", b"", *FILE]],
        [[b"special", b"a", b"0", *FILE]],
        [[b"data", b"0", b"x"]],
        [[b"unknown", b"a"]],
        [[b"absent"]],
        [[]],
    ],
)
def test_nothing_leads_out_of_the_root(target: Path, records: list[list[bytes]]) -> None:
    outside = target.parent / "outside"
    outside.mkdir()
    (outside / "file").write_text("mine")
    (target / "way").symlink_to(outside)
    before = view(outside)
    out = io.BytesIO()
    writer = Writer(out)
    for record in records:
        writer.write(*record)
    writer.close()
    stream = io.BytesIO(out.getvalue() + b"next")
    reader = Reader(stream)
    with pytest.raises(RelocationError, match="cannot be applied"):
        apply(target, reader)
    assert reader.drain()
    assert stream.read() == b"next"
    assert view(outside) == before
    assert sorted(os.listdir(target.parent)) == ["outside", "target"]


def test_a_source_that_gives_up_says_so(
    source: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (source / "file").write_text("content")

    def fail(*_arguments: object) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(volume_delta.os, "pread", fail)
    out = io.BytesIO()
    with pytest.raises(OSError, match="Input/output"):
        build(source, everything(source), out)
    with pytest.raises(RelocationError, match="gave up") as caught:
        apply(target, Reader(io.BytesIO(out.getvalue())))
    assert not isinstance(caught.value, DamagedStream)


@pytest.mark.parametrize("many", [False, True])
def test_what_was_sent_is_on_the_disk(
    source: Path, target: Path, monkeypatch: pytest.MonkeyPatch, many: bool
) -> None:
    (source / "folder").mkdir()
    (source / "folder/file").write_text("content")
    for number in range(50 if many else 0):
        (source / f"folder/{number}").touch()
    synced: list[Path] = []

    def sync(fd: int) -> None:
        synced.append(Path(os.readlink(f"/proc/self/fd/{fd}")))

    monkeypatch.setattr(volume_apply.os, "fsync", sync)
    monkeypatch.setattr(volume_apply, "syncfs", sync)
    _built, applied = transfer(source, target, everything(source))
    assert synced == []
    # By then the app may have been activated.
    (target / "folder").rename(target / "elsewhere")
    (target / "elsewhere/file").rename(target / "renamed")
    applied.sync()
    if many:
        assert synced == [target]
    else:
        assert set(synced) == {target, target / "elsewhere", target / "renamed"}


def test_what_is_never_synced_is_closed_all_the_same(source: Path, target: Path) -> None:
    (source / "file").write_text("content")
    transfer(source, target, everything(source))
    before = os.listdir("/proc/self/fd")
    transfer(source, target, everything(source))
    assert os.listdir("/proc/self/fd") == before
