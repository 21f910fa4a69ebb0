"""What a viewer saw, as samples of the video's clock, and what follows from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

# A position is saved every 2 s; what comes on top is the time that a page takes to open.
SAVED_WITHIN_S = 4.0


@dataclass(frozen=True)
class Sample:
    """The player at one instant.

    time_s: the page's monotonic clock. position_s: the video's own clock. buffered_s: how much of
    the video is there ahead of it.
    """

    time_s: float
    position_s: float
    paused: bool
    buffered_s: float


@dataclass(frozen=True)
class Watched:
    """A stretch of watching.

    longest_stall_s: the longest time in which the video's clock stood although it should run, as
    far as the samples can tell: a stall is longer by up to twice their interval.
    lost_s: the time that passed less the progress of the video's clock.
    """

    duration_s: float
    position_start_s: float
    position_end_s: float
    longest_stall_s: float
    lost_s: float
    went_back: bool
    paused: bool
    least_buffered_s: float


def summarize(samples: Sequence[Sample]) -> Watched:
    """Sum up what was seen; raises ValueError for fewer than two samples."""
    if len(samples) < 2:
        raise ValueError("nothing was watched: fewer than two samples")
    first, last = samples[0], samples[-1]
    longest_stall_s = 0.0
    stands_since_s = first.time_s
    for before, now in pairwise(samples):
        if now.position_s != before.position_s or now.paused:
            stands_since_s = now.time_s
        longest_stall_s = max(longest_stall_s, now.time_s - stands_since_s)
    duration_s = last.time_s - first.time_s
    progress_s = last.position_s - first.position_s
    return Watched(
        duration_s=round(duration_s, 3),
        position_start_s=round(first.position_s, 3),
        position_end_s=round(last.position_s, 3),
        longest_stall_s=round(longest_stall_s, 3),
        lost_s=round(duration_s - progress_s, 3),
        went_back=any(now.position_s < before.position_s for before, now in pairwise(samples)),
        paused=any(sample.paused for sample in samples),
        least_buffered_s=round(min(sample.buffered_s for sample in samples), 3),
    )


def watch_time_kept(watched: Watched, reopened_at_s: float | None) -> bool:
    """Whether the video never went back, and goes on where it was when its page is opened again.

    reopened_at_s: the position with which the page opened; None when the video did not come.
    """
    if watched.went_back or reopened_at_s is None:
        return False
    return abs(reopened_at_s - watched.position_end_s) <= SAVED_WITHIN_S
