# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Carries out on this host what `owner` decides: notes, instances, and who may ask for it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from ..ground.config import HostConfig
from ..ground.errors import RelocationError
from ..wire import steps
from ..wire.steps import handles
from . import owner as protocol
from .lease import Lease
from .lock import AGENT, RECONCILER, RELOCATION, Lock
from .owner import Answer, Decision, Do, Event, Note, State
from .passes import end_passes
from .state import AppState

Hand = Callable[[Note], object]
Hands = Mapping[Do, Hand]


class Instances(Protocol):
    """The instances of this host, as far as the change of an owner needs them."""

    def wait_until_durable(self, app: str) -> None:
        """Wait until all that crossed into the app's volume here outlives a crash."""

    def serve(self, app: str, timeout_s: float) -> steps.Place:
        """Let the app's instance serve, whatever that needs; it does when this returns."""

    def end(self, app: str) -> None:
        """End the app's instance; confirmed when this returns."""

    def put_aside(self, app: str, epoch: int) -> None:
        """Keep the app's volume where no relocation will write to it."""


def carry_out(decision: Decision, hands: Hands) -> Decision:
    """Do what a decision says, in its order; what raises ends it."""
    for action in decision.then:
        hands[action](decision.note)
    return decision


class Ownership:
    """This host's part for each app. One object stands for one process that works on apps.

    Args:
        config: this host.
        instances: its instances.
    """

    def __init__(self, config: HostConfig, instances: Instances) -> None:
        self._config = config
        self._instances = instances
        self._locks: dict[str, tuple[int, str]] = {}

    # -- who works on an app ----------------------------------------------------------------

    @handles(steps.Lock)
    def lock(self, app: str, owner: str, outranks: bool = False) -> steps.Part:
        """Work on an app until the channel closes; what an earlier process left is tidied up.

        What ``outranks`` a handoff does not wait for the lease of one that was interrupted.

        Raises:
            Busy: another process works on it.
            RelocationError: another handoff has the lease.
        """
        kept = self._state(app)
        if app not in self._locks:
            lock = Lock(kept.folder, app).take(owner, AGENT)
            try:
                if not outranks:
                    Lease(kept.folder, app).acquire(owner)
            except RelocationError:
                os.close(lock)
                raise
            self._locks[app] = lock, owner
            if kept.note_or_lost().state is State.TAKING:
                self._decide(app, protocol.Left())
        return self.part(app)

    @handles(steps.Unlock)
    def unlock(self, app: str, keep_lease: bool) -> None:
        """Work on an app no more; the handoff's next module may find its lease."""
        if app not in self._locks:
            return
        lock, owner = self._locks.pop(app)
        lease = Lease(self._state(app).folder, app)
        if keep_lease:
            lease.acquire(owner)
        else:
            lease.release(owner)
        os.close(lock)

    def works_on(self, app: str) -> None:
        """Raise unless this process has the lock of the app.

        Raises:
            RelocationError: it does not, so another may be at work.
        """
        if app not in self._locks:
            raise RelocationError(
                f"The lock of app {app!r} on {self._config.name} is not held on this channel."
            )

    # -- what is where ----------------------------------------------------------------------

    @handles(steps.Parts)
    def parts(self, apps: Sequence[str] = ()) -> Mapping[str, steps.Part]:
        """Return the part of this host for some apps, or for each that it knows."""
        names = apps or [kept.name for kept in AppState.all(self._config.state_dir)]
        return {name: self.part(name) for name in names}

    def part(self, app: str) -> steps.Part:
        """Return this host's part for an app."""
        kept, here = self._state(app), self._config.name
        # Before the note: what has been heard until then is in it.
        current, note = kept.current, kept.note_or_lost()
        while True:
            busy = self._busy(app, note)
            # Whoever has ended since may have written another one.
            if (again := kept.note_or_lost()) == note:
                break
            note = again
        return {
            "state": str(note.state),
            "known": note.known,
            "newest": note.newest,
            "copy": note.copy,
            "owner": here if note.taken == note.known and note.known else note.peer,
            "current": current,
            "busy": busy,
        }

    def _busy(self, app: str, note: Note) -> str:
        """On whose behalf another process may change who owns the app; empty: none does.

        Who makes this host no newer owner does not count: hosts that ask each other would wait for
        each other.
        """
        holder = None if app in self._locks else Lock(self._state(app).folder, app).holder()
        if holder is None or holder.kind == RECONCILER:
            return ""
        has_left = holder.kind == RELOCATION and note.state is State.RETIRED
        return "" if has_left else holder.owner

    # -- what a relocation brings here -------------------------------------------------------

    @handles(steps.Ready)
    def ready(self, app: str, handoff: str, instance: str = "") -> None:
        """Note that a copy of the app's volume, or an instance of it, is being brought here.

        Raises:
            RelocationError: the app may serve here.
        """
        self.works_on(app)
        instance = instance or self._state(app).note().instance
        self._require(app, self._decide(app, protocol.Readied(handoff, instance)))

    def discard(self, app: str) -> None:
        """Note that what was brought here is not needed any more, and end it.

        Raises:
            RelocationError: the app may serve here.
        """
        self.works_on(app)
        self._require(app, self._decide(app, protocol.Discarded()))

    def _require(self, app: str, decision: Decision) -> None:
        if decision.answer is not Answer.ACCEPTED:
            raise RelocationError(
                f"App {app!r} cannot be prepared on {self._config.name}: {decision.why}."
            )

    # -- a relocation to this host ----------------------------------------------------------

    @handles(steps.Offer)
    def offer(self, app: str, attempt: int, handoff: str, source: str) -> steps.Told:
        """Be ready to be asked to serve, in an attempt of its own."""
        self.works_on(app)
        return told(self._decide(app, protocol.Offered(attempt, handoff, source)))

    @handles(steps.Withdraw)
    def withdraw(self, app: str, attempt: int) -> None:
        """Be no longer ready to be asked; what was prepared stays."""
        self.works_on(app)
        self._decide(app, protocol.Withdrawn(attempt))

    @handles(steps.Activate)
    def activate(self, app: str, attempt: int, timeout_s: float) -> steps.Activated:
        """Take the app, and make its instance serve; it does when this returns.

        Where it does not, its end is confirmed, and it is refused: the source may serve again.

        Raises:
            RelocationError: it is not known what became of it.
        """
        self.works_on(app)
        kept = self._state(app)
        before = kept.note()
        place: steps.Place = {"name": "", "address": ""}

        def serve(_note: Note) -> None:
            nonlocal place
            place = self._instances.serve(app, timeout_s)

        decision = protocol.decide(before, protocol.Asked(attempt))
        if decision.answer is not Answer.TOOK:
            return {**told(decision), **place}
        hands = {**self.hands(app), Do.SERVE: serve}
        try:
            end_passes(kept.folder)
            carry_out(decision, hands)
        except Exception as error:  # whatever it is: nobody was told that this host serves
            refused = carry_out(protocol.decide(kept.note(), protocol.Failed(before)), hands)
            return {**told(refused), "why": str(error), **place}
        return {**told(decision), **place}

    @handles(steps.Inquire)
    def inquire(self, app: str, attempt: int, handoff: str) -> steps.Told:
        """Say what became of an attempt, and refuse it for good where it was not taken.

        An agent that still works on behalf of the handoff is ended first.

        Raises:
            Busy: another process works on the app.
        """
        folder = self._state(app).folder
        with Lock(folder, app).taken_over(handoff, AGENT):
            decision = self._decide(app, protocol.Inquired(attempt))
            Lease(folder, app).release(handoff)
            return told(decision)

    # -- a person's decision ----------------------------------------------------------------

    @handles(steps.Retire)
    def retire(self, app: str, epoch: int, owner_host: str) -> steps.Told:
        """End the app here for good: another host is its owner; the answer confirms it."""
        self.works_on(app)
        note = self._state(app).note_or_lost()
        hands = dict(self.hands(app))
        if note.state in (State.SERVING, State.RELOCATING, State.LOST):
            # It may have what the copy that is kept lacks.
            hands[Do.END] = lambda _note: self.end_and_put_aside(app, note.taken)
        return told(carry_out(protocol.decide(note, protocol.Fenced(epoch, owner_host)), hands))

    def end_and_put_aside(self, app: str, epoch: int) -> None:
        """End the app's instance, and keep the volume that it had as the owner of an epoch."""
        self._instances.end(app)
        self._instances.put_aside(app, epoch)

    # -- inside -----------------------------------------------------------------------------

    def _decide(self, app: str, event: Event) -> Decision:
        return carry_out(protocol.decide(self._state(app).note(), event), self.hands(app))

    def hands(self, app: str) -> Hands:
        """Return how this host does what decisions about an app say."""
        kept = self._state(app)
        return {
            Do.SYNC: lambda _note: self._instances.wait_until_durable(app),
            Do.WRITE: kept.write,
            Do.END: lambda _note: self._instances.end(app),
        }

    def _state(self, app: str) -> AppState:
        return AppState(self._config.state_dir, app)


def told(decision: Decision) -> steps.Told:
    """Return a decision's answer as another host hears it."""
    return {"answer": str(decision.answer or Answer.REFUSED), "why": decision.why}
