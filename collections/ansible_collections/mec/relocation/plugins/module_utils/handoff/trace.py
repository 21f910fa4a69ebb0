# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Handoff traces: when which UE changes its cell, and how long before that was announced.

A trace is CSV with the columns of ``FIELDS``. `announced_s` is empty for a handoff that comes as a
surprise. `ho_status` is how the handoff ends (ETSI GS MEC 012): ``completed``, or ``cancelled`` for
one that was announced and never came; then `time_s` is when that is known.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..ground.errors import RelocationError
from .plan import POLICIES

FIELDS = ("time_s", "ue", "source_cell", "target_cell", "announced_s", "ho_status")
_ENDS = ("completed", "cancelled")


@dataclass(frozen=True)
class Event:
    """One handoff of a trace; `number` counts from 1, `line` is where it stands in the file."""

    number: int
    line: int
    time_s: float
    ue: str
    source_cell: str
    target_cell: str
    announced_s: float | None
    ho_status: str

    @property
    def announced_at_s(self) -> float:
        """When it begins to be known."""
        return self.time_s - (self.announced_s or 0.0)


@dataclass(frozen=True)
class TimedMessage:
    """A handoff message, and when it is sent, in seconds since the trace began."""

    at_s: float
    event: int
    ue: str
    source_cell: str
    target_cell: str
    ho_status: str


def read_trace(
    lines: Iterable[str], name: str, ues: Collection[str], cells: Collection[str]
) -> list[Event]:
    """Read a trace and check it.

    Args:
        lines: the file's.
        name: the file, for messages.
        ues, cells: those that there are.

    Raises:
        RelocationError: names the line and the field that is wrong.
    """
    rows = csv.DictReader(lines)
    given = rows.fieldnames or []
    missing = [field for field in FIELDS if field not in given]
    unknown = [field for field in given if field not in FIELDS]
    if missing or unknown:
        what = f"lacks {', '.join(missing)}" if missing else f"has {', '.join(map(str, unknown))}"
        raise RelocationError(
            f"{name}, line 1: the header {what}.", f"It has to be: {','.join(FIELDS)}."
        )
    events: list[Event] = []
    for number, row in enumerate(rows, 1):
        reader = _Row(name, rows.line_num, row)
        event = reader.event(number, ues, cells)
        before = next((e for e in reversed(events) if e.ue == event.ue), None)
        reader.check_order(event, events[-1] if events else None, before)
        events.append(event)
    if not events:
        raise RelocationError(f"{name} has no handoff.", "Give it a line for each.")
    return events


def messages(events: Sequence[Event], policy: str) -> list[TimedMessage]:
    """The handoff messages of a trace, as they come under a policy, by time.

    The re-active policy knows of a handoff only when the UE moves.

    Raises:
        RelocationError: there is no such policy.
    """
    if policy not in POLICIES:
        raise RelocationError(f"The policy {policy!r} is not one of {', '.join(POLICIES)}.")
    found: list[TimedMessage] = []
    for event in events:
        announced = event.announced_s is not None and policy != "reactive"
        if announced:
            found.append(_message(event, event.announced_at_s, "in_preparation"))
        if event.ho_status == "completed":
            found.append(_message(event, event.time_s, "in_execution"))
        elif announced:
            found.append(_message(event, event.time_s, "cancelled"))
    return sorted(found, key=lambda message: message.at_s)


def _message(event: Event, at_s: float, ho_status: str) -> TimedMessage:
    return TimedMessage(
        at_s, event.number, event.ue, event.source_cell, event.target_cell, ho_status
    )


class _Row:
    """One line of a trace; every refusal names it and the field."""

    def __init__(self, name: str, line: int, row: Mapping[str | None, object]) -> None:
        self.name = name
        self.line = line
        if None in row or None in row.values():
            raise RelocationError(
                f"{name}, line {line}: it has not as many fields as the header.",
                f"Give it {len(FIELDS)}; an unknown one is left empty.",
            )
        self.row = {str(field): str(value).strip() for field, value in row.items()}

    def error(self, field: str, wanted: str) -> RelocationError:
        return RelocationError(
            f"{self.name}, line {self.line}, {field}: {self.row[field]!r} {wanted}.", "Correct it."
        )

    def event(self, number: int, ues: Collection[str], cells: Collection[str]) -> Event:
        """Read the fields one by one."""
        announced = self.row["announced_s"]
        event = Event(
            number=number,
            line=self.line,
            time_s=self._seconds("time_s"),
            ue=self._known("ue", ues, "a UE of the inventory"),
            source_cell=self._known("source_cell", cells, "a cell of mec_cells"),
            target_cell=self._known("target_cell", cells, "a cell of mec_cells"),
            announced_s=self._seconds("announced_s") if announced else None,
            ho_status=self._known("ho_status", _ENDS, "how a handoff ends"),
        )
        if event.source_cell == event.target_cell:
            raise self.error("target_cell", "is the source cell, too")
        if event.announced_at_s < 0:
            raise self.error("announced_s", "is before the trace begins")
        if event.ho_status == "cancelled" and event.announced_s is None:
            raise self.error("ho_status", "is said of a handoff that was never announced")
        return event

    def check_order(self, event: Event, last: Event | None, before: Event | None) -> None:
        """Compare with the last handoff of the trace, and with the one before of the same UE."""
        if last is not None and event.time_s < last.time_s:
            raise self.error("time_s", f"is before that of line {last.line}")
        if before is None:
            return
        came_to = before.target_cell if before.ho_status == "completed" else before.source_cell
        if event.source_cell != came_to:
            raise self.error("source_cell", f"is not where {event.ue} is since line {before.line}")
        if event.announced_at_s < before.time_s:
            raise self.error(
                "announced_s", f"is before the handoff of {event.ue} in line {before.line}"
            )

    def _seconds(self, field: str) -> float:
        try:
            value = float(self.row[field])
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and value >= 0):
            raise self.error(field, "is not a number of seconds")
        return value

    def _known(self, field: str, known: Collection[str], what: str) -> str:
        if self.row[field] not in known:
            raise self.error(field, f"is not {what} ({', '.join(sorted(known))})")
        return self.row[field]
