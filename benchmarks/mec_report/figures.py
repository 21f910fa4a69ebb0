# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a set of measured values says: pure functions of numbers."""

from __future__ import annotations

import functools
import itertools
import random
import statistics
from collections.abc import Callable, Sequence
from typing import TypedDict

from ansible_collections.mec.relocation.plugins.module_utils.probe.probe import percentile

RESAMPLES = 10_000
CONFIDENCE_PERCENT = 95.0
SEED = 514


class Figures(TypedDict):
    """A distribution. An interval is None where there are fewer than two values."""

    count: int
    mean: float
    mean_interval: tuple[float, float] | None
    median: float
    median_interval: tuple[float, float] | None
    p95: float
    p99: float
    min: float
    max: float


def figures(values: Sequence[float]) -> Figures | None:
    """Sum up values; None where there are none."""
    if not values:
        return None
    ordered = sorted(values)
    mean_interval, median_interval = intervals(tuple(ordered))
    return Figures(
        count=len(ordered),
        mean=statistics.fmean(ordered),
        mean_interval=mean_interval,
        median=statistics.median(ordered),
        median_interval=median_interval,
        p95=nearest_rank(ordered, 95),
        p99=nearest_rank(ordered, 99),
        min=ordered[0],
        max=ordered[-1],
    )


def nearest_rank(ordered: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile of at least one value; raises ValueError for none."""
    value = percentile(ordered, percent)
    if value is None:
        raise ValueError("no values")
    return value


Interval = tuple[float, float] | None


@functools.cache
def intervals(values: tuple[float, ...]) -> tuple[Interval, Interval]:
    """Percentile bootstrap intervals of mean and median, from the same resamples.

    The seed is fixed: the same values give the same interval again.
    """
    if len(values) < 2:
        return None, None
    draw = random.Random(SEED)  # noqa: S311, nothing is kept secret with it
    resamples = [draw.choices(values, k=len(values)) for _ in range(RESAMPLES)]
    return _middle(resamples, statistics.fmean), _middle(resamples, statistics.median)


def _middle(
    resamples: Sequence[Sequence[float]], statistic: Callable[[Sequence[float]], float]
) -> tuple[float, float]:
    ordered = sorted(statistic(resample) for resample in resamples)
    outside = (100 - CONFIDENCE_PERCENT) / 2
    return nearest_rank(ordered, outside), nearest_rank(ordered, 100 - outside)


def gaps(ends_s: Sequence[float]) -> list[float]:
    """Times between successive ends, which are in ascending order."""
    return [later - earlier for earlier, later in itertools.pairwise(ends_s)]


def curve(values: Sequence[float], tail: int = 300, body: int = 300) -> list[tuple[float, int]]:
    """Points (value, rank from 1) of an empirical distribution function.

    Every one of the `tail` highest values is a point; of those below, about `body` evenly spread.
    """
    ordered = sorted(values)
    below = max(len(ordered) - tail, 0)
    step = max(-(-below // body), 1)
    ranks = sorted({*range(1, below + 1, step), *range(below + 1, len(ordered) + 1)})
    return [(ordered[rank - 1], rank) for rank in ranks]
