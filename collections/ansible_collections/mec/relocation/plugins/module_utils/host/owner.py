# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The protocol by which an app changes its owner: every decision, and nothing else.

The owner of an app is the ME host that may run a writer of it. Each host has a durable note of the
part that it plays for the app. ``decide`` takes the note and what has happened, and returns the
next note and what has to be done, in order. Whoever executes that decides nothing: neither the
cutover, nor the agent, nor the reconciler, nor `settle`.

An *epoch* is a number that is given to one attempt to make a host the owner, and to no other
attempt. Newer always means the greater epoch, never a time. A relocation has one point at which
the owner changes: when the target's note says ``serving`` with the attempt's epoch. Until then the
target may refuse, and promises so with its ``floor``; from then on the source can only ask, and
hear that it is over. docs/owner-protocol.md explains it; the unit test explores all of its states.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import NamedTuple

# A person who says that a host is gone cannot know what that host has begun: room for its attempts.
EPOCHS_OF_THE_DEAD = 1000
# A note that is lost may have been the only one that knew the newest epoch: room for all of them.
_EPOCHS_OF_THE_LOST = 10**9


class State(enum.StrEnum):
    """The part that a host plays for one app. Only in ``SERVING`` may an instance write."""

    ABSENT = "absent"
    PREPARED = "prepared"
    TAKING = "taking"
    SERVING = "serving"
    RELOCATING = "relocating"
    RETIRED = "retired"
    LOST = "lost"  # its note is damaged; only a person can say what is to become of it


# Where the note says so, an instance may write, or may have been asked to.
MAY_WRITE = frozenset({State.TAKING, State.SERVING, State.RELOCATING, State.LOST})


class Note(NamedTuple):
    """What a host knows durably of its part for one app.

    Attributes:
        state: the part.
        taken: the greatest epoch under which this host has been the owner; 0: never.
        known: the greatest epoch of an owner that this host knows of, itself included.
        attempt: the epoch of the relocation that is under way (``TAKING``, ``RELOCATING``); or 0.
        copy: the epoch as of whose end the volume here is whole; 0: there is no such volume, or a
            copy that is being brought in step.
        floor: this host takes part in no attempt with this epoch or a lower one.
        peer: the other host of the attempt; where another host is the owner, that host.
        rivals: the hosts whose end this owner still has to have confirmed before it may serve.
        handoff: on whose behalf.
        instance: what the platform calls this host's instance.
    """

    state: State = State.ABSENT
    taken: int = 0
    known: int = 0
    attempt: int = 0
    floor: int = 0
    copy: int = 0
    peer: str = ""
    rivals: tuple[str, ...] = ()
    handoff: str = ""
    instance: str = ""

    @property
    def newest(self) -> int:
        """The greatest epoch that this host knows of."""
        return max(self.known, self.attempt, self.floor)


class Do(enum.StrEnum):
    """What has to be done after a decision."""

    SYNC = "sync"  # make durable what has crossed into the volume here
    WRITE = "write"  # write the decision's note durably
    SERVE = "serve"  # let the instance serve: thaw, start and activate it, whatever it needs
    END = "end"  # end the instance, and have it confirmed
    ROUTE = "route"  # have the gateways send the app's requests to its owner, and release them
    ASK = "ask"  # ask the peer of the attempt what has become of it, until it answers
    VOUCH = "vouch"  # ask the other hosts whether one of them knows a newer owner
    FENCE = "fence"  # have the rivals end the app, and confirm it


class Answer(enum.StrEnum):
    """What a host answers another."""

    ACCEPTED = "accepted"
    TOOK = "took"  # the owner has changed: the attempt has succeeded, or a newer one has
    REFUSED = "refused"  # it has not, and by this attempt it will never be this host


@dataclass(frozen=True)
class Decision:
    """The next note, and what has to be done.

    Attributes:
        note: the note that ``Do.WRITE`` writes.
        then: what is done, in order.
        answer: what whoever asked is told when all of that is done.
        why: the reason of a refusal.
    """

    note: Note
    then: tuple[Do, ...] = ()
    answer: Answer | None = None
    why: str = ""


def room_for(*, dead: bool, lost: bool) -> int:
    """How many epochs to leave free for what was begun and cannot be known.

    Args:
        dead: a host is said to be gone.
        lost: the note of a host is damaged.
    """
    return (EPOCHS_OF_THE_DEAD if dead else 0) + (_EPOCHS_OF_THE_LOST if lost else 0)


# -- what can happen ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Readied:
    """What a relocation needs is being brought here: a copy of the volume, an instance that waits.

    Attributes:
        instance: the instance; empty as long as there is none.
    """

    handoff: str
    instance: str


@dataclass(frozen=True)
class Discarded:
    """What was brought here for a relocation is not needed any more."""


@dataclass(frozen=True)
class Stopped:
    """A person ends the app on this host; the volume stays, and is the owner's last one."""


@dataclass(frozen=True)
class Offered:
    """A source asks this host to take the app in an attempt; nothing is held yet."""

    attempt: int
    handoff: str
    source: str


@dataclass(frozen=True)
class Withdrawn:
    """The source takes its offer back: it has not asked this host to serve, and will not."""

    attempt: int


@dataclass(frozen=True)
class Asked:
    """The source stands still, and all of the volume has crossed: this host shall serve."""

    attempt: int


@dataclass(frozen=True)
class Failed:
    """The instance that was to serve does not, and nobody was told that it does.

    Attributes:
        before: the note from before the attempt was asked for.
    """

    before: Note


@dataclass(frozen=True)
class Inquired:
    """A source asks what became of an attempt. It will not ask this host to serve in it again."""

    attempt: int


@dataclass(frozen=True)
class Ordered:
    """This host is to relocate the app that it serves."""

    attempt: int
    handoff: str
    target: str


@dataclass(frozen=True)
class Aborted:
    """The relocation from this host ends before the target was asked to serve."""


@dataclass(frozen=True)
class Answered:
    """The target says what became of the attempt; None: it cannot be reached."""

    answer: Answer | None


@dataclass(frozen=True)
class Left:
    """Nobody works on the app: whoever did has ended without saying how."""


@dataclass(frozen=True)
class Booted:
    """This host has begun anew: no process of before is left, and what was not synced is lost."""


@dataclass(frozen=True)
class Vouched:
    """Enough of the other hosts have said what they know.

    Attributes:
        known: the newest epoch of an owner that one of them knows of.
        owner: that owner.
    """

    known: int
    owner: str


@dataclass(frozen=True)
class Fenced:
    """Another host has been made the owner, without this one's consent: a person decided it."""

    epoch: int
    owner: str


@dataclass(frozen=True)
class Kept:
    """A person has decided that this host is to be the owner.

    Attributes:
        epoch: newer than what any host knows of that can be asked.
        rivals: every other host, but those that a person says are gone for good.
    """

    epoch: int
    handoff: str
    rivals: tuple[str, ...]


@dataclass(frozen=True)
class Confirmed:
    """Every rival has ended the app, and notes who the owner is."""


Event = (
    Readied
    | Discarded
    | Stopped
    | Offered
    | Withdrawn
    | Asked
    | Failed
    | Inquired
    | Ordered
    | Aborted
    | Answered
    | Left
    | Booted
    | Vouched
    | Fenced
    | Kept
    | Confirmed
)


# -- the decisions ------------------------------------------------------------------------------


def decide(note: Note, event: Event) -> Decision:
    """Decide what follows from an event on a host with this note."""
    match event:
        case Readied():
            return _readied(note, event)
        case Discarded():
            return _discarded(note)
        case Stopped():
            return Decision(_retired(note, note.newest), then=(Do.END, Do.WRITE))
        case Offered():
            return _offered(note, event)
        case Withdrawn():
            return _withdrawn(note, event)
        case Asked():
            return _asked(note, event)
        case Failed(before):
            refused = _retired(before, max(note.newest, before.newest))
            return Decision(refused, then=(Do.END, Do.WRITE), answer=Answer.REFUSED)
        case Inquired():
            return _inquired(note, event)
        case Ordered():
            return _ordered(note, event)
        case Aborted():
            return _back(note)
        case Answered():
            return _answered(note, event)
        case Left():
            return _left(note)
        case Booted():
            if note.state in (State.SERVING, State.RELOCATING):
                return Decision(note, then=(Do.VOUCH,))
            return _left(note)
        case Vouched():
            return _vouched(note, event)
        case Fenced():
            return _fenced(note, event)
        case Kept():
            return _kept(note, event)
        case Confirmed():
            return _confirmed(note)


def _readied(note: Note, ready: Readied) -> Decision:
    owns = note.state in (State.SERVING, State.RELOCATING)
    if owns or (note.state is State.TAKING and note.handoff != ready.handoff):
        return Decision(note, answer=Answer.REFUSED, why=f"it is {note.state} here")
    taking = note.state is State.TAKING
    readied = note._replace(
        state=State.TAKING if taking else State.PREPARED,
        copy=0,
        handoff=ready.handoff,
        instance=ready.instance,
    )
    if readied == note:
        return Decision(note, answer=Answer.ACCEPTED)
    return Decision(readied, then=(Do.WRITE,), answer=Answer.ACCEPTED)


def _discarded(note: Note) -> Decision:
    if note.state in (State.SERVING, State.RELOCATING):
        return Decision(note, answer=Answer.REFUSED, why=f"it is {note.state} here")
    absent = note._replace(state=State.ABSENT, attempt=0, handoff="", instance="", copy=0)
    absent = absent._replace(floor=max(note.floor, note.attempt))
    return Decision(absent, then=(Do.END, Do.WRITE), answer=Answer.ACCEPTED)


def _offered(note: Note, offer: Offered) -> Decision:
    if note.state in (State.SERVING, State.RELOCATING):
        return Decision(note, answer=Answer.REFUSED, why=f"it is {note.state} here")
    if note.state is State.TAKING and note.attempt != offer.attempt:
        return Decision(note, answer=Answer.REFUSED, why="another attempt is under way")
    if offer.attempt <= note.floor:
        return Decision(
            note,
            answer=Answer.REFUSED,
            why=f"epoch {offer.attempt} is not newer than {note.floor}",
        )
    taking = note._replace(
        state=State.TAKING,
        attempt=offer.attempt,
        copy=0,
        peer=offer.source,
        handoff=offer.handoff,
    )
    return Decision(taking, then=(Do.WRITE,), answer=Answer.ACCEPTED)


def _withdrawn(note: Note, withdrawal: Withdrawn) -> Decision:
    if note.state is not State.TAKING or note.attempt != withdrawal.attempt:
        return Decision(note)
    prepared = note._replace(
        state=State.PREPARED, attempt=0, floor=max(note.floor, note.attempt), peer=""
    )
    return Decision(prepared, then=(Do.WRITE,))


def _asked(note: Note, asked: Asked) -> Decision:
    if note.state is State.SERVING and note.taken == asked.attempt:
        return Decision(note, then=(Do.SERVE,), answer=Answer.TOOK)
    if note.state is State.TAKING and note.attempt == asked.attempt:
        # In this order: a note that says `serving` stands for a whole volume, and an instance that
        # writes for a durable note, even where a gateway that nobody could tell sends users here.
        return Decision(
            _serving(note, asked.attempt),
            then=(Do.SYNC, Do.WRITE, Do.SERVE),
            answer=Answer.TOOK,
        )
    return Decision(note, answer=Answer.REFUSED, why=f"it is {note.state} here")


def _inquired(note: Note, inquiry: Inquired) -> Decision:
    if note.known >= inquiry.attempt:
        return Decision(note, answer=Answer.TOOK)
    floor = max(note.floor, inquiry.attempt)
    if note.state in (State.TAKING, State.SERVING):
        # Its instance may have been asked to serve.
        return Decision(_retired(note, floor), then=(Do.END, Do.WRITE), answer=Answer.REFUSED)
    if floor == note.floor:
        return Decision(note, answer=Answer.REFUSED)
    return Decision(note._replace(floor=floor), then=(Do.WRITE,), answer=Answer.REFUSED)


def _ordered(note: Note, order: Ordered) -> Decision:
    if note.state is not State.SERVING:
        return Decision(note, answer=Answer.REFUSED, why=f"it is {note.state} here")
    if order.attempt <= note.newest:
        return Decision(
            note,
            answer=Answer.REFUSED,
            why=f"epoch {order.attempt} is not newer than {note.newest}",
        )
    relocating = note._replace(
        state=State.RELOCATING,
        attempt=order.attempt,
        peer=order.target,
        handoff=order.handoff,
    )
    return Decision(relocating, then=(Do.WRITE,), answer=Answer.ACCEPTED)


def _back(note: Note) -> Decision:
    """The source serves again. First it serves, then it is noted: nobody else can by then."""
    if note.state is not State.RELOCATING:
        return Decision(note)
    serving = note._replace(
        state=State.SERVING, attempt=0, floor=max(note.floor, note.attempt), peer=""
    )
    return Decision(serving, then=(Do.SERVE, Do.ROUTE, Do.WRITE))


def _answered(note: Note, told: Answered) -> Decision:
    if note.state is not State.RELOCATING or told.answer is None:
        return Decision(note)
    if told.answer is Answer.REFUSED:
        return _back(note)
    retired = _retired(note, note.attempt)._replace(
        known=max(note.known, note.attempt), peer=note.peer
    )
    return Decision(retired, then=(Do.ROUTE, Do.WRITE, Do.END))


def _left(note: Note) -> Decision:
    match note.state:
        case State.RELOCATING:
            return Decision(note, then=(Do.ASK,))
        case State.TAKING:
            # Nobody has been told that this host took it: it may refuse, and its source goes on.
            return Decision(_retired(note, note.attempt), then=(Do.END, Do.WRITE))
        case State.SERVING:
            # A person whose command was interrupted has to say again what is to be kept.
            return Decision(note, then=() if note.rivals else (Do.SERVE, Do.ROUTE))
        case State.PREPARED | State.LOST:
            return Decision(note)
        case State.ABSENT | State.RETIRED:
            return Decision(note, then=(Do.END,))


def _vouched(note: Note, vouched: Vouched) -> Decision:
    if note.state not in (State.SERVING, State.RELOCATING):
        return Decision(note)
    if note.state is State.RELOCATING and vouched.known == note.attempt:
        return _answered(note, Answered(Answer.TOOK))
    if vouched.known > note.known:
        superseded = _superseded(note, vouched.known, vouched.owner)
        return Decision(superseded, then=(Do.END, Do.WRITE))
    return _left(note)


def _fenced(note: Note, fence: Fenced) -> Decision:
    if fence.epoch < note.newest or note.taken == fence.epoch:
        why = f"it knows epoch {note.newest}, and {fence.epoch} is not newer"
        return Decision(note, answer=Answer.REFUSED, why=why)
    fenced = _superseded(note, fence.epoch, fence.owner)
    return Decision(fenced, then=(Do.END, Do.WRITE), answer=Answer.ACCEPTED)


def _kept(note: Note, keep: Kept) -> Decision:
    if keep.epoch <= note.newest:
        why = f"it knows epoch {note.newest}, and {keep.epoch} is not newer"
        return Decision(note, answer=Answer.REFUSED, why=why)
    # Noted before a rival is fenced: what a fenced host knows of its owner is true.
    owner = _serving(note, keep.epoch)._replace(handoff=keep.handoff, rivals=keep.rivals)
    return Decision(owner, then=(Do.SYNC, Do.WRITE, Do.FENCE), answer=Answer.ACCEPTED)


def _confirmed(note: Note) -> Decision:
    alone = note._replace(rivals=())
    return Decision(alone, then=(Do.WRITE, Do.SERVE, Do.ROUTE), answer=Answer.ACCEPTED)


def _serving(note: Note, epoch: int) -> Note:
    return note._replace(
        state=State.SERVING,
        taken=epoch,
        known=epoch,
        copy=epoch,
        attempt=0,
        floor=max(note.floor, epoch),
        peer="",
        rivals=(),
    )


def _superseded(note: Note, epoch: int, owner: str) -> Note:
    """A host whose app another one owns, by no relocation of this host's.

    The volume of one that may have written is put aside, so the copy is here no more.
    """
    retired = _retired(note, epoch)._replace(known=epoch, peer=owner)
    if note.state not in (State.SERVING, State.RELOCATING, State.LOST):
        return retired
    # Where its target is the owner, its relocation has succeeded after all.
    succeeded = note.state is State.RELOCATING and note.peer == owner
    return retired._replace(copy=0, handoff=note.handoff if succeeded else "")


def _retired(note: Note, floor: int) -> Note:
    """A host that is not to serve: with the whole volume of an earlier owner, or with nothing."""
    return note._replace(
        state=State.RETIRED if note.copy else State.ABSENT,
        attempt=0,
        floor=max(note.floor, floor),
        rivals=(),
        instance="",
    )
