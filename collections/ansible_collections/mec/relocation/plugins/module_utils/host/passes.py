# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Passes of rsync into a volume of this host: which there are, and when they may be.

A pass is a process that sshd has started, whoever has asked for it. It has a lock of the app's
folder for as long as it lives, shared with others. An app is not activated over a pass.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import time
from pathlib import Path

from ..ground.errors import RelocationError

_PAUSE_S = 0.005
_PATIENCE_S = 2.0


def enter(folder: Path) -> int:
    """Have the lock of passes until the process ends, or what it becomes by exec(3).

    Raises:
        RelocationError: the app is being activated.
    """
    file = os.open(folder / "passes.lock", os.O_RDWR | os.O_CREAT, 0o600)
    os.set_inheritable(file, True)
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        raise RelocationError(f"{folder.name} is being activated here.") from None
    return file


def end_passes(folder: Path) -> None:
    """End the passes into an app's volume that somebody has left behind.

    Raises:
        RelocationError: one of them does not end.
    """
    try:
        file = os.open(folder / "passes.lock", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        deadline = time.monotonic() + _PATIENCE_S
        while not _alone(file):
            if time.monotonic() > deadline:
                raise RelocationError(
                    f"A pass of rsync into the volume of {folder.name!r} does not end.",
                    "Look for processes of rsync on that host.",
                )
            for pid in _holders(os.fstat(file)):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(_PAUSE_S)
    finally:
        os.close(file)


def _alone(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holders(file: os.stat_result) -> list[int]:
    """The processes that have a lock of a file (proc_locks(5))."""
    place = f"{os.major(file.st_dev):02x}:{os.minor(file.st_dev):02x}:{file.st_ino}"
    words = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    return [int(found[4]) for found in words if found[1] == "FLOCK" and found[5] == place]
