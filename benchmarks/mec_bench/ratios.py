# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How many times one set of measured values is another: pure functions of numbers."""

from __future__ import annotations

import functools
import random
import statistics
from collections.abc import Sequence
from typing import TypedDict

from mec_report.figures import CONFIDENCE_PERCENT, RESAMPLES, SEED, nearest_rank


class Ratio(TypedDict):
    """A ratio of medians. The interval is None where a side has fewer than two values."""

    value: float
    interval: tuple[float, float] | None


def ratio(values: Sequence[float], base: Sequence[float]) -> Ratio | None:
    """The median of some values as times that of others; None where there are none, or it is 0."""
    if not values or not base or not statistics.median(base):
        return None
    return Ratio(
        value=statistics.median(values) / statistics.median(base),
        interval=_interval(tuple(values), tuple(base)),
    )


@functools.cache
def _interval(values: tuple[float, ...], base: tuple[float, ...]) -> tuple[float, float] | None:
    """The percentile bootstrap interval: both sides are drawn anew, each from its own.

    The seed is fixed: the same values give the same interval again.
    """
    if min(len(values), len(base)) < 2 or not min(base):
        return None
    draw = random.Random(SEED)  # noqa: S311, nothing is kept secret with it
    resampled = sorted(
        statistics.median(draw.choices(values, k=len(values)))
        / statistics.median(draw.choices(base, k=len(base)))
        for _ in range(RESAMPLES)
    )
    outside = (100 - CONFIDENCE_PERCENT) / 2
    return nearest_rank(resampled, outside), nearest_rank(resampled, 100 - outside)
