# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the events of one round of a `watch` say about the paths of the volume.

Events name paths, changes concern inodes, and an inode may have several names. So for every name
under which something changed it has to be known which inode it was: names from before the round
are known, others are looked at as soon as their event is read. A file that is gone by then leaves
the round unaccounted for.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Container

from . import inotify
from .inotify import Event
from .paths import join

NAMES = inotify.CREATE | inotify.DELETE | inotify.MOVED_FROM | inotify.MOVED_TO
CONTENT = inotify.MODIFY | inotify.ATTRIB | inotify.CLOSE_WRITE


class Round:
    """One round.

    Args:
        known: the names of files whose inodes are known from before.

    Attributes:
        touched: every path that an event named, and the folders in which names came or went.
        new_folders: those of them under which a directory came.
        inodes: of files that came in this round, as far as they were identified.
        unidentified: names of other such files; the number differs each time that one comes.
        began_ns: when it began, since the epoch.
    """

    def __init__(self, known: Container[bytes]) -> None:
        self.began_ns = time.time_ns()
        self.touched: set[bytes] = set()
        self.new_folders: set[bytes] = set()
        self.inodes: set[int] = set()
        self.unidentified: dict[bytes, int] = {}
        self._known = known
        self._identified: set[bytes] = set()
        self._serial = itertools.count()
        # By cookie: whether the file that was moved from somewhere is one that is unidentified.
        self._moving: dict[int, bool] = {}
        self._lost_one = False

    @property
    def accounted(self) -> bool:
        """Whether every inode under a name that came, or changed, has been identified."""
        return not (self._lost_one or self.unidentified or any(self._moving.values()))

    def note(self, folder: bytes, event: Event) -> None:
        """Take in what happened to a folder, or to a name in it."""
        if not event.name:
            self.touched.add(folder)
            return
        path = join(folder, event.name)
        self.touched.add(path)
        if event.mask & NAMES:
            self.touched.add(folder)
        if not event.mask & inotify.ISDIR:
            self._note_file(path, event)
        elif event.mask & (inotify.CREATE | inotify.MOVED_TO):
            self.new_folders.add(path)

    def identify(self, path: bytes, inode: int) -> None:
        """Note which file has come under a name."""
        del self.unidentified[path]
        self._identified.add(path)
        self.inodes.add(inode)

    def _note_file(self, path: bytes, event: Event) -> None:
        if event.mask & inotify.CREATE:
            self._comes(path)
        elif event.mask & inotify.DELETE:
            self._goes(path)
        elif event.mask & inotify.MOVED_FROM:
            self._moving[event.cookie] = self._is_unidentified(path)
            self.unidentified.pop(path, None)
        elif event.mask & inotify.MOVED_TO:
            self._goes(path)
            # Without a cookie that we know, it comes from outside the volume.
            if self._moving.pop(event.cookie, True):
                self._comes(path)
            else:
                self._identified.add(path)
        elif path not in self.unidentified and self._is_unidentified(path):
            # Written through a name that was gone before the round.
            self._comes(path)

    def _is_unidentified(self, path: bytes) -> bool:
        return path in self.unidentified or (
            path not in self._known and path not in self._identified
        )

    def _comes(self, path: bytes) -> None:
        self.unidentified[path] = next(self._serial)

    def _goes(self, path: bytes) -> None:
        if self.unidentified.pop(path, None) is not None:
            self._lost_one = True
