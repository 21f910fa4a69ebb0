# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Applies the changes of a volume on the target, as `delta` has written them.

What arrives is not trusted with anything outside of the volume: every path is walked step by step
from the root, and a symbolic link on the way ends it. What has been applied survives a crash of
this host when `Applied.sync` returns.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..ground.errors import RelocationError
from .attributes import Attributes
from .paths import (
    ABSENT,
    check_path,
    closing,
    folder_of,
    open_folder,
    open_handle,
    opened_root,
    parent,
)
from .stream import DamagedStream, Reader, unpack
from .syncfs import syncfs

_EMPTY = bytes(64 * 1024)
# Each sync of a file costs 0.25 ms, that of the file system what others have written to it.
_SYNCED_ONE_BY_ONE = 32


class NotApplied(RelocationError):
    """A delta that does not fit the copy that is here; the copy may have been changed in part.

    A pass of rsync makes it whole: it notices files that were not finished by their times.
    """


@dataclass(frozen=True)
class Applied:
    """What one stream changed.

    Attributes:
        files: paths.
        bytes: the bytes that came.
        sync: makes it outlive a crash of the host; raises OSError.
    """

    files: int
    bytes: int
    sync: Callable[[], None]


def apply(root: Path, reader: Reader) -> Applied:
    """Make the volume like the source's, for the paths in the stream; it is not durable yet.

    Args:
        root: the volume on the target; nobody else works on it.
        reader: the stream. It is read to its end, but not after an error.

    Raises:
        DamagedStream: the stream broke off or is not what was sent; it cannot be read on.
        NotApplied: it does not fit what is here.
    """
    try:
        with opened_root(root) as root_fd:
            changed = _Changed(root_fd)
            applier = _Applier(root_fd, reader, changed)
            applier.run()
    except DamagedStream:
        raise
    except Exception as error:  # whatever a stream of nonsense leads to
        raise NotApplied(
            f"The delta of the volume {root} cannot be applied: {error}.",
            "A pass of rsync makes it whole.",
        ) from error
    return Applied(applier.files, reader.size_bytes, changed.sync)


class _Changed:
    """What was changed and has to be synced, kept open until then.

    By its name it may not be found any more: an app that is activated meanwhile renames files.
    """

    def __init__(self, root_fd: int) -> None:
        self._root_fd = os.dup(root_fd)
        self._fds: list[int] = []
        self._too_many = False

    def keep(self, fd: int) -> None:
        """Take a descriptor over."""
        self._too_many = self._too_many or len(self._fds) == _SYNCED_ONE_BY_ONE
        self._fds.append(fd)
        if self._too_many:
            self._close()

    def sync(self) -> None:
        """Write it to the disk, its names too; once.

        Raises:
            OSError: the disk does not take it.
        """
        if self._too_many:
            syncfs(self._root_fd)
        for fd in self._fds:
            os.fsync(fd)
        self._close()

    def _close(self) -> None:
        while self._fds:
            os.close(self._fds.pop())

    def __del__(self) -> None:
        self._close()
        os.close(self._root_fd)


class _Applier:
    """Applies one stream."""

    def __init__(self, root_fd: int, reader: Reader, changed: _Changed) -> None:
        self._root_fd = root_fd
        self._records = iter(reader)
        self._changed = changed
        self.files = 0
        # Directories get their attributes last: what is done in them changes their time. They are
        # synced after that, which brings what cannot be synced by itself, symbolic links and
        # special files: the source sends the folder of all that it sends.
        self._folders: dict[bytes, Attributes] = {}
        # Directories in which names came or went.
        self._renamed_in: set[bytes] = set()

    def run(self) -> None:
        """Apply all records until the end."""
        takes: dict[bytes, Callable[..., None]] = {
            b"absent": self._absent,
            b"folder": self._folder,
            b"file": self._file,
            b"link": self._link,
            b"symlink": self._symlink,
            b"special": self._special,
        }
        for kind, path, *fields in self._records:
            if kind not in takes:
                raise ValueError(f"{kind!r} is no record that stands by itself")
            takes[kind](check_path(path), *fields)
            self.files += 1
        for path, attributes in reversed(self._folders.items()):
            with self._kept(open_folder(self._root_fd, path)) as fd:
                attributes.put(fd)
        for path in self._renamed_in.difference(self._folders):
            # One that something was removed from may have been removed itself.
            with contextlib.suppress(*ABSENT):
                self._changed.keep(open_folder(self._root_fd, path))

    # -- one record each --------------------------------------------------------------------

    def _absent(self, path: bytes) -> None:
        # Where even its folder is not there, there is nothing to remove.
        with contextlib.suppress(*ABSENT), self._changing(path) as (folder, name):
            _remove(folder, name)

    def _folder(self, path: bytes, names: bytes, *attributes: bytes) -> None:
        wanted = Attributes.from_fields(attributes)
        if not stat.S_ISDIR(wanted.mode):
            raise ValueError(f"{path!r} is said to be a directory, but its mode says no")
        with folder_of(self._root_fd, path) as (folder, name):
            status = _status(folder, name)
            if status is None or not stat.S_ISDIR(status.st_mode):
                _remove(folder, name)
                os.mkdir(name, 0o700, dir_fd=folder)
                self._renamed_in.add(parent(path))
        self._folders[path] = wanted
        if names:
            only = set(unpack(names[1:]))
            with closing(open_folder(self._root_fd, path)) as fd:
                for present in map(os.fsencode, os.listdir(fd)):
                    if present not in only:
                        _remove(fd, present)

    def _file(self, path: bytes, base: bytes, *attributes: bytes) -> None:
        wanted = Attributes.from_fields(attributes)
        with self._kept(self._open_base(path, base) if base else self._make(path)) as fd:
            try:
                self._fill(fd)
            except BaseException:
                # Written in the same tick of the clock, half a file could have the source's time.
                os.utime(fd, ns=(0, 0))
                raise
            wanted.put(fd)

    def _link(self, path: bytes, first: bytes) -> None:
        with folder_of(self._root_fd, check_path(first)) as (source, source_name):
            origin = os.stat(source_name, dir_fd=source, follow_symlinks=False)
            with self._changing(path) as (folder, name):
                status = _status(folder, name)
                if status is not None and os.path.samestat(origin, status):
                    return
                _remove(folder, name)
                os.link(
                    source_name, name, src_dir_fd=source, dst_dir_fd=folder, follow_symlinks=False
                )

    def _symlink(self, path: bytes, target: bytes, *attributes: bytes) -> None:
        with self._changing(path) as (folder, name):
            _remove(folder, name)
            os.symlink(target, name, dir_fd=folder)
            self._put(path, attributes)

    def _special(self, path: bytes, device: bytes, *attributes: bytes) -> None:
        kind = stat.S_IFMT(Attributes.from_fields(attributes).mode)
        if kind not in (stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFCHR, stat.S_IFBLK):
            raise ValueError(f"{path!r} is said to be special, but its mode says no")
        with self._changing(path) as (folder, name):
            _remove(folder, name)
            os.mknod(name, kind | 0o600, int(device), dir_fd=folder)
            self._put(path, attributes)

    # -- how --------------------------------------------------------------------------------

    def _make(self, path: bytes) -> int:
        """A new file: the old one may have other links, which are not of the new one."""
        with self._changing(path) as (folder, name):
            _remove(folder, name)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            return os.open(name, flags, 0o600, dir_fd=folder)

    def _open_base(self, path: bytes, base: bytes) -> int:
        """The file that is to be changed in place; an error unless it is the one that was meant."""
        size_bytes, mtime_ns = map(int, unpack(base))
        with folder_of(self._root_fd, path) as (folder, name):
            status = _status(folder, name)
            if (
                status is None
                or not stat.S_ISREG(status.st_mode)
                or (status.st_size, status.st_mtime_ns) != (size_bytes, mtime_ns)
            ):
                raise ValueError(f"{os.fsdecode(path)!r} is not the file that the source believes")
            return os.open(name, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)

    def _fill(self, fd: int) -> None:
        """Take the content of a file from the records that follow."""
        for kind, number, *content in self._records:
            if kind == b"data":
                _write(fd, content[0], int(number))
            elif kind == b"zeros":
                for at in range(0, int(content[0]), len(_EMPTY)):
                    _write(fd, _EMPTY[: int(content[0]) - at], int(number) + at)
            elif kind == b"size":
                os.ftruncate(fd, int(number))
                return
            else:
                break
        raise ValueError("the content of a file has no end")

    def _put(self, path: bytes, attributes: tuple[bytes, ...]) -> None:
        with closing(open_handle(self._root_fd, path)) as handle:
            Attributes.from_fields(attributes).put(handle)

    @contextlib.contextmanager
    def _changing(self, path: bytes) -> Iterator[tuple[int, bytes]]:
        """The folder in which a name comes or goes; never the root itself."""
        if not path:
            raise ValueError("the root of a volume stays a directory")
        with folder_of(self._root_fd, path) as at:
            self._renamed_in.add(parent(path))
            yield at

    @contextlib.contextmanager
    def _kept(self, fd: int) -> Iterator[int]:
        """A descriptor of what is being changed; it is kept to be synced."""
        try:
            yield fd
        except BaseException:
            os.close(fd)
            raise
        self._changed.keep(fd)


def _status(folder: int, name: bytes) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _remove(folder: int, name: bytes) -> None:
    """Remove what has this name, if anything has, with all that is in it."""
    status = _status(folder, name)
    if status is None:
        return
    if stat.S_ISDIR(status.st_mode):
        shutil.rmtree(name, dir_fd=folder)
    else:
        os.unlink(name, dir_fd=folder)


def _write(fd: int, content: bytes, at: int) -> None:
    left = memoryview(content)
    while left:
        written = os.pwrite(fd, left, at)
        left, at = left[written:], at + written
