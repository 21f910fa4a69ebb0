# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One process works on an app at a time: a lock that lasts as long as that process.

flock(2) on a file in the app's folder. The kernel gives it back when the process ends, in whatever
way, so nobody waits for one that is dead, and no clock is involved.

Who has the lock starts and ends instances of the app, too. A relocation copies first, which may
take its time, and claims that only before it can end the source's. Until then the reconciler goes
on to look after the instance; a second lock of the file is between them (fcntl(2), F_OFD_SETLK).
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import struct
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from ..ground.errors import RelocationError

_PAUSE_S = 0.02
# Who asks for the holder has the lock for an instant itself.
_GLANCE_S = 0.1
# What the reconciler does is done within this, but where hosts or engines do not answer.
_RECONCILER_S = 20.0
# How long a process that was killed may take to go.
_DEATH_S = 5.0

AGENT, RECONCILER, RELOCATION, DEPLOYMENT = "agent", "reconciler", "relocation", "deployment"


@dataclass(frozen=True)
class Holder:
    """Who holds the lock.

    Attributes:
        pid: the process.
        began: when that process began, in clock ticks since the host did (proc_pid_stat(5)).
        owner: on whose behalf: a handoff, or the name of a task.
        kind: what the process is: `agent` is the far end of a channel.
    """

    pid: int
    began: int
    owner: str
    kind: str


class Busy(RelocationError):
    """Another process works on the app."""


class Lock:
    """The lock of one app on this host, in the app's state folder."""

    def __init__(self, folder: Path, app: str) -> None:
        self.app = app
        self.path = folder / "work.lock"

    def holder(self) -> Holder | None:
        """Return who holds the lock now."""
        try:
            file = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            return None if _locked(file, fcntl.LOCK_SH) else self._read(file)
        finally:
            os.close(file)

    @contextlib.contextmanager
    def held(self, owner: str, kind: str, patience_s: float = 0.0) -> Iterator[int]:
        """Hold the lock; gives its descriptor, which a child may keep.

        The reconciler is waited for in any case: it is at work for a moment only.

        Raises:
            Busy: another process holds it for longer than ``patience_s``.
        """
        file = self._acquire(owner, kind, patience_s)
        try:
            yield file
        finally:
            os.close(file)

    def take(self, owner: str, kind: str, patience_s: float = 0.0) -> int:
        """Take the lock until the process ends, or closes the descriptor that is returned.

        Raises:
            Busy: as ``held``.
        """
        return self._acquire(owner, kind, patience_s)

    def claim_instances(self, file: int) -> None:
        """Start and end instances from now on, with the descriptor of a relocation's lock.

        Raises:
            Busy: the reconciler does so, and does not come to an end.
        """
        began = time.monotonic()
        while not _claimed(file):
            if time.monotonic() - began > _RECONCILER_S:
                raise self._busy(None)
            time.sleep(_PAUSE_S)

    @contextlib.contextmanager
    def beside_a_copy(self) -> Iterator[bool]:
        """Tell whether the lock is a relocation's that copies; it does no more during the block."""
        try:
            file = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            yield False
            return
        try:
            holder = self.holder()
            yield holder is not None and holder.kind == RELOCATION and _claimed(file)
        finally:
            os.close(file)

    @contextlib.contextmanager
    def taken_over(self, owner: str, kind: str) -> Iterator[int]:
        """Hold the lock; an agent that works on behalf of the same owner is ended for it.

        Raises:
            Busy: a process of another kind, or for another owner, holds it.
        """
        deadline = time.monotonic() + _DEATH_S
        while True:
            holder = self.holder()
            if holder is not None and (holder.kind, holder.owner) == (AGENT, owner):
                _end(holder)
            try:
                file = self._acquire(owner, kind, 0.0)
                break
            except Busy:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_PAUSE_S)
        try:
            yield file
        finally:
            os.close(file)

    def _acquire(self, owner: str, kind: str, patience_s: float) -> int:
        began = time.monotonic()
        while True:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                self._wait(file, began, patience_s)
                if self._is_there(file):
                    if kind != RELOCATION:
                        self.claim_instances(file)
                    line = json.dumps(asdict(Holder(os.getpid(), _began(os.getpid()), owner, kind)))
                    os.ftruncate(file, 0)
                    os.pwrite(file, line.encode(), 0)
                    return file
            except BaseException:
                os.close(file)
                raise
            os.close(file)

    def _wait(self, file: int, began: float, patience_s: float) -> None:
        while not _locked(file, fcntl.LOCK_EX):
            holder = self._read(file)
            waits = holder is None or holder.kind == RECONCILER
            bound_s = max(patience_s, _RECONCILER_S if waits else _GLANCE_S)
            if time.monotonic() - began > bound_s:
                raise self._busy(holder)
            time.sleep(_PAUSE_S)

    def _is_there(self, file: int) -> bool:
        """Whether the file is still the app's lock: who forgets the app removes it."""
        try:
            return os.path.samestat(os.fstat(file), os.stat(self.path))
        except FileNotFoundError:
            return False

    def _busy(self, holder: Holder | None) -> Busy:
        who = f"{holder.owner} (process {holder.pid})" if holder else "another process"
        return Busy(
            f"App {self.app!r} is being worked on by {who}.",
            "Wait until it has ended, then run the command again.",
        )

    @staticmethod
    def _read(file: int) -> Holder | None:
        try:
            return Holder(**json.loads(os.pread(file, 4096, 0)))
        except (ValueError, TypeError):
            return None  # it has been taken just now


def _locked(file: int, how: int) -> bool:
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _claimed(file: int) -> bool:
    """Lock the first byte of a file, unless another open file has it locked."""
    lock = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 1, 0)
    try:
        fcntl.fcntl(file, fcntl.F_OFD_SETLK, lock)
    except BlockingIOError:
        return False
    return True


def _end(holder: Holder) -> None:
    """Kill the process that holds the lock, and no other that has its number by now."""
    with contextlib.suppress(OSError):
        process = os.pidfd_open(holder.pid)
        try:
            if _began(holder.pid) == holder.began:
                signal.pidfd_send_signal(process, signal.SIGKILL)
        finally:
            os.close(process)


def _began(pid: int) -> int:
    status = Path(f"/proc/{pid}/stat").read_text()
    return int(status.rpartition(")")[2].split()[19])
