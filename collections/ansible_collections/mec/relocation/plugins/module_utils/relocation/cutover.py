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
from ..ground.errors import RelocationError, settle_command
from ..ground.record import Record
from ..host import owner
from ..host.lock import Lock
from ..host.me_host import MeHost
from ..host.owner import Answer, Do, Note, State
from ..host.ownership import carry_out
from ..host.state import AppState
from ..wire import steps
from ..wire.channel import ChannelLost
from ..wire.host import Host, Target, begun, together
from .transfer import Transfer
from .watchdog import Watchdog

_DRAIN_PAUSE_S = 0.0005
# A target that has not answered by then is asked over a new channel; then the reconciler asks.
_ANSWER_S, _INQUIRY_S, _INQUIRY_PAUSE_S = 5.0, 10.0, 0.2
_GATEWAY_S = 5.0
_WARM_UPS = 2
# What a target that has taken the app gets to serve again, if its engine failed just then.
_SERVES_S = 10.0


@dataclass(frozen=True)
class Bounds:
    """How long the steps of a cutover may take."""

    hold_s: float = 2.0
    drain_s: float = 0.2
    activate_s: float = 30.0

    @property
    def end_s(self) -> float:
        """When a hold ends by itself, whoever has died."""
        return self.hold_s + self.drain_s + self.activate_s + _ANSWER_S + _INQUIRY_S


class Cutover:
    """Moves one app from this host to another.

    Args:
        app: the app as it is declared on this host.
        source: this host, as one that takes steps.
        me_host: this host.
        lock: the descriptor of the app's lock here.
        target: the target's channel, or whatever takes its steps; it has the app's lock there.
        newest: the newest epoch that the target knows of.
        gateways: every host whose gateway forwards requests to the app; source and target too.
        transfer: brings the app's state to the target.
        reopen: opens a new channel to the target, to ask what became of it.
    """

    def __init__(
        self,
        app: App,
        source: Host,
        me_host: MeHost,
        lock: int,
        target: Target,
        newest: int,
        gateways: Sequence[Host],
        transfer: Transfer,
        reopen: Callable[[], contextlib.AbstractContextManager[Host]],
        bounds: Bounds,
        record: Record,
    ) -> None:
        self.app = app
        self.source = source
        self.me_host = me_host
        self.lock = lock
        self.target = target
        self.newest = newest
        self.gateways = gateways
        self.transfer = transfer
        self.reopen = reopen
        self.bounds = bounds
        self.record = record
        self.handoff = str(record.fields["id"])
        self.kept = AppState(me_host.config.state_dir, app.name)
        self.attempt = 0

    def run(self) -> None:
        """Relocate. The outcome is in the record, whatever it is; an abort raises nothing."""
        # A collection of garbage takes milliseconds, and this process does not live long.
        gc.disable()
        try:
            self._prepare()
        except Exception as error:  # whatever it is: the app has to be served
            self._abort(error)
            return
        # Forked now, because what undoes a cutover has to be at hand without asking an engine.
        patience_s = self.bounds.hold_s + self.bounds.drain_s + self.transfer.patience_s
        with (
            _signals_ignored(),
            Watchdog(
                self._undo_after_death, self.lock, self.target.abandon, patience_s
            ) as watchdog,
        ):
            self._cut_over(watchdog)
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
            # the notes tell after a crash what was under way.
            Lock(self.kept.folder, name).claim_instances(self.lock)
            note = self.kept.note()
            self.attempt = 1 + max(note.newest, self.newest)
            offer = steps.Offer(name, self.attempt, self.handoff, self.source.name)
            told = self.target.begin(offer).result()
            if told["answer"] != Answer.ACCEPTED:
                raise RelocationError(f"{self.target.name} does not take the app: {told['why']}.")
            self.me_host.platform.make_ready(name)
            self._decide(owner.Ordered(self.attempt, self.handoff, self.target.name))
            self.me_host.platform.set_restarts(name, False)

    # -- the critical section ---------------------------------------------------------------

    def _cut_over(self, watchdog: Watchdog) -> None:
        try:
            self._stop_the_source()
        except Exception as error:  # as above
            self._abort(error)
            return
        watchdog.point_of_no_return()
        answer, why = self._ask_target()
        try:
            self._decide(owner.Answered(answer))
        except Exception as error:  # the reconciler goes on with what is left of it
            why = f"{why} {error}".strip()
            if answer is Answer.REFUSED:
                self.record.outcome = "uncertain"
                why = f"{why} {self.source.name} does not serve it yet."
        if answer is Answer.TOOK:
            self.record.outcome = "completed"
            self.record.error = f"Relocated, but not tidied up: {why}" if why else None
        elif answer is Answer.REFUSED:
            self.transfer.give_up()
            self.record.error = why
        else:
            self._stay_fenced(why)

    def _stop_the_source(self) -> None:
        name = self.app.name
        self._warm_up()
        self.record.service_ends()
        with self.record.phase("hold"):
            hold = steps.Hold(
                name, self.bounds.hold_s, self.source.name, self.handoff, self.bounds.end_s
            )
            in_flight = sum(together(self.gateways, hold, _GATEWAY_S))
        with self.record.phase("drain"):
            self._drain(in_flight)
        with self.record.phase("freeze"):
            self.me_host.platform.freeze(name)
        self._note_target(self.transfer.last(self.record))

    def _warm_up(self) -> None:
        """Use once what the hold uses: after a fork, memory is copied when it is used first."""
        for _time in range(_WARM_UPS):
            together(self.gateways, steps.InFlight(self.app.name, self.source.name), _GATEWAY_S)

    def _note_target(self, instance: steps.Place | None) -> None:
        if instance is not None:
            self.record.fields["target_instance"] = instance

    def _drain(self, in_flight: int) -> None:
        deadline = time.monotonic() + self.bounds.drain_s
        question = steps.InFlight(self.app.name, self.source.name)
        while in_flight > 0 and time.monotonic() < deadline:
            time.sleep(_DRAIN_PAUSE_S)
            in_flight = sum(together(self.gateways, question, _GATEWAY_S))

    def _ask_target(self) -> tuple[Answer | None, str]:
        """Ask the target to serve; what it answered, and why, where it refused or said nothing."""
        ask = steps.Activate(self.app.name, self.attempt, self.bounds.activate_s)
        try:
            with self.record.phase("activate"):
                done = self.target.begin(ask).result(self.bounds.activate_s + _ANSWER_S)
        except Exception as error:  # whatever it is: the target may have taken it
            return self._inquire(), str(error)
        if done["answer"] == Answer.TOOK:
            self._note_target({"name": done["name"], "address": done["address"]})
        why = f"{self.target.name}: {done['why']}" if done["why"] else ""
        return Answer(done["answer"]), why

    def _inquire(self) -> Answer | None:
        """Ask over a new channel what became of the attempt; None: it cannot be known now."""
        question = steps.Inquire(self.app.name, self.attempt, self.handoff)
        deadline = time.monotonic() + _INQUIRY_S
        with self.record.phase("inquire"):
            while time.monotonic() < deadline:
                with contextlib.suppress(RelocationError), self.reopen() as target:
                    return Answer(target.begin(question).result()["answer"])
                time.sleep(_INQUIRY_PAUSE_S)
        return None

    # -- decisions of the source ------------------------------------------------------------

    def _decide(self, event: owner.Event) -> None:
        """Carry out what follows from an event; `owner` says what, and in which order.

        Raises:
            RelocationError: it is refused, or a part of it could not be done.
        """
        decision = owner.decide(self.kept.note(), event)
        if decision.answer is Answer.REFUSED:
            raise RelocationError(f"{self.source.name} cannot relocate it: {decision.why}.")
        carry_out(
            decision,
            {
                Do.WRITE: self.kept.write,
                Do.SERVE: lambda _note: self.me_host.go_on(self.app.name, self.bounds.activate_s),
                Do.ROUTE: self._route,
                Do.END: lambda _note: self.me_host.platform.kill(self.app.name),
            },
        )

    def _route(self, note: Note) -> None:
        """Send requests to the owner. Who cannot be told now is told later, by its reconciler."""
        host = self.source.name if note.state is State.SERVING else note.peer
        with self.record.phase("switch"):
            forward = steps.Forward(self.app.name, host, self.handoff)
            for gateway, reply in begun(self.gateways, forward):
                try:
                    reply.result(_GATEWAY_S)
                except RelocationError as error:
                    self.record.warn(f"The gateway of {gateway.name} is told later: {error}")
        self.record.service_serves()

    # -- after it: the target serves --------------------------------------------------------

    def _settle(self) -> None:
        failures: list[str] = []
        for step in (
            self._let_go_of_target,
            self._persist,
            self._remove_source,
            self._see_it_serve,
        ):
            try:
                step()
            except Exception as error:  # each is done, whatever became of the one before
                failures.append(str(error))
        if failures:
            self.record.error = "Relocated, but not tidied up: " + " ".join(failures)

    def _let_go_of_target(self) -> None:
        """From here on the target's reconciler looks after the app."""
        self.target.begin(steps.Settle(self.app.name)).result()
        self.target.begin(steps.Unlock(self.app.name, keep_lease=False)).result()

    def _persist(self) -> None:
        together(self.gateways, steps.Persist())

    def _remove_source(self) -> None:
        left = self.source.begin(steps.Remove(self.app.name)).result()
        if left is not None:
            raise RelocationError(left)

    def _see_it_serve(self) -> None:
        """What the target has taken it serves still, or again."""
        deadline = time.monotonic() + _SERVES_S
        while True:
            try:
                if self._target_serves():
                    return
                why = "its instance does not answer."
            except Exception as error:  # whatever it is: only an answer tells that it serves
                why = str(error)
            if time.monotonic() > deadline:
                break
            time.sleep(_INQUIRY_PAUSE_S)
        self.record.outcome = "uncertain"
        raise RelocationError(
            f"{self.target.name} took the app, and does not serve it now: {why} "
            f"It goes on by itself as soon as it can."
        )

    def _target_serves(self) -> bool:
        question = steps.Serves(self.app.name)
        try:
            return self.target.begin(question).result(_ANSWER_S)
        except ChannelLost:
            # It may have begun again.
            with self.reopen() as target:
                return target.begin(question).result(_ANSWER_S)

    # -- when it fails ----------------------------------------------------------------------

    def _abort(self, error: Exception) -> None:
        """The source serves again: the target was not asked to, and will not be."""
        self.record.error = str(error) if isinstance(error, RelocationError) else repr(error)
        try:
            self._decide(owner.Aborted())
        except Exception as another:  # the reconciler goes on with what is left of it
            self.record.outcome = "uncertain"
            self.record.error += f" {self.source.name} does not serve it yet: {another}"
        self.transfer.give_up()
        if self.attempt:
            with contextlib.suppress(RelocationError):
                self.target.begin(steps.Withdraw(self.app.name, self.attempt)).result()

    def _undo_after_death(self) -> None:
        """What the watchdog does; the connections of the process that died are not its own."""
        me_host = MeHost(self.me_host.config)
        name = self.app.name
        decision = owner.decide(self.kept.note(), owner.Aborted())
        carry_out(
            decision,
            {
                Do.WRITE: self.kept.write,
                Do.SERVE: lambda _note: self.me_host.platform.thaw(name),
                Do.ROUTE: lambda _note: me_host.forward(name, me_host.config.name, self.handoff),
            },
        )

    def _stay_fenced(self, why: str) -> None:
        """Two writers are worse than none: nobody serves until the target has answered."""
        self.record.outcome = "uncertain"
        self.record.error = (
            f"{why} Whether {self.target.name} serves is not known, so {self.source.name} stays "
            f"fenced, and asks until it answers. If {self.target.name} is gone for good: "
            f"{settle_command(self.app.name, self.source.name, self.target.name)}"
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
