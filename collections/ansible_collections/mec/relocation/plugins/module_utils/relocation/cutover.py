# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The cutover: the critical section of a relocation, in which no instance serves.

Sections 3.1.1 and 3.1.2, Figures 7 and 8 of the paper, with everything that need not be inside the
downtime moved out of it. See the architecture page for the order of the steps and for what an abort
does.
"""

from __future__ import annotations

import contextlib
import gc
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ..ground.app import App
from ..ground.errors import RelocationError
from ..ground.record import Record
from ..platform.instance import Platform
from ..wire import steps
from ..wire.channel import ChannelLost
from ..wire.host import Host, together
from .transfer import Transfer
from .watchdog import Guardian

_DRAIN_PAUSE_S = 0.0005


@dataclass(frozen=True)
class Bounds:
    """How long the steps of a cutover may take."""

    hold_s: float = 2.0
    drain_s: float = 0.2
    activate_s: float = 30.0


class Cutover:
    """Moves one app from this host to another.

    Args:
        app: the app as it is declared on this host.
        source: this host.
        platform: where the source's instance runs.
        again: makes this host once more, for a process of its own.
        target: the target's channel, or whatever takes its steps.
        gateways: every host whose gateway forwards requests to the app; source and target too.
        transfer: brings the app's state to the target.
        reopen: opens a new channel to the target, to ask what became of it.
    """

    def __init__(
        self,
        app: App,
        source: Host,
        platform: Platform,
        again: Callable[[], Host],
        target: Host,
        gateways: Sequence[Host],
        transfer: Transfer,
        reopen: Callable[[], contextlib.AbstractContextManager[Host]],
        bounds: Bounds,
        record: Record,
    ) -> None:
        self.app = app
        self.source = source
        self.platform = platform
        self.again = again
        self.target = target
        self.gateways = gateways
        self.transfer = transfer
        self.reopen = reopen
        self.bounds = bounds
        self.record = record
        self.handoff = str(record.fields["id"])

    def run(self) -> None:
        """Relocate. The outcome is in the record, whatever it is; an abort raises nothing."""
        # A collection of garbage takes milliseconds, and this process does not live long.
        gc.disable()
        try:
            self._prepare()
        except RelocationError as error:
            self.transfer.give_up()
            self._aborted(error)
            return
        # Forked now, because what undoes a cutover has to be at hand without asking an engine.
        with _signals_ignored(), Guardian(self._undo_after_death) as guardian:
            self._cut_over(guardian)
        if self.record.outcome != "completed":
            return
        with self.record.phase("settle"):
            self._settle()

    # -- before the hold: the source serves -------------------------------------------------

    def _prepare(self) -> None:
        name = self.app.name
        both = [self.source.name, self.target.name]
        together(self.gateways, steps.CheckGateway(name, both))
        self._note_target(self.transfer.ahead(self.record))
        with self.record.phase("fence"):
            # Made ahead: whatever happens from here on, nothing restarts the source by itself, and
            # the note tells after a crash what was under way.
            self.platform.make_ready(name)
            self.source.begin(steps.Fence(name, self.handoff, self.target.name)).result()

    # -- the critical section ---------------------------------------------------------------

    def _cut_over(self, guardian: Guardian) -> None:
        try:
            self._stop_the_source()
        except RelocationError as error:
            self._abort(error)
            return
        guardian.point_of_no_return()
        try:
            with self.record.phase("activate"):
                activate = steps.Activate(self.app.name, self.bounds.activate_s)
                self._note_target(self.target.begin(activate).result())
        except RelocationError as error:
            if self._target_is_dead(error):
                guardian.way_back()
                self._abort(error)
            else:
                self._stay_fenced(error)
            return
        self._serve_from_target()

    def _stop_the_source(self) -> None:
        name = self.app.name
        self.record.service_ends()
        with self.record.phase("hold"):
            hold = steps.Hold(name, self.bounds.hold_s, self.source.name)
            in_flight = sum(together(self.gateways, hold))
        with self.record.phase("drain"):
            self._drain(in_flight)
        with self.record.phase("freeze"):
            self.platform.freeze(name)
        self._note_target(self.transfer.last(self.record))

    def _note_target(self, instance: steps.Place | None) -> None:
        if instance is not None:
            self.record.fields["target_instance"] = instance

    def _drain(self, in_flight: int) -> None:
        deadline = time.monotonic() + self.bounds.drain_s
        ask = steps.InFlight(self.app.name, self.source.name)
        while in_flight > 0 and time.monotonic() < deadline:
            time.sleep(_DRAIN_PAUSE_S)
            in_flight = sum(together(self.gateways, ask))

    def _serve_from_target(self) -> None:
        """After the activation there is no way back; a gateway that fails is reported."""
        with self.record.phase("switch"):
            try:
                together(self.gateways, steps.Forward(self.app.name, self.target.name))
            except RelocationError as error:
                self.record.error = f"Relocated, but a gateway did not follow: {error}"
        self.record.service_serves()
        self.record.outcome = "completed"

    # -- after it: the target serves --------------------------------------------------------

    def _settle(self) -> None:
        name = self.app.name
        failures = []
        for step in (
            lambda: self.target.begin(steps.Settle(name, self.handoff)).result(),
            lambda: together(self.gateways, steps.Persist()),
            self._remove_the_source,
        ):
            try:
                step()
            except RelocationError as error:
                failures.append(str(error))
        if failures:
            self.record.error = "Relocated, but not tidied up: " + " ".join(failures)

    def _remove_the_source(self) -> None:
        left = self.source.begin(steps.Kill(self.app.name)).result()
        if left is not None:
            raise RelocationError(left)

    # -- when it fails ----------------------------------------------------------------------

    def _abort(self, error: RelocationError) -> None:
        self._undo()
        self._aborted(error)
        self.transfer.give_up()

    def _undo(self) -> None:
        """Thaw the source and release this host's gateway."""
        self.platform.thaw(self.app.name)
        self.source.begin(steps.Release(self.app.name)).result()

    def _undo_after_death(self) -> None:
        """What the guardian does; the connections of the process that died are not its own."""
        self._undo()
        self.again().begin(steps.Settle(self.app.name, self.handoff)).result()

    def _aborted(self, error: RelocationError) -> None:
        """The source serves again; let everybody know."""
        for gateway in self.gateways:
            if gateway.name != self.source.name:
                with contextlib.suppress(RelocationError):
                    gateway.begin(steps.Release(self.app.name)).result()
        self.record.service_serves()
        self.record.error = str(error)
        try:
            self.source.begin(steps.Settle(self.app.name, self.handoff)).result()
        except RelocationError as another:
            self.record.error += f" It serves, but is not restarted by itself: {another}"

    def _target_is_dead(self, error: RelocationError) -> bool:
        """Kill the target's instance and have it confirmed, over a new channel where need be."""
        try:
            if isinstance(error, ChannelLost):
                with self.reopen() as target:
                    target.begin(steps.Kill(self.app.name)).result()
            else:
                self.target.begin(steps.Kill(self.app.name)).result()
        except RelocationError:
            return False
        return True

    def _stay_fenced(self, error: RelocationError) -> None:
        """Two writers are worse than none: nobody serves until a person has decided."""
        for gateway in self.gateways:
            with contextlib.suppress(RelocationError):
                gateway.begin(steps.CloseGateway(self.app.name)).result()
        self.record.outcome = "uncertain"
        self.record.error = (
            f"{error} Whether {self.target.name} serves is not known, so the source stays fenced. "
            f"Settle it with: ansible-playbook playbooks/settle.yml -e app={self.app.name} "
            f"-e keep={self.source.name} (or keep={self.target.name})."
        )


@contextlib.contextmanager
def _signals_ignored() -> Iterator[None]:
    """A cutover that has begun is ended by itself, not by whoever started it."""
    numbers = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
