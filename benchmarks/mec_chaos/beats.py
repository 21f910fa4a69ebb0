# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two instances that were active at the same time, found by their beats."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, groupby, pairwise

# An instance that beats, and beats again within this, was active in between.
PAUSE_S = 0.05


@dataclass(frozen=True)
class Overlap:
    """Two instances, and from when to when both were active."""

    first: str
    second: str
    from_s: float
    to_s: float


def overlaps(beats: Iterable[tuple[str, float]]) -> list[Overlap]:
    """Where two instances would both have acknowledged a write.

    Two are active at the same time where the beats of one lie between beats of the other that are
    close to each other, or where they alternate more often than once: an instance that stood still,
    and goes on when the other one has ended, is no second writer.
    """
    by_instance: defaultdict[str, list[float]] = defaultdict(list)
    for instance, at_s in beats:
        by_instance[instance].append(at_s)
    found = []
    for first, second in combinations(sorted(by_instance), 2):
        found += _close(first, second, by_instance)
        found += _alternating(first, second, by_instance)
    return found


def _close(first: str, second: str, beats: Mapping[str, Sequence[float]]) -> list[Overlap]:
    return [
        Overlap(first, second, max(one[0], other[0]), min(one[1], other[1]))
        for one in _spans(beats[first])
        for other in _spans(beats[second])
        if max(one[0], other[0]) <= min(one[1], other[1])
    ]


def _spans(beats: Sequence[float]) -> list[tuple[float, float]]:
    """From when to when an instance was active for certain."""
    ordered = sorted(beats)
    borders = [
        border
        for one, other in pairwise(ordered)
        if other - one > PAUSE_S
        for border in (one, other)
    ]
    edges = [ordered[0], *borders, ordered[-1]]
    return list(zip(edges[::2], edges[1::2], strict=True))


def _alternating(first: str, second: str, beats: Mapping[str, Sequence[float]]) -> list[Overlap]:
    ordered = sorted((at_s, name) for name in (first, second) for at_s in beats[name])
    turns = [
        (name, [at_s for at_s, _ in run]) for name, run in groupby(ordered, lambda beat: beat[1])
    ]
    if len(turns) < 4:
        return []
    return [Overlap(first, second, turns[1][1][0], turns[-2][1][-1])]
