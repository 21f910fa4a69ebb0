# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Keeps what this host's notes say of its apps true, and finishes what was interrupted.

It begins with the host. An app of which the note says that it serves here is started and activated,
after the other hosts have been asked whether one of them knows a newer owner. An app in the middle
of a relocation that nobody works on any more goes back to its source, or on to its target: the
source asks the target, and asks again for as long as it does not answer. `owner` decides; the
engine's or the cluster's own restart policies do not.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait

from ..ground import library
from ..ground.config import HostConfig
from ..ground.errors import RelocationError
from ..ground.record import settled
from ..wire import steps
from ..wire.channel import Channel, ChannelLost
from . import owner
from .lease import Lease
from .lock import DEPLOYMENT, RECONCILER, Busy, Lock
from .me_host import MeHost
from .owner import Answer, Do, Note, State
from .ownership import Hand, carry_out
from .state import AppState, append_record, last_record, settle_record

_PAUSE_S = 1.0
_AT_ONCE = 4
# What nobody tells is seen after this at the latest.
_LOOK_S = 10.0
_ACTIVATE_S = 10.0
# An instance has to end before a host refuses a relocation: engines take 30 s for that at most.
_INQUIRE_S = 35.0
# What a gateway was told is said again: something that was long on its way may have undone it.
_REMIND_S = 30.0
# A host that does not answer is left alone for so long.
_SILENT_S = 3.0
_log = logging.getLogger(__name__)


class Reconciler:
    """Looks after the apps of one host."""

    def __init__(self, config: HostConfig, me_host: MeHost) -> None:
        self._config = config
        self._me_host = me_host
        self._looked: dict[str, float] = {}
        self._silent: dict[str, float] = {}
        self._said: dict[str, str] = {}
        # By app: the last handoff of which a record says how it ended, and the epoch.
        self._ended: dict[str, tuple[str, int]] = {}
        self._workers = ThreadPoolExecutor(_AT_ONCE)
        self._at_work: dict[str, Future[None]] = {}
        self._woken = threading.Event()
        self.gateways = Gateways(config)

    def changed(self, app: str) -> None:
        """Look after an app at once."""
        self._looked.pop(app, None)
        self._woken.set()

    def wait(self) -> None:
        """Wait until there is something to look after, or might be."""
        self._woken.wait(_PAUSE_S)
        self._woken.clear()

    def reconcile_all(self) -> None:
        """Look after every app that this host knows."""
        kept = {kept.name: kept for kept in AppState.all(self._config.state_dir)}
        if waiting := [app for app, state in kept.items() if not state.current]:
            self._hear(waiting)
        for app in kept:
            if app not in self._at_work or self._at_work[app].done():
                self._at_work[app] = self._workers.submit(self.reconcile, app)
        # One that takes its time to serve is not waited for.
        wait(self._at_work.values(), timeout=_PAUSE_S)

    def reconcile(self, app: str) -> None:
        """Look after one app; what cannot be done is logged, and tried again."""
        with self._trying(app):
            note = self._state(app).note()
            unfinished = note.state in (State.RELOCATING, State.TAKING)
            if (
                unfinished
                or self._is_to_be_told(app, note)
                or time.monotonic() - self._looked.get(app, -_LOOK_S) >= _LOOK_S
            ):
                # Noted before: what changes meanwhile is looked at again.
                self._looked[app] = time.monotonic()
                try:
                    self._tend(app)
                except BaseException:
                    self._looked.pop(app, None)
                    raise
            self._said.pop(app, None)

    @contextlib.contextmanager
    def _trying(self, app: str) -> Iterator[None]:
        """Log what fails, once: the other apps have to be looked after all the same."""
        try:
            yield
        except Busy:
            pass  # whoever works on it knows better
        except Exception as error:  # as above
            if self._said.get(app) != str(error):
                self._said[app] = str(error)
                _log.warning("%s: %s", app, error)

    # -- one app ----------------------------------------------------------------------------

    def _tend(self, app: str) -> None:
        kept = self._state(app)
        lock = Lock(kept.folder, app)
        with lock.beside_a_copy() as is_copied:
            if is_copied:
                self._keep_while_copied(kept)
                return
        with lock.held(RECONCILER, RECONCILER):
            if kept.lacks_epoch:
                self._adopt(kept)
            note = kept.note()
            event: owner.Event = owner.Left() if kept.current else owner.Booted()
            decision = owner.decide(note, event)
            if decision.note != note:
                _log.info("%s: was %s, and nobody works on it", app, note.state)
                self._free(app, note)
            idle = decision.note == note and Do.END in decision.then
            if not idle or self._me_host.platform.find(app) is not None:
                carry_out(decision, self._hands(app))
                if decision.note.state in (State.ABSENT, State.RETIRED):
                    self._tidy_up(app, decision.note)
            self._see_how_it_ended(app, decision.note)

    def _keep_while_copied(self, kept: AppState) -> None:
        """Have an app go on whose instance ends while a relocation copies its state."""
        note = kept.note()
        is_owner = note.state is State.SERVING and not note.rivals and kept.current
        if is_owner and self._me_host.keep_serving(kept.name, _ACTIVATE_S):
            _log.info("%s serves again", kept.name)

    def _adopt(self, kept: AppState) -> None:
        """Give the note of a library that knew no epochs its epoch.

        That library noted last that a target serves. One that it left with the note of a prepared
        one is told from it by its answer.
        """
        note = kept.note()
        if note.state is State.PREPARED and self._me_host.healthy(kept.name):
            note = note._replace(state=State.SERVING, taken=2, known=2, floor=2, copy=2)
        kept.write(note)
        _log.info("%s: was %s for a library without epochs", kept.name, note.state)

    def _tidy_up(self, app: str, note: Note) -> None:
        """Remove an instance that has ended; what belongs to a whole volume, when the owner serves.

        Raises:
            RelocationError: the owner does not answer.
        """
        if note.state is State.RETIRED and not self._owner_serves(app, note):
            return
        left = self._me_host.remove(app)
        if left is not None:
            raise RelocationError(left)

    def _owner_serves(self, app: str, note: Note) -> bool:
        """Whether the host that has taken the app serves it, or has handed it on since.

        Raises:
            RelocationError: it does not answer.
        """
        if note.peer not in self._config.peers:
            return False
        try:
            with Channel(self._config, note.peer, shared=False) as peer:
                part = peer.begin(steps.Parts([app])).result(_ACTIVATE_S)[app]
                if part["state"] != State.SERVING and part["known"] > note.known:
                    return True
                return peer.begin(steps.Serves(app)).result(_ACTIVATE_S)
        except ChannelLost:
            self._silent[note.peer] = time.monotonic()
            raise

    def _is_silent(self, peer: str) -> bool:
        """Whether a host has not answered just now."""
        return time.monotonic() - self._silent.get(peer, -_SILENT_S) < _SILENT_S

    def _is_to_be_told(self, app: str, note: Note) -> bool:
        """Whether the relocation that ended the app here may lack a record of how it ended."""
        return (
            note.state is State.RETIRED
            and note.handoff not in ("", DEPLOYMENT)
            and self._ended.get(app) != (note.handoff, note.known)
        )

    def _see_how_it_ended(self, app: str, note: Note) -> None:
        """Have a record of the relocation that ended the app here, which says how that ended.

        Whoever relocates writes it last, so that a host that loses power then has none; and it is
        uncertain where the target did not serve yet.

        Raises:
            RelocationError: the owner does not answer.
        """
        if not self._is_to_be_told(app, note):
            return
        last = last_record(self._config.state_dir, app, note.handoff)
        # An earlier try of the same handoff may have been aborted.
        if last is None or last.get("outcome") != "completed":
            if self._is_silent(note.peer) or not self._owner_serves(app, note):
                return
            self._tell_how_it_ended(app, note, completed=True)
        self._ended[app] = note.handoff, note.known

    def _hands(self, app: str) -> dict[Do, Hand]:
        kept = self._state(app)
        return {
            Do.WRITE: kept.write,
            Do.END: lambda _note: self._me_host.end(app),
            Do.SERVE: lambda note: self._serve(app, note),
            Do.ROUTE: lambda note: self._route(app, note),
            Do.ASK: lambda note: self._ask(app, note),
            # The hosts have been asked already, and have not said enough.
            Do.VOUCH: lambda _note: None,
        }

    def _serve(self, app: str, note: Note) -> None:
        if self._me_host.keep_serving(app, _ACTIVATE_S):
            _log.info("%s serves again", app)
        elif self._ended.get(app) == (note.handoff, note.known) or not self._me_host.is_served(app):
            return
        # When its relocation ended it did not serve, at whichever end of that.
        settle_record(self._config.state_dir, app, self._config.name, note.handoff)
        self._ended[app] = note.handoff, note.known
        self._free(app, note)

    def _route(self, app: str, note: Note) -> None:
        here = self._config.name
        host = here if note.state is State.SERVING else note.peer
        self._me_host.open_gateway(app, host)
        if note.state is State.SERVING:
            self.gateways.tell(app, (note.taken, note.floor))

    def _ask(self, app: str, note: Note) -> None:
        """Ask the target of an interrupted relocation what became of it."""
        if self._is_silent(note.peer):
            return
        try:
            with Channel(self._config, note.peer, shared=False) as target:
                question = steps.Inquire(app, note.attempt, note.handoff)
                answer = Answer(target.begin(question).result(_INQUIRE_S)["answer"])
                part = target.begin(steps.Parts([app])).result(_ACTIVATE_S)[app]
        except ChannelLost:
            self._silent[note.peer] = time.monotonic()
            raise
        carry_out(owner.decide(note, owner.Answered(answer)), self._hands(app))
        completed = answer is Answer.TOOK
        _log.info("%s: %s says %s", app, note.peer, answer)
        self._tell_how_it_ended(app, note, completed=completed)
        if completed and part["owner"] not in ("", note.peer, self._config.name):
            # It has handed the app on since.
            self._me_host.open_gateway(app, part["owner"])

    def _tell_how_it_ended(self, app: str, note: Note, *, completed: bool) -> None:
        last = last_record(self._config.state_dir, app, note.handoff)
        if last is None:
            last = {
                "id": note.handoff,
                "app": app,
                "ue": None,
                "platform": self._config.platform,
                "scenario": None,
                "source": self._config.name,
                "target": note.peer,
            }
        record = settled(last, completed=completed)
        append_record(self._config.state_dir, record)
        self._free(app, note)
        # It may have a copy of a record that was uncertain.
        with (
            contextlib.suppress(RelocationError),
            Channel(self._config, note.peer, shared=False) as peer,
        ):
            peer.begin(steps.Record(record)).result(_ACTIVATE_S)

    def _free(self, app: str, note: Note) -> None:
        """Keep no other handoff away for the sake of one that has ended; called with the lock."""
        Lease(self._state(app).folder, app).release(note.handoff)

    # -- after this host has begun ----------------------------------------------------------

    def _hear(self, apps: Sequence[str]) -> None:
        """Learn what the other hosts know of the owners of apps.

        A host that has not been away knows what there is to be known. Where none is left, all of
        them have to be heard.
        """
        heard = self._ask_all(steps.Parts(list(apps)))
        for app in apps:
            with self._trying(app):
                known = self._state(app).note().known
                parts = [told[app] for told in heard if _is_word(told[app], known)]
                if any(part["current"] for part in parts) or len(parts) == len(self._config.peers):
                    self._vouched(app, parts)

    def _ask_all(self, question: steps.Parts) -> list[Mapping[str, steps.Part]]:
        """Ask the other hosts side by side; the answers of those that answer."""

        def ask(peer: str) -> Mapping[str, steps.Part] | None:
            try:
                with Channel(self._config, peer, shared=False) as channel:
                    return channel.begin(question).result(_ACTIVATE_S)
            except RelocationError:
                return None

        with ThreadPoolExecutor(max(len(self._config.peers), 1)) as asking:
            return [told for told in asking.map(ask, self._config.peers) if told is not None]

    def _vouched(self, app: str, parts: Sequence[steps.Part]) -> None:
        kept = self._state(app)
        newest = max(parts, key=lambda part: part["known"], default=None)
        known, at = (newest["known"], newest["owner"]) if newest else (0, "")
        with Lock(kept.folder, app).held(RECONCILER, RECONCILER):
            note = kept.note()
            decision = owner.decide(note, owner.Vouched(known, at))
            took = note.state is State.RELOCATING and known == note.attempt
            if took:
                carry_out(decision, self._hands(app))
                self._tell_how_it_ended(app, note, completed=True)
            elif decision.note != note:
                hands = self._hands(app)
                aside = self._me_host.ownership.end_and_put_aside
                hands[Do.END] = lambda _note: aside(app, note.taken)
                carry_out(decision, hands)
                _log.warning("%s: %s is its owner since this host went", app, at)
            if at not in ("", self._config.name) and known >= note.known:
                # This host's gateway may not have been told while it was away.
                self._me_host.open_gateway(app, at)
            kept.mark_current()
        self.changed(app)

    def _state(self, app: str) -> AppState:
        return AppState(self._config.state_dir, app)


def _is_word(part: steps.Part, known: int) -> bool:
    """Whether what a host says of an app will not be otherwise in a moment.

    That it knows of a newer owner than this host does will be so, whoever works on the app there.
    """
    return part["state"] != State.LOST and (not part["busy"] or part["known"] > known)


class Gateways:
    """Tells the gateways of the other hosts where apps are; who cannot be told is told later."""

    def __init__(self, config: HostConfig) -> None:
        self._config = config
        self._wanted: dict[str, tuple[int, int]] = {}
        # By app and peer: the epoch, and when that was.
        self._told: dict[tuple[str, str], tuple[tuple[int, int], float]] = {}
        self._condition = threading.Condition()

    def tell(self, app: str, epoch: tuple[int, int]) -> None:
        """Have every gateway send the app's requests to this host, as of its epoch and floor."""
        with self._condition:
            self._wanted[app] = epoch
            self._condition.notify_all()

    def run(self, peer: str) -> None:
        """Tell one host, for ever."""
        while True:
            with self._condition:
                while not (left := self._left(peer)):
                    self._condition.wait(_PAUSE_S)
            try:
                with Channel(self._config, peer, shared=False) as channel:
                    told = [self._told_it(channel, app, epoch) for app, epoch in left.items()]
            except Exception as error:  # whatever it is: there is nobody else to tell them
                _log.debug("%s is told later: %s", peer, error)
                told = [False]
            if not all(told):
                time.sleep(_SILENT_S)

    def _told_it(self, channel: Channel, app: str, epoch: tuple[int, int]) -> bool:
        try:
            self._tell(channel, app, epoch)
        except Exception as error:  # the other apps have to be told all the same
            _log.debug("%s: %s is told later: %s", app, channel.name, error)
            return False
        return True

    def _tell(self, channel: Channel, app: str, epoch: tuple[int, int]) -> None:
        kept = AppState(self._config.state_dir, app)
        # Not while it is relocated: that would end the hold.
        with Lock(kept.folder, app).held(RECONCILER, RECONCILER):
            note = kept.note()
            if note.state is not State.SERVING or (note.taken, note.floor) != epoch:
                self._forget(app, epoch)
                return
            part = channel.begin(steps.Parts([app])).result(_ACTIVATE_S)[app]
            if part["known"] > note.known:
                # This host was given up while it was cut off: the others have to be heard.
                kept.doubt()
                return
            if part["state"] == State.SERVING and part["known"] < note.taken:
                self._fence(channel, app, note)
            channel.begin(steps.OpenGateway(app, self._config.name)).result(_ACTIVATE_S)
        with self._condition:
            self._told[app, channel.name] = epoch, time.monotonic()

    def _forget(self, app: str, epoch: tuple[int, int]) -> None:
        """Tell nobody any more what is no longer so."""
        with self._condition:
            if self._wanted.get(app) == epoch:
                del self._wanted[app]

    def _fence(self, channel: Channel, app: str, note: Note) -> None:
        """Have a host end the app that a person had given up, and that was only cut off."""
        channel.begin(steps.Lock(app, RECONCILER)).result()
        told = channel.begin(steps.Retire(app, note.taken, self._config.name)).result()
        channel.begin(steps.Unlock(app, keep_lease=False)).result()
        _log.warning("%s: %s was its owner before, and ends it: %s", app, channel.name, told)

    def _left(self, peer: str) -> dict[str, tuple[int, int]]:
        left = {}
        for app, epoch in self._wanted.items():
            told, at_s = self._told.get((app, peer), (None, 0.0))
            if told != epoch or time.monotonic() - at_s > _REMIND_S:
                left[app] = epoch
        return left


def watch(me_host: MeHost, reconciler: Reconciler) -> None:
    """Tell the reconciler of instances that change, for ever."""
    while True:
        with contextlib.suppress(RelocationError):
            for app in me_host.platform.changes():
                reconciler.changed(app)
        time.sleep(_PAUSE_S)


def main() -> None:
    """Reconcile, until the library is replaced."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    config = HostConfig.load()
    loaded = library.stamp()
    me_host = MeHost(config)
    me_host.load()
    reconciler = Reconciler(config, me_host)
    for peer in config.peers:
        threading.Thread(target=reconciler.gateways.run, args=(peer,), daemon=True).start()
    threading.Thread(target=watch, args=(MeHost(config), reconciler), daemon=True).start()
    while library.stamp() == loaded:
        reconciler.reconcile_all()
        reconciler.wait()


if __name__ == "__main__":
    main()
