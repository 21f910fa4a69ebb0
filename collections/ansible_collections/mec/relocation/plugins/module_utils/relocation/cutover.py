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
from typing import Any

from ..ground.app import App
from ..ground.errors import RelocationError
from ..ground.record import Record
from ..host.me_host import MeHost
from ..wire.channel import ChannelLost
from ..wire.host import Host, together
from .transfer import Instance, Transfer
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
        me_host: this host, the source.
        target: the target's channel, or whatever takes its steps.
        gateways: every host whose gateway forwards requests to the app; source and target too.
        transfer: brings the app's state to the target.
        reopen: opens a new channel to the target, to ask what became of it.
    """

    def __init__(
        self,
        app: App,
        me_host: MeHost,
        target: Host,
        gateways: Sequence[Host],
        transfer: Transfer,
        reopen: Callable[[], contextlib.AbstractContextManager[Host]],
        bounds: Bounds,
        record: Record,
    ) -> None:
        self.app = app
        self.source = me_host
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
        both = [self.source.config.name, self.target.name]
        together(self.gateways, "check_gateway", app=name, me_hosts=both)
        self._note_target(self.transfer.ahead(self.record))
        with self.record.phase("fence"):
            # Made ahead: whatever happens from here on, nothing restarts the source by itself, and
            # the note tells after a crash what was under way.
            self.source.platform.make_ready(name)
            self.source.fence(name, self.handoff, self.target.name)

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
                self.record.fields["target_instance"] = self._take(
                    "activate", app=self.app.name, timeout_s=self.bounds.activate_s
                )
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
            held = {"app": name, "max_s": self.bounds.hold_s, "host": self.source.config.name}
            in_flight = sum(together(self.gateways, "hold", **held))
        with self.record.phase("drain"):
            self._drain(in_flight)
        with self.record.phase("freeze"):
            self.source.platform.freeze(name)
        self._note_target(self.transfer.last(self.record))

    def _note_target(self, instance: Instance | None) -> None:
        if instance is not None:
            self.record.fields["target_instance"] = instance

    def _drain(self, in_flight: int) -> None:
        deadline = time.monotonic() + self.bounds.drain_s
        where = {"app": self.app.name, "host": self.source.config.name}
        while in_flight > 0 and time.monotonic() < deadline:
            time.sleep(_DRAIN_PAUSE_S)
            in_flight = sum(together(self.gateways, "in_flight", **where))

    def _serve_from_target(self) -> None:
        """After the activation there is no way back; a gateway that fails is reported."""
        with self.record.phase("switch"):
            try:
                together(self.gateways, "forward", app=self.app.name, host=self.target.name)
            except RelocationError as error:
                self.record.error = f"Relocated, but a gateway did not follow: {error}"
        self.record.service_serves()
        self.record.outcome = "completed"

    # -- after it: the target serves --------------------------------------------------------

    def _settle(self) -> None:
        name = self.app.name
        failures = []
        for step in (
            lambda: self._take("settle", app=name, handoff=self.handoff),
            lambda: together(self.gateways, "persist"),
            lambda: self.source.remove(name),
        ):
            try:
                step()
            except RelocationError as error:
                failures.append(str(error))
        if failures:
            self.record.error = "Relocated, but not tidied up: " + " ".join(failures)

    # -- when it fails ----------------------------------------------------------------------

    def _abort(self, error: RelocationError) -> None:
        self._undo()
        self._aborted(error)
        self.transfer.give_up()

    def _undo(self) -> None:
        """Thaw the source and release this host's gateway."""
        self.source.platform.thaw(self.app.name)
        self.source.release(self.app.name)

    def _undo_after_death(self) -> None:
        """What the guardian does; the connections of the process that died are not its own."""
        self._undo()
        MeHost(self.source.config).settle(self.app.name, self.handoff)

    def _aborted(self, error: RelocationError) -> None:
        """The source serves again; let everybody know."""
        for gateway in self.gateways:
            if gateway.name != self.source.config.name:
                with contextlib.suppress(RelocationError):
                    gateway.begin("release", app=self.app.name).result()
        self.record.service_serves()
        self.record.error = str(error)
        try:
            self.source.settle(self.app.name, self.handoff)
        except RelocationError as another:
            self.record.error += f" It serves, but is not restarted by itself: {another}"

    def _target_is_dead(self, error: RelocationError) -> bool:
        """Kill the target's instance and have it confirmed, over a new channel where need be."""
        try:
            if isinstance(error, ChannelLost):
                with self.reopen() as target:
                    target.begin("kill", app=self.app.name).result()
            else:
                self._take("kill", app=self.app.name)
        except RelocationError:
            return False
        return True

    def _stay_fenced(self, error: RelocationError) -> None:
        """Two writers are worse than none: nobody serves until a person has decided."""
        for gateway in self.gateways:
            with contextlib.suppress(RelocationError):
                gateway.begin("close_gateway", app=self.app.name).result()
        self.record.outcome = "uncertain"
        self.record.error = (
            f"{error} Whether {self.target.name} serves is not known, so the source stays fenced. "
            f"Settle it with: ansible-playbook playbooks/settle.yml -e app={self.app.name} "
            f"-e keep={self.source.config.name} (or keep={self.target.name})."
        )

    def _take(self, step: str, **arguments: object) -> dict[str, Any]:
        result: dict[str, Any] = self.target.begin(step, **arguments).result()
        return result


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
