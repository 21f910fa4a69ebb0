# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether something is mounted below a directory (proc(5), mountinfo)."""

from __future__ import annotations

import os
import re
import select
from pathlib import Path


class Mounts:
    """The mounts below a directory; at its end, ``close``.

    Reading the table takes 0.3 ms on a host with many containers, so it is read again only when the
    kernel says that it has changed.
    """

    def __init__(self, root: bytes) -> None:
        self._root = root
        self._fd = os.open("/proc/self/mountinfo", os.O_RDONLY | os.O_CLOEXEC)
        self._changed = select.poll()
        self._changed.register(self._fd, select.POLLPRI)
        self._first = self._read()

    def first(self) -> bytes | None:
        """One of them, as the table shows it."""
        if self._changed.poll(0):
            self._first = self._read()
        return self._first

    def close(self) -> None:
        """Look no more."""
        os.close(self._fd)

    def _read(self) -> bytes | None:
        os.lseek(self._fd, 0, os.SEEK_SET)
        with open(self._fd, "rb", closefd=False) as table:
            return mount_below(self._root, table.read())


def is_mounted_below(root: Path) -> bool:
    """Whether something is mounted below a directory now."""
    table = Path("/proc/self/mountinfo").read_bytes()
    return mount_below(os.fsencode(root), table) is not None


def mount_below(root: bytes, table: bytes) -> bytes | None:
    """A mount point below a directory; in the table it is the fifth word, with octal escapes."""
    shown = re.sub(rb"[ \t\n\\]", lambda found: b"\\%03o" % ord(found[0]), root.rstrip(b"/"))
    found = re.search(rb"^(?:\S+ ){4}(" + re.escape(shown) + rb"/\S+)", table, re.MULTILINE)
    return found and found[1]
