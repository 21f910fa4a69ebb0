# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who may go on with an app between two modules of one handoff: a lease with an owner.

A handoff is several modules after one another, so no process lives through all of it. While a
module works, a lock says so (`lock`). Between two of them the lease keeps other handoffs away, for
``TTL_S`` at most: one that was interrupted frees the app by itself. It runs on a clock that nobody
sets (CLOCK_BOOTTIME), and ends with the host.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..ground.errors import RelocationError
from .lock import Lock

TTL_S = 15.0
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Lease:
    """The lease of one app on this host, in the app's state folder."""

    def __init__(self, folder: Path, app: str) -> None:
        self.app = app
        self.path = folder / "lease.json"

    def current(self) -> dict[str, Any] | None:
        """Return who holds the lease now: ``owner``, ``held_s`` and ``left_s``."""
        try:
            lease = json.loads(self.path.read_text())
            if lease["boot"] != _boot() or lease["until"] <= (now := _now()):
                return None
            return {
                "owner": lease["owner"],
                "held_s": round(now - lease["since"], 1),
                "left_s": round(lease["until"] - now, 1),
            }
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def acquire(self, owner: str) -> None:
        """Take or extend the lease; the caller holds the lock.

        Raises:
            RelocationError: another handoff has it; the message names it and when it ends.
        """
        held = self.current()
        if held is not None and held["owner"] != owner:
            raise RelocationError(
                f"App {self.app!r} is being relocated by handoff {held['owner']} "
                f"(since {held['held_s']:.0f} s).",
                f"Wait until it has ended; if it was interrupted, its lease ends in "
                f"{held['left_s']:.0f} s.",
            )
        now = _now()
        since = now - (held["held_s"] if held else 0.0)
        fresh = self.path.with_name(".lease.json")
        line = {"owner": owner, "boot": _boot(), "since": since, "until": now + TTL_S}
        fresh.write_text(json.dumps(line) + "\n")
        os.replace(fresh, self.path)

    def release(self, owner: str) -> None:
        """Give the lease up; one that somebody else holds is left alone."""
        held = self.current()
        if held is None or held["owner"] == owner:
            self.path.unlink(missing_ok=True)


@contextlib.contextmanager
def working(folder: Path, app: str, owner: str, kind: str) -> Iterator[int]:
    """Work on an app on behalf of a handoff: with the lock, and with the lease of the handoff.

    The lease outlives the block by ``TTL_S`` so that the handoff's next module finds it; after a
    failure it is given up at once, so that a corrected handoff need not wait. Gives the lock's
    descriptor.

    Raises:
        RelocationError: another process works on it, or another handoff has the lease.
    """
    lease = Lease(folder, app)
    with Lock(folder, app).held(owner, kind) as lock:
        lease.acquire(owner)
        try:
            yield lock
        except BaseException:
            lease.release(owner)
            raise
        lease.acquire(owner)


def _now() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _boot() -> str:
    return _BOOT_ID.read_text().strip()
