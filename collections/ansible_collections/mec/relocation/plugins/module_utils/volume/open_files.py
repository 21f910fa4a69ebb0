# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which files processes could be writing without saying so: mapped, or open for writing."""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Iterable, Iterator

# In proc(5)'s maps: the range of a shared mapping, and the inode that it maps.
_SHARED = re.compile(rb"^([0-9a-f]+)-([0-9a-f]+) ...s \S+ \S+ ([1-9]\d*)", re.MULTILINE)


def inodes_open_for_writing(pids: Iterable[int], device: int) -> set[int]:
    """The inodes of a file system that the processes have mapped or open for writing.

    A process that ends meanwhile has closed its files. Threads with a table of open files of their
    own are not looked at.

    Raises:
        PermissionError: a process may not be looked into.
    """
    found: set[int] = set()
    for pid in pids:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for task in _tasks(pid):
                found.update(_mapped(task, device))
                found.update(_open(task, device))
    return found


def _tasks(pid: int) -> list[str]:
    """The process, or its threads where the first of them has ended: then it shows nothing."""
    process = f"/proc/{pid}"
    with open(f"{process}/stat", "rb") as status:
        state = status.read().rpartition(b") ")[2][:1]
    if state != b"Z":
        return [process]
    return [f"{process}/task/{thread}" for thread in os.listdir(f"{process}/task")]


def _mapped(task: str, device: int) -> Iterator[int]:
    with open(f"{task}/maps", "rb") as maps:
        mappings = maps.read()
    for start, end, inode in _SHARED.findall(mappings):
        try:
            yield from _if_written(f"{task}/map_files/{int(start, 16):x}-{int(end, 16):x}", device)
        except OSError:
            # Not everybody may follow these links, and threads have none. The number alone may be
            # that of another file, which is then sent in vain.
            yield int(inode)


def _open(task: str, device: int) -> Iterator[int]:
    for number in os.listdir(f"{task}/fd"):
        with contextlib.suppress(FileNotFoundError):
            yield from _if_written(f"{task}/fd/{number}", device)


def _if_written(link: str, device: int) -> Iterator[int]:
    """The inode at the end of a link in /proc, if its file was opened for writing.

    The link's own mode tells. A mapping that cannot be written now may have been before, so what it
    may do itself does not count.
    """
    if os.lstat(link).st_mode & stat.S_IWUSR:
        status = os.stat(link)
        if status.st_dev == device and stat.S_ISREG(status.st_mode):
            yield status.st_ino
