# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every state that the protocol of owners can reach, in a small world with faults."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest
from ansible_collections.mec.relocation.plugins.module_utils.host.owner import (
    Answer,
    Answered,
    Asked,
    Booted,
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

from .owner_world import Guards, Rules, World, begin, broken, serves


class Explored(NamedTuple):
    """Which states there are, and which of them follow without a fault."""

    states: list[World]
    after: list[list[int]]
    transitions: int


class Broken(Exception):
    """A promise that does not hold, with the states that lead there."""


def explore(first: World, guards: Guards) -> Explored:
    """Visit every state once, breadth first: what is found first is the shortest way there.

    Raises:
        Broken: two hosts write, or an acknowledged write is missing where the app serves.
    """
    rules = Rules(guards)
    numbers, states, came_from = {first: 0}, [first], [-1]
    after: list[list[int]] = []
    transitions = 0
    for number, state in enumerate(states):
        if (what := broken(state)) is not None:
            raise Broken(f"{what}\n{_way(states, came_from, number)}")
        following = []
        for fault, new in _following(rules, state):
            transitions += 1
            known = numbers.setdefault(new, len(states))
            if known == len(states):
                states.append(new)
                came_from.append(number)
            if not fault and known != number:
                following.append(known)
        after.append(following)
    return Explored(states, after, transitions)


def _following(rules: Rules, state: World) -> Iterator[tuple[bool, World]]:
    for new in rules.steps(state):
        yield False, new
    for new in rules.faults(state):
        yield True, new


def _way(states: list[World], came_from: list[int], number: int) -> str:
    lines: list[str] = []
    while number >= 0:
        lines.append(str(states[number]))
        number = came_from[number]
    return "\n".join(reversed(lines))


def ends(after: list[list[int]]) -> Iterator[list[int]]:
    """The strongly connected components that nothing leads out of (Tarjan 1972, iterative)."""
    index: list[int] = [-1] * len(after)
    low, component = list(index), list(index)
    path: list[int] = []
    count = components = 0
    for root in range(len(after)):
        if index[root] >= 0:
            continue
        work = [(root, 0)]
        while work:
            node, begin_at = work.pop()
            if begin_at == 0:
                index[node] = low[node] = count
                count += 1
                path.append(node)
            for place, other in enumerate(after[node][begin_at:], begin_at + 1):
                if index[other] < 0:
                    work += [(node, place), (other, 0)]
                    break
                if component[other] < 0:
                    low[node] = min(low[node], index[other])
            else:
                if low[node] == index[node]:
                    members = [path.pop()]
                    while members[-1] != node:
                        members.append(path.pop())
                    for member in members:
                        component[member] = components
                    components += 1
                    if all(component[o] == component[m] for m in members for o in after[m]):
                        yield members
                if work:
                    parent = work[-1][0]
                    low[parent] = min(low[parent], low[node])


def hold(first: World, guards: Guards | None = None) -> str:
    """Raise unless every promise holds in every state; tell how many there are."""
    began = time.process_time()
    explored = explore(first, guards or Guards())
    terminal = 0
    for members in ends(explored.after):
        terminal += 1
        for member in members:
            if not serves(explored.states[member]):
                raise Broken(f"ends where the app does not serve\n{explored.states[member]}")
    return (
        f"{len(first.hosts)} hosts, {first.faults} faults, {first.runs} relocations: "
        f"{len(explored.states)} states, {explored.transitions} transitions, {terminal} ends, "
        f"{time.process_time() - began:.1f} s"
    )


@pytest.mark.parametrize(
    ("hosts", "faults", "runs", "writes"),
    [(2, 3, 1, 2), (2, 2, 2, 2), (3, 2, 1, 1)],
)
def test_every_run_keeps_the_promise(
    hosts: int, faults: int, runs: int, writes: int, capsys: pytest.CaptureFixture[str]
) -> None:
    told = hold(begin(hosts, faults, runs, writes))
    with capsys.disabled():
        print(f"\n  owner protocol: {told}", end=" ")


# -- without one of its guards it does not --------------------------------------------------------

Decide = Callable[[Note, Event], Decision]


def without(action: Do, *events: type[object]) -> Decide:
    """The decisions, with an action left out of what follows from some events."""

    def mutant(note: Note, event: Event) -> Decision:
        decision = decide(note, event)
        if not isinstance(event, events):
            return decision
        then = tuple(do for do in decision.then if do is not action)
        return dataclasses.replace(decision, then=then)

    return mutant


def forgets_the_epoch(note: Note, event: Event) -> Decision:
    """A host that has begun again serves, whatever the others know."""
    return decide(note, Left() if isinstance(event, Vouched) else event)


def believes_the_note(note: Note, event: Event) -> Decision:
    """A source that has begun again serves, without asking its target."""
    if isinstance(event, (Left, Booted)) and note.state is State.RELOCATING:
        return decide(note, Answered(Answer.REFUSED))
    return decide(note, event)


def serves_before_the_note(note: Note, event: Event) -> Decision:
    decision = decide(note, event)
    if isinstance(event, Asked) and Do.WRITE in decision.then:
        return dataclasses.replace(decision, then=(Do.SERVE, Do.SYNC, Do.WRITE))
    return decision


def gives_up(note: Note, event: Event) -> Decision:
    """A source that has lost its target waits for ever."""
    decision = decide(note, event)
    return dataclasses.replace(decision, then=()) if Do.ASK in decision.then else decision


MUTANTS = {
    "epoch": Guards(decide=forgets_the_epoch),
    "inquiry": Guards(decide=believes_the_note),
    "asks again": Guards(decide=gives_up),
    "note before serving": Guards(decide=serves_before_the_note),
    "failed target's end": Guards(decide=without(Do.END, Failed)),
    "routes told later": Guards(decide=without(Do.ROUTE, Left)),
    "sync of the owner's note": Guards(note_synced=lambda note: note.state is not State.SERVING),
    "sync of the passes": Guards(passes_synced=False),
    "sync of the last delta": Guards(delta_synced=False),
    "sync of what a person keeps": Guards(decide=without(Do.SYNC, Kept)),
    "lock": Guards(lock=False),
    "answer after the note": Guards(answer_waits=False),
    "watchdog's point of no return": Guards(asks_before_undoing=False),
    "reconciler": Guards(reconciles=False),
}


@pytest.mark.parametrize("guard", MUTANTS)
def test_no_guard_can_be_left_out(guard: str) -> None:
    with pytest.raises(Broken):
        for size in ((2, 1, 1, 1), (2, 2, 1, 2), (2, 3, 1, 1)):
            hold(begin(*size), MUTANTS[guard])


# -- single decisions, which the world does not tell apart ----------------------------------------


def test_a_target_takes_no_epoch_twice() -> None:
    note = Note(known=1, floor=4)
    assert decide(note, Offered(4, "h", "a")).answer is Answer.REFUSED
    assert decide(note, Offered(5, "h", "a")).answer is Answer.ACCEPTED


@pytest.mark.parametrize("state", [State.SERVING, State.RELOCATING])
def test_a_host_that_serves_takes_nothing(state: State) -> None:
    note = Note(state, taken=2, known=2, floor=2)
    assert decide(note, Offered(9, "h", "a")) == Decision(
        note, answer=Answer.REFUSED, why=f"it is {state} here"
    )


def test_only_the_owner_relocates() -> None:
    for state in set(State) - {State.SERVING}:
        refused = decide(Note(state, taken=2, known=2, floor=2), Ordered(9, "h", "b"))
        assert (refused.answer, refused.then) == (Answer.REFUSED, ())


def test_a_promise_outlives_the_attempt() -> None:
    taking = decide(Note(known=1, floor=1), Offered(2, "h", "a")).note
    refused = decide(taking, Inquired(2))
    assert refused.answer is Answer.REFUSED
    assert decide(refused.note, Asked(2)).answer is Answer.REFUSED
    assert decide(refused.note, Offered(2, "h", "a")).answer is Answer.REFUSED


def test_a_target_that_took_it_says_so_for_good() -> None:
    taken = decide(decide(Note(floor=1), Offered(2, "h", "a")).note, Asked(2)).note
    onward = decide(decide(taken, Ordered(3, "i", "c")).note, Answered(Answer.TOOK)).note
    assert onward.state is State.RETIRED
    for note in (taken, onward):
        assert decide(note, Inquired(2)).answer is Answer.TOOK


def test_what_a_person_decides_is_newer_than_all_that_is_known() -> None:
    note = Note(State.RELOCATING, taken=2, known=2, attempt=3, floor=2)
    assert decide(note, Kept(3, "", ())).answer is Answer.REFUSED
    assert decide(note, Kept(4, "", ("b",))).note.rivals == ("b",)
    assert decide(note, Fenced(2, "b")).answer is Answer.REFUSED
