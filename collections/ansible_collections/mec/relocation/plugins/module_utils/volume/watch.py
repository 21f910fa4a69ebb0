# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which paths of a volume have changed: watched while the app serves, known when it is frozen.

A watch goes on in rounds. The first begins with the watch, the next with each call of ``dirty``.
A copy that begins after a round has begun, and what ``dirty`` names at its end, are together what
the volume is then. It may name more than has changed.

What the kernel does not tell is found otherwise. Stores into mapped files raise no event before the
last of them: what is mapped or open for writing at either end of a round counts as changed. Events
name one of a file's hard links: all of its names count. Nothing is heard of a new directory before
it is watched: all that is below it counts.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import stat
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from . import inotify
from .inotify import Event, Inotify
from .mounts import Mounts
from .open_files import inodes_open_for_writing
from .paths import ABSENT, closing, folder_of, join, open_folder, opened_root
from .round import CONTENT, NAMES, Round

_SELF = inotify.DELETE_SELF | inotify.MOVE_SELF
# Between two looks at the queue: a busy app must not keep this process busy as well.
_PAUSE_S = 0.001
# Kernels stamp times in steps of up to 10 ms.
_CLOCK_STEP_NS = 100_000_000


@dataclass(frozen=True)
class Dirty:
    """What may differ from a copy.

    Attributes:
        paths: relative to the root, which is ``b""``; what is gone counts with all that was in it.
        exact: those that are new directories: the copy may have more in them than there is.
    """

    paths: frozenset[bytes]
    exact: frozenset[bytes] = frozenset()


class VolumeWatch:
    """Watches a volume from ``__enter__`` to ``__exit__``.

    Args:
        root: the volume.
        pids: the processes that write it.

    Attributes:
        reason: why ``dirty`` gives None, once it does; this watch will not recover.

    Raises:
        OSError: on ``__enter__``, there is no such directory.
    """

    def __init__(self, root: Path, pids: Iterable[int] = ()) -> None:
        self.root = root
        self.reason: str | None = None
        self._pids = tuple(pids)
        self._names_of: dict[int, list[bytes]] = {}
        self._inode_of: dict[bytes, int] = {}
        self._open: set[int] = set()
        self._folders: dict[int, bytes] = {}
        self._lock = threading.Lock()
        self._cleanup = contextlib.ExitStack()
        self._round = Round({})

    def __enter__(self) -> VolumeWatch:
        with contextlib.ExitStack() as opened:
            self._root_fd = opened.enter_context(opened_root(self.root))
            self._device = os.fstat(self._root_fd).st_dev
            self._inotify = Inotify()
            opened.callback(self._inotify.close)
            self._mounts = Mounts(os.path.realpath(os.fsencode(self.root)))
            opened.callback(self._mounts.close)
            self._stop = opened.enter_context(closing(os.eventfd(0)))
            with self._losing():
                self._begin_round(inodes_open_for_writing(self._pids, self._device))
                self._add_names(self._walk(b""))
                self._check_root()
            collector = threading.Thread(target=self._run, name="volume-watch", daemon=True)
            collector.start()
            opened.callback(collector.join)
            opened.callback(os.eventfd_write, self._stop, 1)
            self._cleanup = opened.pop_all()
        return self

    def __exit__(self, *_error: object) -> None:
        self._cleanup.close()

    def dirty(self, pids: Iterable[int]) -> Dirty | None:
        """End the round: what may have changed in it; the next one has begun when this returns.

        Args:
            pids: the processes that write the volume. They stand still at the freeze; before it,
                what they do from now on belongs to the next round.

        Returns:
            None where the watch may have missed something; ``reason`` says why.
        """
        with self._lock:
            with self._losing():
                self._collect()
                self._check_root()
                opened = inodes_open_for_writing(pids, self._device)
                ended, before = self._round, self._open
                self._begin_round(opened)
                dirty = self._resolve(ended, opened | before)
                if self.reason is None:
                    return dirty
            return None

    # -- collecting -------------------------------------------------------------------------

    def _begin_round(self, opened: set[int]) -> None:
        # What is open now can still be written through a name that it no longer has.
        self._open = opened
        self._round = Round(self._inode_of)

    def _run(self) -> None:
        ready = select.poll()
        for fd in (self._inotify.fd, self._stop):
            ready.register(fd, select.POLLIN)
        while self.reason is None:
            if any(fd == self._stop for fd, _event in ready.poll()):
                return
            with self._lock, self._losing():
                self._collect()
            time.sleep(_PAUSE_S)

    def _collect(self) -> None:
        """Note all events until now, and what the files that have been created are."""
        self._note(self._inotify.read())
        fresh = dict(self._round.unidentified)
        seen = {path: self._status(path) for path in fresh}
        if not seen:
            return
        # Whatever had happened to such a path before we looked at it is in the queue by now.
        self._note(self._inotify.read())
        for path, status in seen.items():
            if status is not None and self._round.unidentified.get(path) == fresh[path]:
                self._round.identify(path, status.st_ino)

    def _note(self, events: Iterable[Event]) -> None:
        for event in events:
            if event.mask & inotify.Q_OVERFLOW:
                self._lose("events came faster than they were read")
            elif event.mask & inotify.UNMOUNT:
                self._lose("it was unmounted")
            elif event.mask & inotify.IGNORED:
                self._folders.pop(event.watch, None)
            elif event.mask & _SELF:
                self._lose("its root was moved or removed")
            elif event.watch in self._folders:
                self._round.note(self._folders[event.watch], event)
            else:
                self._lose("an event came from a directory that is not known")

    # -- at the end of a round --------------------------------------------------------------

    def _resolve(self, ended: Round, opened: set[int]) -> Dirty:
        found = {path: self._status(path) for path in ended.touched}
        inodes = opened | ended.inodes
        exact: set[bytes] = set()
        below: dict[bytes, int] = {}
        for folder in sorted(ended.new_folders):
            # One that lies in another new one has been walked with it.
            if folder not in exact:
                below.update(self._walk(folder, exact))
        for path, status in found.items():
            if path in self._inode_of:
                inodes.add(self._inode_of[path])
            if status is not None and not stat.S_ISDIR(status.st_mode):
                below[path] = status.st_ino
        inodes.update(below.values())
        if ended.new_folders or not ended.accounted:
            # A hard link may have come and gone without our seeing whose: changed files tell.
            inodes.update(self._changed_since(ended.began_ns))
        paths = {*ended.touched, *below, *exact}
        for inode in inodes:
            paths.update(self._names_of.get(inode, ()))
        for path in ended.touched:
            self._drop_name(path)
        self._add_names(below)
        return Dirty(frozenset(paths), frozenset(exact))

    def _walk(self, top: bytes, folders: set[bytes] | None = None) -> dict[bytes, int]:
        """Watch a directory and all below it; the inodes of the files there.

        A directory is watched before it is read: what comes after that raises an event.
        """
        files: dict[bytes, int] = {}
        waiting = [top]
        while waiting:
            path = waiting.pop()
            # It may be gone: its end raised an event as well.
            with contextlib.suppress(*ABSENT), closing(open_folder(self._root_fd, path)) as fd:
                self._watch(fd, path)
                if folders is not None:
                    folders.add(path)
                with os.scandir(fd) as entries:
                    for entry in entries:
                        at = join(path, os.fsencode(entry.name))
                        if entry.is_dir(follow_symlinks=False):
                            waiting.append(at)
                            continue
                        with contextlib.suppress(FileNotFoundError):
                            files[at] = entry.stat(follow_symlinks=False).st_ino
        return files

    def _watch(self, fd: int, path: bytes) -> None:
        if os.fstat(fd).st_dev != self._device:
            self._lose(f"{os.fsdecode(path)!r} in it is another file system")
        self._folders[self._inotify.add(fd, NAMES | CONTENT | (0 if path else _SELF))] = path

    def _changed_since(self, began_ns: int) -> set[int]:
        """The inodes of files that have changed; a look at every file."""
        changed: set[int] = set()
        for folder in self._folders.values():
            with (
                contextlib.suppress(*ABSENT),
                closing(open_folder(self._root_fd, folder)) as fd,
                os.scandir(fd) as entries,
            ):
                for entry in entries:
                    with contextlib.suppress(FileNotFoundError):
                        status = entry.stat(follow_symlinks=False)
                        if status.st_ctime_ns >= began_ns - _CLOCK_STEP_NS:
                            changed.add(status.st_ino)
        return changed

    def _status(self, path: bytes) -> os.stat_result | None:
        try:
            with folder_of(self._root_fd, path) as (folder, name):
                return os.stat(name, dir_fd=folder, follow_symlinks=False)
        except ABSENT:
            return None

    def _add_names(self, inode_of: dict[bytes, int]) -> None:
        for path, inode in inode_of.items():
            self._drop_name(path)
            self._names_of.setdefault(inode, []).append(path)
        self._inode_of.update(inode_of)

    def _drop_name(self, path: bytes) -> None:
        inode = self._inode_of.pop(path, None)
        if inode is not None:
            self._names_of[inode].remove(path)
            if not self._names_of[inode]:
                del self._names_of[inode]

    def _check_root(self) -> None:
        """Notice what no event tells: another directory in its place, mounts below it."""
        ours, there = os.fstat(self._root_fd), os.stat(self.root)
        if (ours.st_dev, ours.st_ino) != (there.st_dev, there.st_ino):
            self._lose("another directory has taken its place")
        if mount := self._mounts.first():
            self._lose(f"{os.fsdecode(mount)} is mounted in it")

    # -- losing -----------------------------------------------------------------------------

    @contextlib.contextmanager
    def _losing(self) -> Iterator[None]:
        """The watch is lost where it cannot go on."""
        try:
            yield
        except OSError as error:
            limit = error.errno == errno.ENOSPC
            self._lose("the limit of inotify watches is reached" if limit else str(error))

    def _lose(self, reason: str) -> None:
        self.reason = self.reason or f"The watch of {self.root} is lost: {reason}."
