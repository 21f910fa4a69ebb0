# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A small world in which the protocol of owners runs, to be explored state by state.

ME hosts with a disk, an app with one volume, messages that are lost or late, processes and hosts
that end at any instant, a person who settles. What a host decides, it asks ``owner.decide``; the
world only carries it out, one action at a time, so that anything can happen in between.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from ansible_collections.mec.relocation.plugins.module_utils.host.owner import (
    EPOCHS_OF_THE_DEAD,
    Aborted,
    Answer,
    Answered,
    Asked,
    Booted,
    Confirmed,
    Decision,
    Do,
    Event,
    Failed,
    Fenced,
    Inquired,
    Kept,
    Left,
    Note,
    Offered,
    Ordered,
    State,
    Vouched,
    decide,
)

# An instance: there is none, it waits, it writes and serves, it is frozen, it writes and does not
# answer.
NONE, WAITS, WRITES, FROZEN, BROKEN = range(5)
# From here on the target has been asked to serve.
_BEFORE_ASKED = ("offer", "order", "delta")


class Queue(NamedTuple):
    """A decision that is being carried out: what is left of it."""

    note: Note
    then: tuple[Do, ...]
    answer: Answer | None
    before: Note


class Job(NamedTuple):
    """A process that holds the app's lock on a host: at most one.

    ``kind``: reloc (the cutover on the source), agent (on the target), fix (the reconciler, the
    watchdog, or the answer to an inquiry), vouch (the reconciler, after the host began), ask (the
    reconciler waits for an answer), settle (a person's command, on the host that is kept), held
    (the same on the others).
    """

    kind: str
    at: str = ""
    attempt: int = 0
    peer: int = -1
    channel: int = 0
    queue: Queue | None = None


class Host(NamedTuple):
    """One ME host: what is on its disk, and what is not."""

    up: bool
    note: Note
    disk_note: Note
    instance: int
    volume: int  # a bit for each write
    disk_volume: int
    delta: int  # what the last delta brought and nobody has synced
    route: int  # where its gateway sends requests
    current: bool  # has learned since it began what the others know
    job: Job | None


class Message(NamedTuple):
    """On its way between the source's relocation and the target's agent."""

    to: int
    kind: str  # offer, delta, asked; answer
    channel: int
    content: Any


class World(NamedTuple):
    """Everything."""

    hosts: tuple[Host, ...]
    net: tuple[Message, ...]
    acknowledged: int
    faults: int
    runs: int
    writes: int


class Guards(NamedTuple):
    """What keeps the promise; a mutant lacks one."""

    decide: Callable[[Note, Event], Decision] = decide
    note_synced: Callable[[Note], bool] = lambda _note: True
    passes_synced: bool = True
    delta_synced: bool = True
    lock: bool = True
    answer_waits: bool = True
    asks_before_undoing: bool = True
    reconciles: bool = True


def begin(hosts: int, faults: int, runs: int, writes: int) -> World:
    """The app serves on the first host."""
    serving = Note(State.SERVING, taken=1, known=1, floor=1)
    other = Note(known=1, floor=1, peer="0")
    nothing = Host(True, other, other, NONE, 0, 0, 0, 0, True, None)
    first = nothing._replace(note=serving, disk_note=serving, instance=WRITES)
    return World((first, *(nothing,) * (hosts - 1)), (), 0, faults, runs, writes)


def serves(world: World) -> bool:
    """Whether users are served, whichever gateway they reach."""
    owners = [
        number
        for number, host in enumerate(world.hosts)
        if host.up and host.note.state is State.SERVING and host.instance == WRITES
    ]
    return len(owners) == 1 and all(host.route == owners[0] for host in world.hosts)


def broken(world: World) -> str | None:
    """Which promise does not hold."""
    writers = [host for host in world.hosts if host.instance in (WRITES, BROKEN)]
    if len(writers) > 1:
        return "two writers"
    if any(world.acknowledged & ~host.volume for host in writers):
        return "an acknowledged write is not in the volume that serves"
    return None


class Rules:
    """What can happen next.

    Args:
        guards: what keeps the promise.
    """

    def __init__(self, guards: Guards) -> None:
        self._guards = guards
        self._decide = functools.cache(guards.decide)

    def steps(self, world: World) -> Iterator[World]:
        """What happens without a fault."""
        for number, host in enumerate(world.hosts):
            if not host.up:
                yield _with(world, number, up=True)
                continue
            yield from self._write(world, number, host)
            if host.job is None:
                yield from self._start(world, number, host)
                if self._guards.reconciles:
                    yield from self._reconcile(world, number, host)
            elif host.job.queue is not None:
                yield from self._carry_on(world, number, host.job, host.job.queue)
            else:
                yield from self._notice(world, number, host.job)
        for message in world.net:
            yield from self._deliver(world, message)
        if any(host.note.rivals for host in world.hosts):
            yield from self._settle(world)

    def faults(self, world: World) -> Iterator[World]:
        """What goes wrong, as long as there is a fault left."""
        if not world.faults:
            return
        world = world._replace(faults=world.faults - 1)
        for message in world.net:
            yield _without(world, message)
        for number, host in enumerate(world.hosts):
            if not host.up:
                yield from self._settle(world)
                continue
            yield self._crash(world, number, host)
            if host.instance in (WRITES, FROZEN):
                yield _with(world, number, instance=NONE)
            job = host.job
            if job is None:
                continue
            yield _with(world, number, job=None)
            if job.kind == "reloc":
                yield from self._killed(world, number, host, job)
                if job.queue is None:
                    yield from self._lost(world, number, host, job)
            if job.kind == "agent" and job.queue and Do.SERVE in job.queue.then:
                failed = self._begin(host.note, Failed(job.queue.before))
                yield _with(world, number, instance=BROKEN, job=job._replace(queue=failed))

    # -- the relocation ---------------------------------------------------------------------

    def _start(self, world: World, number: int, host: Host) -> Iterator[World]:
        ready = host.note.state is State.SERVING and host.instance == WRITES and host.current
        if not world.runs or not ready:
            return
        for other, target in enumerate(world.hosts):
            free = target.job is None and target.note.state not in (
                State.SERVING,
                State.RELOCATING,
                State.TAKING,
            )
            if other == number or not target.up or not free:
                continue
            attempt = 1 + max(host.note.newest, target.note.newest)
            disk = host.volume if self._guards.passes_synced else target.disk_volume
            new = _with(
                world,
                other,
                instance=WAITS,
                volume=host.volume,
                disk_volume=disk & host.volume,
                delta=0,
                job=Job("agent", "", attempt, number, world.runs),
            )
            new = _with(new, number, job=Job("reloc", "offer", attempt, other, world.runs))
            new = new._replace(runs=world.runs - 1)
            yield _send(new, Message(other, "offer", world.runs, number))

    def _deliver(self, world: World, message: Message) -> Iterator[World]:
        number, host = message.to, world.hosts[message.to]
        rest, job = _without(world, message), host.job
        fits = (
            host.up
            and job is not None
            and job.queue is None
            and job.channel == message.channel
            and job.kind == ("reloc" if message.kind == "answer" else "agent")
        )
        if fits and job is not None:
            if message.kind == "answer":
                yield self._heard(rest, number, host, job, message.content)
            else:
                yield self._asked(rest, number, host, job, message)
        elif host.up and message.kind == "delta" and not self._guards.lock:
            yield _with(rest, number, volume=message.content)
        elif not (host.up and job and job.channel == message.channel and job.queue):
            # There is nobody any more who would read it.
            yield rest

    def _asked(self, world: World, number: int, host: Host, job: Job, message: Message) -> World:
        """The agent takes a step."""
        if message.kind == "delta":
            came = message.content & ~host.volume
            new = _with(world, number, volume=message.content, delta=came)
            return _send(new, Message(job.peer, "answer", job.channel, Answer.ACCEPTED))
        event: Event = (
            Offered(job.attempt, "", str(message.content))
            if message.kind == "offer"
            else Asked(job.attempt)
        )
        queue = self._begin(host.note, event)
        if message.kind == "asked" and not self._guards.answer_waits:
            world = _send(world, Message(job.peer, "answer", job.channel, queue.answer))
            queue = queue._replace(answer=None)
        return _with(world, number, job=job._replace(queue=queue))

    def _heard(self, world: World, number: int, host: Host, job: Job, answer: Answer) -> World:
        """The relocation hears what the agent answered."""
        if job.at == "offer" and answer is Answer.ACCEPTED:
            queue = self._begin(host.note, Ordered(job.attempt, "", str(job.peer)))
            return _with(world, number, job=job._replace(at="order", queue=queue))
        if job.at == "offer":
            return _with(world, number, job=None)
        if job.at == "delta":
            new = _with(world, number, job=job._replace(at="asked"))
            return _send(new, Message(job.peer, "asked", job.channel, None))
        queue = self._begin(host.note, Answered(answer))
        return _with(world, number, job=job._replace(at="end", queue=queue))

    def _notice(self, world: World, number: int, job: Job) -> Iterator[World]:
        """A process sees that the one at the other end has gone."""
        host, peer = world.hosts[number], world.hosts[job.peer]
        there = peer.job if peer.up else None
        if job.kind == "settle":
            yield from self._fence(world, number, job)
        elif job.kind == "reloc":
            busy = there and there.channel == job.channel and there.queue
            if not busy and not any(message.channel == job.channel for message in world.net):
                yield from self._lost(world, number, host, job)
        elif job.kind == "agent":
            if there is None or there.kind != "reloc" or there.channel != job.channel:
                yield _with(world, number, job=None)
        elif job.kind == "held":
            if there is None or there.kind != "settle":
                yield _with(world, number, job=None)
        elif there is None or there.peer != number or there.kind != "fix":
            yield _with(world, number, job=None)

    def _lost(self, world: World, number: int, host: Host, job: Job) -> Iterator[World]:
        """The relocation gives the channel up."""
        if job.at == "delta" or (job.at == "asked" and not self._guards.asks_before_undoing):
            queue = self._begin(host.note, Aborted())
            yield _with(world, number, job=job._replace(at="end", queue=queue))
        else:
            yield _with(world, number, job=None)

    def _killed(self, world: World, number: int, host: Host, job: Job) -> Iterator[World]:
        """The relocation is killed, and its watchdog is not."""
        if job.at in _BEFORE_ASKED or not self._guards.asks_before_undoing:
            queue = self._begin(host.note, Aborted())
            yield _with(world, number, job=Job("fix", queue=queue))

    # -- a decision, action by action -------------------------------------------------------

    def _begin(self, note: Note, event: Event) -> Queue:
        decision = self._decide(note, event)
        return Queue(decision.note, decision.then, decision.answer, note)

    def _carry_on(self, world: World, number: int, job: Job, queue: Queue) -> Iterator[World]:
        if queue.then:
            done = job._replace(queue=queue._replace(then=queue.then[1:]))
            yield self._do(_with(world, number, job=done), number, queue.then[0], queue.note)
        else:
            yield self._end(world, number, job, queue)

    def _end(self, world: World, number: int, job: Job, queue: Queue) -> World:
        """All of a decision is done."""
        if job.kind == "agent":
            new = _with(world, number, job=job._replace(queue=None))
            if queue.answer is None:
                return new
            return _send(new, Message(job.peer, "answer", job.channel, queue.answer))
        if job.kind == "vouch":
            return _with(world, number, current=True, job=None)
        if job.kind == "held" or (job.kind == "settle" and job.at == "keep"):
            return _with(world, number, job=job._replace(queue=None))
        if job.kind == "reloc" and job.at == "order":
            new = _with(world, number, instance=FROZEN if _writes(world, number) else NONE)
            new = _with(new, number, job=job._replace(at="delta", queue=None))
            volume = world.hosts[number].volume
            return _send(new, Message(job.peer, "delta", job.channel, volume))
        new = _with(world, number, job=None)
        if job.kind == "fix" and job.peer >= 0:
            asker = new.hosts[job.peer]
            if asker.job and asker.job.kind == "ask" and asker.job.peer == number:
                told = self._begin(asker.note, Answered(queue.answer))
                new = _with(new, job.peer, job=Job("fix", queue=told))
        return new

    def _do(self, world: World, number: int, action: Do, note: Note) -> World:
        host = world.hosts[number]
        match action:
            case Do.SYNC:
                synced = host.delta if self._guards.delta_synced else 0
                return _with(world, number, disk_volume=host.disk_volume | synced, delta=0)
            case Do.WRITE:
                new = _with(world, number, note=note)
                return _with(new, number, disk_note=note) if self._guards.note_synced(note) else new
            case Do.SERVE:
                return _with(world, number, instance=WRITES)
            case Do.END:
                return _with(world, number, instance=NONE)
            case Do.ROUTE:
                owner = number if note.state is State.SERVING else int(note.peer)
                return world._replace(
                    hosts=tuple(h._replace(route=owner) if h.up else h for h in world.hosts)
                )
        raise AssertionError(action)

    # -- what comes back by itself ----------------------------------------------------------

    def _reconcile(self, world: World, number: int, host: Host) -> Iterator[World]:
        if not host.current:
            yield from self._vouch(world, number, host)
        decision = self._decide(host.note, Left() if host.current else Booted())
        if Do.VOUCH in decision.then:
            return
        if Do.ASK in decision.then:
            yield from self._ask(world, number, host)
        elif self._differs(world, number, host, decision):
            queue = self._begin(host.note, Left())
            yield _with(world, number, job=Job("fix", queue=queue))

    def _differs(self, world: World, number: int, host: Host, decision: Decision) -> bool:
        """Whether the host is not as it has to be."""
        return (
            decision.note != host.note
            or (Do.END in decision.then and host.instance != NONE)
            or (Do.SERVE in decision.then and host.instance != WRITES)
            or (
                Do.ROUTE in decision.then
                and any(other.up and other.route != number for other in world.hosts)
            )
        )

    def _vouch(self, world: World, number: int, host: Host) -> Iterator[World]:
        # A host vouches only while nobody works on the app there: a person may be settling it.
        others = {place: other for place, other in enumerate(world.hosts) if place != number}
        able = {place: other for place, other in others.items() if other.up and not other.job}
        if not (any(other.current for other in able.values()) or len(able) == len(others)):
            return
        known, place, peer = max(
            (other.note.known, place, other.note.peer) for place, other in able.items()
        )
        owner = str(place) if able[place].note.taken == known else peer
        decision = self._decide(host.note, Vouched(known, owner))
        if decision.note != host.note:
            queue = self._begin(host.note, Vouched(known, owner))
            yield _with(world, number, job=Job("vouch", queue=queue))
        else:
            yield _with(world, number, current=True)

    def _ask(self, world: World, number: int, host: Host) -> Iterator[World]:
        place = int(host.note.peer)
        peer = world.hosts[place]
        if not peer.up:
            return
        queue = self._begin(peer.note, Inquired(host.note.attempt))
        agent = peer.job is not None and peer.job.kind == "agent"
        if agent and not self._guards.lock:
            # It answers beside the agent, which goes on.
            for action in queue.then:
                world = self._do(world, place, action, queue.note)
            told = self._begin(host.note, Answered(queue.answer))
            yield _with(world, number, job=Job("fix", queue=told))
        elif peer.job is None or (agent and peer.job.attempt <= host.note.attempt):
            # An agent that still works on it is ended.
            new = _with(world, place, job=Job("fix", peer=number, queue=queue))
            yield _with(new, number, job=Job("ask", attempt=host.note.attempt, peer=place))

    # -- faults, and a person ---------------------------------------------------------------

    def _crash(self, world: World, number: int, host: Host) -> World:
        return _with(
            world,
            number,
            up=False,
            note=host.disk_note,
            instance=NONE,
            volume=host.disk_volume,
            delta=0,
            current=False,
            job=None,
        )

    def _settle(self, world: World) -> Iterator[World]:
        """A person keeps one copy; every host that is up is locked for as long as that takes.

        Of a host that is down the person says that it is gone.
        """
        living = [place for place, host in enumerate(world.hosts) if host.up]
        if not living or any(world.hosts[place].job is not None for place in living):
            return
        epoch = EPOCHS_OF_THE_DEAD + max(world.hosts[place].note.newest for place in living)
        for keep in living:
            # A person who keeps an older copy loses what it lacks: that is not explored here. Where
            # another host serves, there is nothing to be settled.
            others = [world.hosts[place] for place in living if place != keep]
            older = world.acknowledged & ~world.hosts[keep].volume
            if older or any(other.instance == WRITES for other in others):
                continue
            rivals = tuple(str(place) for place in living if place != keep)
            queue = self._begin(world.hosts[keep].note, Kept(epoch, "", rivals))
            queue = queue._replace(then=queue.then[:-1])
            new = _with(world, keep, job=Job("settle", "keep", queue=queue))
            for rival in rivals:
                new = _with(new, int(rival), job=Job("held", peer=keep))
            yield new

    def _fence(self, world: World, number: int, job: Job) -> Iterator[World]:
        """`settle` has its rivals end the app, one after another, and then lets the owner serve."""
        note = world.hosts[number].note
        for rival in map(int, note.rivals):
            other = world.hosts[rival]
            if not (other.up and other.job and other.job.kind == "held"):
                yield _with(world, number, job=None)  # it gives up
            elif other.job.queue is None and other.note.known < note.taken:
                queue = self._begin(other.note, Fenced(note.taken, str(number)))
                yield _with(world, rival, job=other.job._replace(queue=queue))
        if all(world.hosts[int(rival)].note.known >= note.taken for rival in note.rivals):
            queue = self._begin(note, Confirmed())
            new = _with(world, number, current=True, job=job._replace(at="serve", queue=queue))
            yield new

    def _write(self, world: World, number: int, host: Host) -> Iterator[World]:
        """A user writes, and is told that it is kept."""
        routed = any(other.up and other.route == number for other in world.hosts)
        if not world.writes or host.instance != WRITES or not routed:
            return
        bit = world.writes  # each write a bit of its own: 1, 2, 4
        new = _with(
            world,
            number,
            volume=host.volume | bit,
            disk_volume=host.disk_volume | bit,
        )
        yield new._replace(acknowledged=world.acknowledged | bit, writes=world.writes >> 1)


def _writes(world: World, number: int) -> bool:
    return world.hosts[number].instance == WRITES


def _with(world: World, number: int, **changes: Any) -> World:
    hosts = list(world.hosts)
    hosts[number] = hosts[number]._replace(**changes)
    return world._replace(hosts=tuple(hosts))


def _send(world: World, message: Message) -> World:
    return world._replace(net=tuple(sorted((*world.net, message), key=repr)))


def _without(world: World, message: Message) -> World:
    net = list(world.net)
    net.remove(message)
    return world._replace(net=tuple(net))
