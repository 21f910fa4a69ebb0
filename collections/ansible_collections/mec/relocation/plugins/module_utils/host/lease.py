# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One relocation of an app at a time: a lease with an owner, on each host that takes part.

A handoff is several modules after one another, so no process lives through all of it. The lease
therefore has an end: a running module extends it, and a handoff that was interrupted frees the app
``TTL_S`` after its last module stopped.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..ground.errors import RelocationError

TTL_S = 15.0


class Lease:
    """The lease of one app on this host, in the app's state folder."""

    def __init__(self, folder: Path, app: str) -> None:
        self.app = app
        self.path = folder / "lease.json"

    def current(self) -> dict[str, Any] | None:
        """Who holds the lease now: ``owner``, ``since``, ``until`` (seconds since the epoch)."""
        try:
            lease = json.loads(self.path.read_text())
        except (FileNotFoundError, ValueError):
            return None
        return lease if isinstance(lease, dict) and lease["until"] > time.time() else None

    def acquire(self, owner: str, patience_s: float = 0.0) -> None:
        """Take or extend the lease, waiting for another's end for at most ``patience_s``.

        Raises:
            RelocationError: another handoff holds it; the message names it and when it ends.
        """
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline and (self.current() or {}).get("owner", owner) != owner:
            time.sleep(0.2)
        with self._guard():
            now = time.time()
            held = self.current()
            if held is not None and held["owner"] != owner:
                raise RelocationError(
                    f"App {self.app!r} is being relocated by handoff {held['owner']} "
                    f"(since {now - held['since']:.0f} s).",
                    "Wait until it has ended; if it was interrupted, its lease ends in "
                    f"{held['until'] - now:.0f} s.",
                )
            since = held["since"] if held else now
            self._write({"owner": owner, "since": since, "until": now + TTL_S})

    def release(self, owner: str) -> None:
        """Give the lease up; one that somebody else holds is left alone."""
        with self._guard():
            held = self.current()
            if held is None or held["owner"] == owner:
                self.path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def held(self, owner: str, patience_s: float = 0.0) -> Iterator[None]:
        """Hold the lease while a module works, extending it as long as that takes.

        It outlives the block by ``TTL_S`` so that the handoff's next module finds it; after a
        failure it is released at once, so that a corrected handoff need not wait.
        """
        self.acquire(owner, patience_s)
        done = threading.Event()

        def extend() -> None:
            while not done.wait(TTL_S / 3):
                self.acquire(owner)

        thread = threading.Thread(target=extend, name="lease", daemon=True)
        thread.start()
        try:
            yield
            done.set()
            thread.join()
            self.acquire(owner)
        except BaseException:
            done.set()
            thread.join()
            self.release(owner)
            raise

    def _write(self, lease: dict[str, Any]) -> None:
        fresh = self.path.with_name(".lease.json")
        fresh.write_text(json.dumps(lease) + "\n")
        os.replace(fresh, self.path)

    @contextlib.contextmanager
    def _guard(self) -> Iterator[None]:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(self.path.with_name("lease.lock"), "w") as guard:
            fcntl.flock(guard, fcntl.LOCK_EX)
            yield
