# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What this project wants to reach, against what a run has measured."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .ratios import Ratio, ratio
from .sample import Sample
from .sweeps import SWEEPS

OURS = "standby-proactive"


@dataclass(frozen=True)
class _Target:
    """A bound on one figure.

    Attributes:
        at_most: whether the figure has to be at most the bound, or else at least.
        find: the figure, from what was measured; None where it was not.
    """

    text: str
    bound: float
    at_most: bool
    find: Callable[[Sequence[Sample]], Ratio | None]


def _values(
    samples: Sequence[Sample], scheme: str, field: str, sweep: str, row: str
) -> list[float]:
    own = [s for s in samples if (s.scheme, s.sweep, s.row) == (scheme, sweep, row)]
    return [value for value in (getattr(s, field) for s in own) if value is not None]


def _gap_ratio(scheme: str, base: str) -> Callable[[Sequence[Sample]], Ratio | None]:
    """The longest gap of one scheme as times that of another, under the usual load."""
    where = ("longest_gap_s", "schemes", "usual")
    return lambda samples: ratio(_values(samples, scheme, *where), _values(samples, base, *where))


def _row_ratio(
    sweep: str, row: str, base: str, field: str
) -> Callable[[Sequence[Sample]], Ratio | None]:
    """A figure of ours in one row of a sweep as times that in another."""
    return lambda samples: ratio(
        _values(samples, OURS, field, sweep, row), _values(samples, OURS, field, sweep, base)
    )


def _return_trip(samples: Sequence[Sample]) -> Ratio | None:
    """The most bytes for a byte that was changed, beside those that cross without any change."""
    constant = _values(samples, OURS, "backbone_bytes", "return", "0")
    found = []
    for row, load in SWEEPS["return"].rows.items():
        moved = _values(samples, OURS, "backbone_bytes", "return", row)
        if load.changed_bytes and moved and constant:
            more_bytes = statistics.median(moved) - statistics.median(constant)
            found.append(more_bytes / load.changed_bytes)
    return Ratio(value=max(found), interval=None) if found else None


def _figure(field: str, statistic: Callable[[Sequence[float]], float]) -> Callable[..., Any]:
    """A figure of ours itself, under the usual load."""

    def find(samples: Sequence[Sample]) -> Ratio | None:
        values = _values(samples, OURS, field, "schemes", "usual")
        return Ratio(value=statistic(values), interval=None) if values else None

    return find


_TARGETS = (
    _Target("Longest gap: ours, as times the floor", 3, True, _gap_ratio(OURS, "floor")),
    _Target("Longest gap: the script, as times ours", 10, False, _gap_ratio("script", OURS)),
    _Target("Longest gap: the playbook, as times ours", 50, False, _gap_ratio("playbook", OURS)),
    _Target("Longest gap: podman, as times ours", 10, False, _gap_ratio("podman", OURS)),
    _Target(
        "Longest gap at 100,000 files and 1 GiB, as times that at 10 files",
        1.2,
        True,
        _row_ratio("volume", "100000-1024", "10-10", "longest_gap_s"),
    ),
    _Target(
        "The same, of the gap at the switch alone",
        1.2,
        True,
        _row_ratio("volume", "100000-1024", "10-10", "switch_gap_s"),
    ),
    _Target("Bytes of a return trip for each that was changed", 1.05, True, _return_trip),
    _Target(
        "Downtime of 50 apps in one handoff, the median, as times that of one",
        2,
        True,
        _row_ratio("apps", "50", "1", "downtime_s"),
    ),
    _Target(
        "Seconds from the message to the service", 2, True, _figure("message_s", statistics.median)
    ),
    _Target("Failed requests of ours under the usual load", 0, True, _figure("failed", sum)),
    _Target(
        "Rounds of ours with a write lost, under the usual load", 0, True, _figure("lost", sum)
    ),
)


def targets(samples: Sequence[Sample]) -> list[dict[str, Any]]:
    """Each target with what was found; nothing where this run did not measure it."""
    return [_answer(target, target.find(samples)) for target in _TARGETS]


def _answer(target: _Target, found: Ratio | None) -> dict[str, Any]:
    answer = {"text": target.text, "bound": target.bound, "at_most": target.at_most, "found": found}
    if found is None:
        return {**answer, "met": None}
    value, bound = found["value"], target.bound
    return {**answer, "met": value <= bound if target.at_most else value >= bound}
