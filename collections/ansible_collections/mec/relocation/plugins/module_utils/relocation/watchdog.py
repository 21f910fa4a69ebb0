# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A child process that undoes a cutover whose own process died half way."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
from collections.abc import Callable

_NO_RETURN = b"!"
_DONE = b"."


class Watchdog:
    """Waits beside the cutover; acts only when that process ends without saying how.

    Before the point of no return it undoes (thaw, release). After it, the app stays fenced: the
    target may serve by then, and two writers are worse than none: the reconciler asks it. A cutover
    that does not come to that point in time is told to hurry.

    Args:
        undo: what it does then.
        lock: the descriptor of a lock that it keeps until it has done so.
        hurry: what makes a cutover go on that waits for a host which hangs.
        patience_s: when it does that.
    """

    def __init__(
        self,
        undo: Callable[[], None],
        lock: int,
        hurry: Callable[[], None],
        patience_s: float,
    ) -> None:
        self._undo = undo
        self._lock = lock
        self._hurry = hurry
        self._patience_s = patience_s
        self._pipe = -1
        self._child = -1

    def __enter__(self) -> Watchdog:
        reader, writer = os.pipe()
        begun, beginning = os.pipe()
        self._child = os.fork()
        if self._child == 0:
            # Nothing of the parent may survive in the child: a channel that it kept open would
            # look alive to the other end.
            # But for two, which are moved out of each other's way first.
            kept = [fcntl.fcntl(number, fcntl.F_DUPFD, 16) for number in (reader, self._lock)]
            for number, wanted in zip(kept, (3, 4), strict=True):
                os.dup2(number, wanted)
            os.closerange(5, os.sysconf("SC_OPEN_MAX"))
            nothing = os.open(os.devnull, os.O_RDWR)
            for standard in (0, 1, 2):
                os.dup2(nothing, standard)
            self._watch()
        os.close(reader)
        os.close(beginning)
        # It closes all that it has from the parent; beside the hold it would take a processor.
        os.read(begun, 1)
        os.close(begun)
        self._pipe = writer
        return self

    def point_of_no_return(self) -> None:
        """From here on the target may serve."""
        self._tell(_NO_RETURN)

    def __exit__(self, error: type[BaseException] | None, *_rest: object) -> None:
        if error is None:
            self._tell(_DONE)
        os.close(self._pipe)
        os.waitpid(self._child, 0)

    def _tell(self, what: bytes) -> None:
        # Somebody may have killed it. Then the reconciler finishes what is left half done.
        with contextlib.suppress(BrokenPipeError):
            os.write(self._pipe, what)

    def _watch(self) -> None:
        os.setsid()
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        said = b""
        try:
            if not select.select([3], [], [], self._patience_s)[0]:
                with contextlib.suppress(OSError):
                    self._hurry()
            while chunk := os.read(3, 64):
                said += chunk
            if not said.endswith((_NO_RETURN, _DONE)):
                self._undo()
        finally:
            os._exit(0)
