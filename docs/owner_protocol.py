"""Draws the protocol of owners from its code: `python docs/owner_protocol.py` renews the page."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "collections"))

from ansible_collections.mec.relocation.plugins.module_utils.host import owner
from ansible_collections.mec.relocation.plugins.module_utils.host.owner import (
    Answer,
    Decision,
    Event,
    Note,
    State,
    decide,
)

PAGE = Path(__file__).with_name("owner-protocol.md")
BEGIN, END = "<!-- made by owner_protocol.py: begin -->\n", "<!-- end -->\n"

_NOTES = {
    State.ABSENT: Note(),
    State.PREPARED: Note(State.PREPARED, known=1, floor=1, handoff="h", instance="i"),
    State.TAKING: Note(State.TAKING, known=1, attempt=2, floor=1, peer="A", handoff="h"),
    State.SERVING: Note(State.SERVING, taken=2, known=2, floor=2, copy=2),
    State.RELOCATING: Note(
        State.RELOCATING, taken=1, known=1, attempt=2, floor=1, copy=1, peer="B"
    ),
    State.RETIRED: Note(State.RETIRED, taken=1, known=2, floor=2, copy=1, peer="B"),
}
_EVENTS: dict[str, tuple[Event, tuple[State, ...]]] = {
    "a copy is brought": (owner.Readied("h", "i"), (State.ABSENT, State.RETIRED, State.PREPARED)),
    "it is not needed": (owner.Discarded(), (State.PREPARED,)),
    "a source offers it": (
        owner.Offered(3, "h", "A"),
        (State.ABSENT, State.PREPARED, State.RETIRED),
    ),
    "the offer is withdrawn": (owner.Withdrawn(2), (State.TAKING,)),
    "asked to serve": (owner.Asked(2), (State.TAKING,)),
    "it did not serve": (
        owner.Failed(Note(State.TAKING, known=1, attempt=2, floor=1)),
        (State.SERVING,),
    ),
    "asked what became of it": (owner.Inquired(2), (State.TAKING, State.SERVING, State.PREPARED)),
    "to be relocated": (owner.Ordered(3, "h", "B"), (State.SERVING,)),
    "aborted, target not asked": (owner.Aborted(), (State.RELOCATING,)),
    "target: took": (owner.Answered(Answer.TOOK), (State.RELOCATING,)),
    "target: refused": (owner.Answered(Answer.REFUSED), (State.RELOCATING,)),
    "target: silent": (owner.Answered(None), (State.RELOCATING,)),
    "nobody works on it": (
        owner.Left(),
        (State.TAKING, State.RELOCATING, State.SERVING, State.RETIRED, State.ABSENT),
    ),
    "the host has begun": (owner.Booted(), (State.SERVING, State.RELOCATING, State.TAKING)),
    "others know none newer": (owner.Vouched(1, ""), (State.SERVING, State.RELOCATING)),
    "others know a newer one": (owner.Vouched(9, "C"), (State.SERVING, State.RELOCATING)),
    "a person keeps another": (
        owner.Fenced(9, "C"),
        (State.SERVING, State.RELOCATING, State.PREPARED, State.RETIRED, State.ABSENT),
    ),
    "a person keeps it": (
        owner.Kept(9, "h", ("C",)),
        (State.RELOCATING, State.RETIRED, State.ABSENT, State.PREPARED),
    ),
    "the others have confirmed": (owner.Confirmed(), (State.SERVING,)),
    "a person stops it": (owner.Stopped(), (State.SERVING,)),
}


def decisions() -> Iterator[tuple[str, State, Decision]]:
    """Yield what follows from each event, in each state in which it is to be expected."""
    for name, (event, states) in _EVENTS.items():
        for state in states:
            yield name, state, decide(_NOTES[state], event)


def drawn() -> str:
    """Return the diagram and the table."""
    arrows: dict[tuple[State, State], list[str]] = {}
    rows = []
    for name, state, decision in decisions():
        after = decision.note.state
        if after is not state:
            arrows.setdefault((state, after), []).append(name)
        do = " → ".join(decision.then) or "nothing"
        rows.append(f"| {state} | {name} | {after} | {do} | {decision.answer or ''} |")
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {State.ABSENT}"]
    for (state, after), names in arrows.items():
        lines.append(f"    {state} --> {after}: {'<br>'.join(names)}")
    lines += ["```", "", "| the note says | what happens | then it says | what is done | answer |"]
    lines += ["| --- | --- | --- | --- | --- |", *sorted(rows)]
    return "\n".join(lines) + "\n"


def renewed(page: str) -> str:
    """Return the page with what is drawn from the code as it is now."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + drawn() + END + after


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text()))
