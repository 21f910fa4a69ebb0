# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Volumes for tests: one with everything in it, an app that changes one, and a view of one."""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import shlex
import shutil
import stat
import subprocess
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.mec.relocation.plugins.module_utils.host.lock import AGENT, Lock
from ansible_collections.mec.relocation.plugins.module_utils.host.owner import Note, State
from ansible_collections.mec.relocation.plugins.module_utils.host.state import AppState
from ansible_collections.mec.relocation.plugins.module_utils.programs import rsync_server
from ansible_collections.mec.relocation.plugins.module_utils.volume.delta import SMALL_BYTES
from ansible_collections.mec.relocation.plugins.module_utils.volume.rsync import VolumeSync
from ansible_collections.mec.relocation.plugins.module_utils.wire.ssh import Connection
from ansible_collections.mec.relocation.tests.unit.plugins.module_utils.hosts import host_config
from hypothesis import strategies as st

ROOT = os.geteuid() == 0
needs_root = pytest.mark.skipif(not ROOT, reason="owners and devices need root")
needs_rsync = pytest.mark.skipif(shutil.which("rsync") is None, reason="rsync is not installed")
# version 2; owner rw, user 1234 r, group r, mask r, other r
ACL = bytes.fromhex(
    "02000000 01000600ffffffff 02000400d2040000 04000400ffffffff 10000400ffffffff 20000400ffffffff"
)
CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")

View = dict[bytes, tuple[Any, ...]]


def tree(root: Path) -> Iterator[bytes]:
    """Every path below a root, and the root."""
    top = os.fsencode(root)
    yield b""
    for folder, folders, files in os.walk(top):
        for name in folders + files:
            yield os.path.relpath(os.path.join(folder, name), top)


def view(root: Path) -> View:
    """All that there is to see of a volume."""
    seen: View = {}
    links: dict[int, list[bytes]] = {}
    for path in tree(root):
        at = os.path.join(os.fsencode(root), path)
        status = os.lstat(at)
        content: object = None
        if stat.S_ISREG(status.st_mode):
            content = Path(os.fsdecode(at)).read_bytes()
        elif stat.S_ISLNK(status.st_mode):
            content = os.readlink(at)
        elif not stat.S_ISDIR(status.st_mode):
            content = status.st_rdev
        if not stat.S_ISDIR(status.st_mode):
            links.setdefault(status.st_ino, []).append(path)
        xattrs = {
            name: os.getxattr(at, name, follow_symlinks=False)
            for name in os.listxattr(at, follow_symlinks=False)
        }
        mode = None if stat.S_ISLNK(status.st_mode) else stat.S_IMODE(status.st_mode)
        owner = status.st_uid, status.st_gid
        kind = stat.S_IFMT(status.st_mode)
        seen[path] = (kind, mode, owner, status.st_mtime_ns, xattrs, content)
    for names in links.values():
        for name in names:
            seen[name] += (sorted(names),)
    return seen


def copy(source: Path, target: Path) -> None:
    """What a pass makes."""
    if target.exists():
        shutil.rmtree(target)
    subprocess.run(["cp", "-a", source, target], check=True)


FAR_END = """#!/bin/sh
pv_root=$1 state_dir=$2
while [ "$1" != rsync ]; do shift; done
export PYTHONPATH={path} SSH_ORIGINAL_COMMAND="$*"
exec {python} -m {program} "$pv_root" "$state_dir"
"""


class _NoConnection(Connection):
    """A command in place of an SSH client."""

    shell: list[str]

    def open(self) -> None:
        """Nothing: there is none."""

    def command(self, *, shared: bool = True) -> list[str]:  # noqa: ARG002
        return self.shell


class LocalPasses(VolumeSync):
    """Passes of the real rsync between two folders, with our own far end.

    With `expected`, somebody relocates the app to the target for as long as this object lives.
    """

    def __init__(self, place: Path, *, expected: bool = True) -> None:
        super().__init__(host_config(place, "worker1", "worker2"), "notes", "worker2")
        there = host_config(place, "worker2")
        self.target = there.pv_root / "notes"
        for root in (self.source, self.target):
            root.mkdir(parents=True)
        if expected:
            kept = AppState(there.state_dir, "notes")
            weakref.finalize(self, os.close, Lock(kept.folder, "notes").take("h1", AGENT))
            kept.write(Note(State.PREPARED, handoff="h1"))
        far_end = place / "ssh"
        path = shlex.quote(os.pathsep.join(sys.path))
        program = rsync_server.__name__
        far_end.write_text(FAR_END.format(path=path, python=sys.executable, program=program))
        far_end.chmod(0o700)
        self._connection = _NoConnection(self.config, Path("key"), "worker2")
        self._connection.shell = [str(far_end), str(there.pv_root), str(there.state_dir)]


def furnish(root: Path) -> None:
    """One of each kind, with all attributes that can be set."""
    (root / "folder").mkdir(mode=0o2750)
    (root / "folder/file").write_bytes(b"content")
    os.link(root / "folder/file", root / "another name")
    os.symlink("/etc/passwd", root / "symlink")
    os.link(root / "symlink", root / "folder/same symlink", follow_symlinks=False)
    os.mkfifo(root / "fifo", 0o640)
    os.mknod(root / "socket", stat.S_IFSOCK | 0o666)
    (root / "empty").touch(mode=0o604)
    with open(root / "sparse", "wb") as sparse:
        sparse.truncate(50 * 2**20)
        sparse.seek(20 * 2**20 + 5)
        sparse.write(b"island")
    os.setxattr(root / "folder/file", "user.note", b"\0\xff")
    os.setxattr(root / "folder", "system.posix_acl_default", ACL)
    os.setxattr(root / "empty", "system.posix_acl_access", ACL)
    os.utime(root / "symlink", ns=(1, 1_000_000_001), follow_symlinks=False)
    os.utime(root / "empty", ns=(1, -5))
    if ROOT:
        os.mknod(root / "device", stat.S_IFCHR | 0o600, os.makedev(1, 3))
        os.mknod(root / "block", stat.S_IFBLK | 0o660, os.makedev(7, 0))
        os.chown(root / "folder/file", 1234, 5678)
        os.chown(root / "symlink", 99, 98, follow_symlinks=False)
        os.chmod(root / "folder/file", 0o4700)
        os.setxattr(root / "folder/file", "security.capability", CAPABILITY)
        os.setxattr(root / "empty", "trusted.note", b"1")
        os.setxattr(root / "symlink", "trusted.note", b"2", follow_symlinks=False)
    os.utime(root / "folder", ns=(1, 10**18 + 7))


NAMES = [b"a", b"b", b"-rf", b"\xff\n", b"d", b"d/a", b"d/b", b"d/e", b"d/e/a", b"f", b"f/a"]


class App:
    """Does things to a volume; what does not work is left."""

    def __init__(self, root: Path) -> None:
        self._root = os.fsencode(root)
        self._files: list[int] = []
        self._mappings: list[mmap.mmap] = []

    def act(self, what: str, one: bytes, other: bytes, number: int) -> None:
        with contextlib.suppress(OSError, IndexError, shutil.Error):
            getattr(self, what)(self.at(one), self.at(other), number)

    def at(self, path: bytes) -> bytes:
        return os.path.join(self._root, path)

    def close(self) -> None:
        for fd in self._files:
            os.close(fd)
        for mapping in self._mappings:
            mapping.close()

    def write(self, path: bytes, _other: bytes, number: int) -> None:
        self._put(path, os.O_CREAT | os.O_TRUNC, b"%d" % number * 4)

    def rewrite(self, path: bytes, _other: bytes, number: int) -> None:
        self._put(path, 0, b"%d" % (number % 10))

    def append(self, path: bytes, _other: bytes, number: int) -> None:
        self._put(path, os.O_APPEND, b"+%d" % number)

    def truncate(self, path: bytes, _other: bytes, number: int) -> None:
        os.truncate(path, number)

    def write_large(self, path: bytes, _other: bytes, number: int) -> None:
        self._put(path, os.O_CREAT, os.urandom(SMALL_BYTES + 1 + number))

    def write_sparse(self, path: bytes, _other: bytes, number: int) -> None:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            os.pwrite(fd, b"far", number * 8000)
        finally:
            os.close(fd)

    def replace(self, path: bytes, _other: bytes, number: int) -> None:
        self._put(path + b"~", os.O_CREAT, b"new %d" % number)
        os.rename(path + b"~", path)

    def come_and_go(self, path: bytes, _other: bytes, number: int) -> None:
        self._put(path + b"~", os.O_CREAT | os.O_EXCL, b"%d" % number)
        os.unlink(path + b"~")

    def mkdir(self, path: bytes, _other: bytes, _number: int) -> None:
        os.mkdir(path)

    def rmtree(self, path: bytes, _other: bytes, _number: int) -> None:
        # It would wait for a FIFO's other end.
        if os.path.isdir(path):
            shutil.rmtree(path)

    def rename(self, path: bytes, other: bytes, _number: int) -> None:
        os.rename(path, other)

    def exchange(self, path: bytes, other: bytes, _number: int) -> None:
        ctypes.CDLL(None).renameat2(-100, path, -100, other, 2)

    def link(self, path: bytes, other: bytes, _number: int) -> None:
        os.link(path, other, follow_symlinks=False)

    def write_through_link(self, path: bytes, _other: bytes, number: int) -> None:
        """Through a name that is gone when anybody looks."""
        os.link(path, path + b"~", follow_symlinks=False)
        self._put(path + b"~", 0, b"through %d" % number)
        os.unlink(path + b"~")

    def unlink(self, path: bytes, _other: bytes, _number: int) -> None:
        os.unlink(path)

    def symlink(self, path: bytes, other: bytes, _number: int) -> None:
        os.symlink(other, path)

    def mkfifo(self, path: bytes, _other: bytes, _number: int) -> None:
        os.mkfifo(path)

    def chmod(self, path: bytes, _other: bytes, number: int) -> None:
        if not os.path.islink(path):
            os.chmod(path, 0o700 | number % 64)

    def chown(self, path: bytes, _other: bytes, number: int) -> None:
        os.chown(path, number, number, follow_symlinks=False)

    def set_back(self, path: bytes, _other: bytes, number: int) -> None:
        os.utime(path, ns=(number, number * 10**9 + 1), follow_symlinks=False)

    def mark(self, path: bytes, _other: bytes, number: int) -> None:
        os.setxattr(path, "user.mark", b"%d" % number, follow_symlinks=False)

    def unmark(self, path: bytes, _other: bytes, _number: int) -> None:
        os.removexattr(path, "user.mark", follow_symlinks=False)

    def open(self, path: bytes, _other: bytes, _number: int) -> None:
        self._files.append(os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK))

    def write_open(self, _path: bytes, _other: bytes, number: int) -> None:
        os.pwrite(self._files[number % len(self._files or [0])], b"open %d" % number, 0)

    def close_open(self, _path: bytes, _other: bytes, _number: int) -> None:
        os.close(self._files.pop())

    def map(self, path: bytes, _other: bytes, number: int) -> None:
        fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            if stat.S_ISREG(os.fstat(fd).st_mode):
                os.ftruncate(fd, 5000 + number)
                self._mappings.append(mmap.mmap(fd, 5000))
        finally:
            os.close(fd)

    def store(self, _path: bytes, _other: bytes, number: int) -> None:
        # A file that was truncated meanwhile has nothing under its mapping: a signal would end us.
        mapping = self._mappings[number % len(self._mappings or [0])]
        if mapping.size() >= len(mapping):
            mapping[number % 5000] = number % 256

    def unmap(self, _path: bytes, _other: bytes, _number: int) -> None:
        self._mappings.pop().close()

    def _put(self, path: bytes, flags: int, content: bytes) -> None:
        fd = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | flags, 0o644)
        try:
            os.write(fd, content)
        finally:
            os.close(fd)


ACTIONS = [
    name
    for name in vars(App)
    if not name.startswith("_") and name not in ("act", "at", "close", "chown")
] + (["chown"] if ROOT else [])
# Without new directories, which bring everything with them, other ways have to do.
FLAT = [name for name in ACTIONS if name not in ("mkdir", "rmtree", "exchange")]


def actions_on(names: list[bytes], actions: list[str]) -> Any:
    """Things to do, one after another."""
    name = st.sampled_from(names)
    action = st.tuples(st.sampled_from(actions), name, name, st.integers(0, 100))
    return st.lists(action, max_size=12)


def histories(actions: list[str], names: list[bytes]) -> Any:
    """Things to do, with passes in between."""
    return st.lists(actions_on(names, actions), min_size=3, max_size=5)
