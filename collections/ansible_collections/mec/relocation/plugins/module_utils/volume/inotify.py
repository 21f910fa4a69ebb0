# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Linux's inotify, as far as `watch` needs it (inotify(7))."""

from __future__ import annotations

import ctypes
import fcntl
import os
import struct
import termios
from collections.abc import Iterator
from typing import NamedTuple

from .paths import by_descriptor

MODIFY = 0x2
ATTRIB = 0x4
CLOSE_WRITE = 0x8
MOVED_FROM = 0x40
MOVED_TO = 0x80
CREATE = 0x100
DELETE = 0x200
DELETE_SELF = 0x400
MOVE_SELF = 0x800
UNMOUNT = 0x2000
Q_OVERFLOW = 0x4000
IGNORED = 0x8000
ISDIR = 0x40000000
_ONLYDIR = 0x1000000

_HEAD = struct.Struct("iIII")
_LIBC = ctypes.CDLL(None, use_errno=True)


class Event(NamedTuple):
    """What happened in a folder, or to it where there is no name; a move has a cookie."""

    watch: int
    mask: int
    cookie: int
    name: bytes


class Inotify:
    """One queue of events; at its end, ``close``."""

    def __init__(self) -> None:
        self.fd = _checked(_LIBC.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))

    def add(self, folder: int, mask: int) -> int:
        """Watch an open directory; one that is watched already keeps its number.

        Raises:
            OSError: with ENOSPC where the user's limit of watches is reached.
        """
        # By the descriptor: no link on the way to the directory can lead elsewhere.
        return _checked(_LIBC.inotify_add_watch(self.fd, by_descriptor(folder), mask | _ONLYDIR))

    def read(self) -> Iterator[Event]:
        """All events that are queued now; they have left the queue when this returns."""
        queued = ctypes.c_int()
        fcntl.ioctl(self.fd, termios.FIONREAD, queued)
        return _parse(os.read(self.fd, queued.value) if queued.value else b"")

    def close(self) -> None:
        """Forget all watches."""
        os.close(self.fd)


def _parse(buffer: bytes) -> Iterator[Event]:
    at = 0
    while at < len(buffer):
        watch, mask, cookie, length = _HEAD.unpack_from(buffer, at)
        at += _HEAD.size + length
        yield Event(watch, mask, cookie, buffer[at - length : at].rstrip(b"\0"))


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
