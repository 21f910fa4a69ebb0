# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What writers were told, against what the app has: lost, twice, moved, out of order, stale."""

from __future__ import annotations

import math
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

# As the app has it.
SLOTS = 32
# An app of which the last acknowledgement is no older serves.
FRESH_S = 1.0
# Of each kind of complaint, so many are told.
SHOWN = 5


@dataclass(frozen=True)
class Write:
    """One entry as its writer knows it.

    Attributes:
        end: where its line ended in the journal, as the app said; None where it did not
            acknowledge.
    """

    entry: str
    sent_s: float
    ended_s: float
    instance: str | None = None
    end: int | None = None

    @property
    def acknowledged(self) -> bool:
        """Whether the app said that it has it."""
        return self.end is not None


def write_of(said: Mapping[str, Any]) -> Write:
    """A line of the writers."""
    return Write(
        said["entry"], said["sent_s"], said["ended_s"], said.get("instance"), said.get("end")
    )


def lost(writes: Iterable[Write], journal: bytes) -> list[str]:
    """The acknowledged entries that the journal does not have."""
    there = {entry for entry, _ in _lines(journal)}
    return [write.entry for write in writes if write.acknowledged and write.entry not in there]


def complaints(writes: Sequence[Write], journal: bytes) -> dict[str, list[str]]:
    """What is wrong with a journal, by kind; empty where nothing is.

    lost: acknowledged, and not there. twice: there more than once, though it was sent once.
    moved: acknowledged at another place than it is at, so that lines before it went or came later.
    order: there before another one that was acknowledged before this one was sent.
    strange: there, and neither sent by anybody nor the beginning of what was not acknowledged.
    """
    lines = list(_lines(journal))
    sent = {write.entry: write for write in writes}
    ends = defaultdict(list)
    for entry, end in lines:
        ends[entry].append(end)
    cut_short = tuple(write.entry for write in writes if not write.acknowledged)
    found = {
        "lost": lost(writes, journal),
        "twice": [entry for entry, where in ends.items() if entry in sent and len(where) > 1],
        "moved": [
            f"{write.entry}: {write.end}, now {ends[write.entry][0]}"
            for write in writes
            if write.acknowledged and write.entry in ends and write.end not in ends[write.entry]
        ],
        "order": list(_disorder([sent[entry] for entry, _ in lines if entry in sent])),
        "strange": [
            entry
            for entry in ends
            if entry not in sent and not any(each.startswith(entry) for each in cut_short)
        ],
    }
    return {kind: entries for kind, entries in found.items() if entries}


def stale(writes: Sequence[Write], journal: bytes, slots: Mapping[str, Sequence[str]]) -> list[str]:
    """The slots that hold an older entry than the last acknowledged one that belongs there."""
    order = {entry: number for number, (entry, _) in enumerate(_lines(journal))}
    newest: dict[int, Write] = {}
    for write in writes:
        slot = slot_of(write.entry)
        if write.acknowledged and write.entry in order:
            known = newest.get(slot)
            if known is None or order[known.entry] < order[write.entry]:
                newest[slot] = write
    return [
        f"{kind} slot {slot}: {held[slot] or 'nothing'} in place of {write.entry}"
        for kind, held in slots.items()
        for slot, write in sorted(newest.items())
        if order.get(held[slot], -1) < order[write.entry]
    ]


def away_s(writes: Iterable[Write], since_s: float, until_s: float) -> float | None:
    """The longest time after an instant in which nothing was acknowledged.

    Returns:
        None where nothing was acknowledged towards the end: the app is still away.
    """
    ends = sorted(write.ended_s for write in writes if write.acknowledged)
    seen = [since_s, *(end_s for end_s in ends if since_s < end_s <= until_s)]
    if until_s - seen[-1] > FRESH_S:
        return None
    return max((later - earlier for earlier, later in pairwise(seen)), default=0.0)


def slot_of(entry: str) -> int:
    """The slot in which the app keeps an entry."""
    return zlib.crc32(entry.encode()) % SLOTS


def _lines(journal: bytes) -> Iterator[tuple[str, int]]:
    """The lines that are not empty, each with where it ends."""
    end = 0
    for line in journal.split(b"\n"):
        end += len(line) + 1
        entry = line.strip(b"\n\0").decode(errors="replace")
        if entry:
            yield entry, end


def _disorder(there: Sequence[Write]) -> Iterator[str]:
    """Entries that stand before others that were acknowledged before they were sent."""
    ended = [write.ended_s if write.acknowledged else math.inf for write in there]
    # The earliest acknowledgement of all that come after each.
    after = [*accumulate(reversed(ended), min)][::-1][1:]
    for write, earliest_s in zip(there, after, strict=False):
        if earliest_s < write.sent_s:
            yield write.entry
