# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A volume that is kept in step on the target until the cutover takes the rest.

One pass of rsync compares everything. From before it on the volume is watched, so that what is left
is known: such a delta goes over the channel that is open already, again and again until it is
small, and once more when the source stands still. Where the watch cannot be relied upon, rsync
takes its place, and compares contents: it would not notice stores into mapped files otherwise.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import IO, Protocol

from ..ground.errors import RelocationError
from ..ground.record import Record
from ..wire.host import Host, Target
from ..wire.steps import Apply, Durable, Sync
from .apply import NotApplied
from .convergence import Delta, another_pays, expected
from .delta import NONE, Built, Signatures, build
from .rsync import VolumeSync
from .watch import Dirty, VolumeWatch

# From here on it is worth telling how long the last delta takes.
_LONG_S = 0.2
# A disk may have gigabytes to write.
_DURABLE_S = 600.0


def wait_until_durable(target: Host, app: str) -> None:
    """Wait until all that was brought to the target, and begun to be synced, is on its disk.

    Raises:
        RelocationError: its disk does not take it.
    """
    target.begin(Durable(app)).result(_DURABLE_S)


class Volume(Protocol):
    """How an app's volume gets to the target."""

    def ahead(self, record: Record) -> None:
        """Bring it in step while the source serves."""

    def last(self, record: Record) -> None:
        """Bring the rest, while nobody writes."""


class VolumeCopy:
    """Copies the volume of one app; a context manager, at whose end the volume is not watched.

    Args:
        passes: passes of rsync to the target.
        target: the channel to it.
        app: the app.
        pids: the processes of its instance.
        hold_s: how long the last delta may take at most.
    """

    def __init__(
        self,
        passes: VolumeSync,
        target: Target,
        app: str,
        pids: Callable[[], Sequence[int]],
        hold_s: float,
    ) -> None:
        self._passes = passes
        self._target = target
        self._app = app
        self._pids = pids
        self._hold_s = hold_s
        self._watch: VolumeWatch | None = None
        self._signatures: Signatures = NONE
        self._cleanup = contextlib.ExitStack()

    def __enter__(self) -> VolumeCopy:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._cleanup.close()

    def ahead(self, record: Record) -> None:
        """One pass of rsync, and deltas until they are small, or do not become smaller.

        Raises:
            RelocationError: the volume cannot be read here or written there, or the app writes so
                fast that the last delta would take too long.
        """
        try:
            watch = VolumeWatch(self._passes.source, self._pids())
            self._watch = self._cleanup.enter_context(watch)
        except OSError as error:
            record.fallback = f"The volume of {self._app!r} cannot be watched: {error}."
        with record.phase("volume_sync") as before:
            before.bytes = self._pass()
        # Not beside the deltas: they would wait for the disk, and tell nothing of the last one.
        with record.phase("sync"):
            wait_until_durable(self._target, self._app)
        deltas: list[Delta] = []
        while not deltas or another_pays(deltas):
            with record.phase("volume_delta") as phase:
                phase.bytes = self._bring(record)
            gathered_s = phase.start_s - before.start_s
            deltas.append(Delta(phase.bytes, gathered_s, phase.duration_s))
            before = phase
        # What the hold waits for is then what the last delta brings.
        wait_until_durable(self._target, self._app)
        self._judge(expected(deltas), record)

    def last(self, record: Record) -> None:
        """What has changed since, over the channel; by rsync where that is not known.

        Raises:
            RelocationError: as `ahead`.
        """
        with record.phase("last_delta") as phase:
            phase.bytes = self._bring(record)

    def _judge(self, coming: Delta, record: Record) -> None:
        """Tell if the last delta takes long, and refuse one that takes too long."""
        if coming.sent_s < _LONG_S:
            return
        why = record.fallback or (
            f"{self._app!r} writes {coming.written_bytes_s / 1e6:.1f} MB/s to its volume, the way "
            f"to {self._target.name} takes {coming.crossed_bytes_s / 1e6:.1f} MB/s."
        )
        if coming.sent_s > self._hold_s:
            raise RelocationError(
                f"{why} The downtime would be about {coming.sent_s:.1f} s, and requests wait for "
                f"{self._hold_s:g} s at most.",
                "Let the app write less, or requests wait longer (hold_s, handoff_hold_s).",
            )
        record.warning = f"{why} The downtime is about {coming.sent_s:.1f} s."

    def _bring(self, record: Record) -> int:
        """One pass over what may have changed; returns the bytes that it took."""
        if self._watch is None:
            return self._compare()
        dirty = self._watch.dirty(self._pids())
        if dirty is None:
            record.fallback = self._watch.reason
            return self._compare()
        try:
            return self._send(dirty)
        except (OSError, NotApplied) as error:
            # Any other error is of a target that refuses, or is lost: rsync would not help it.
            record.fallback = str(error)
            return self._compare()

    def _compare(self) -> int:
        """A pass of rsync over all contents; returns the bytes that it took."""
        self._signatures = NONE
        return self._pass(by_content=True)

    def _pass(self, *, by_content: bool = False) -> int:
        """A pass of rsync, which begins to be made durable; returns the bytes that it took."""
        moved_bytes = self._passes.run(by_content=by_content).bytes
        self._target.begin(Sync(self._app)).result()
        return moved_bytes

    def _send(self, dirty: Dirty) -> int:
        built: list[Built] = []

        def write(out: IO[bytes]) -> None:
            built.append(build(self._passes.source, dirty, out, self._signatures))

        crossed = self._target.stream(Apply(self._app), write).result()
        if crossed["misfit"]:
            raise NotApplied(crossed["misfit"])
        self._signatures = built[0].signatures
        return built[0].size_bytes
