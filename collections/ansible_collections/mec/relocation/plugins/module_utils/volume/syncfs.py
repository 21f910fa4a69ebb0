# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sync whole file systems (syncfs(2)), which Python has no function for."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterable
from pathlib import Path

from .paths import opened_root

_LIBC = ctypes.CDLL(None, use_errno=True)


def syncfs(fd: int) -> None:
    """Write all that the file system of a descriptor has not written yet to its disk.

    Raises:
        OSError: it cannot, or could not since somebody was told last.
    """
    if _LIBC.syncfs(fd) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"the file system cannot be synced: {os.strerror(number)}")


def sync_file_systems(folders: Iterable[Path]) -> None:
    """Sync the file systems that folders lie on, each once; a folder may be missing.

    Raises:
        OSError: as `syncfs`.
    """
    synced = set[int]()
    for folder in folders:
        # What is not there holds nothing that could be lost.
        with contextlib.suppress(FileNotFoundError), opened_root(folder) as fd:
            device = os.fstat(fd).st_dev
            if device not in synced:
                syncfs(fd)
                synced.add(device)
