"""The path of a UE: where it is at which time.

`mec_ue.trace_file` reads one from a file. Between two points the UE moves along the great circle
with constant speed.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from .geo import Position, between, distance_m, heading_deg

# Points that are closer are one: the time between them would be lost in rounding.
_SAME_PLACE_M = 0.001


class TraceError(Exception):
    """A trace cannot be used; the message names the file and the point that is wrong."""


@dataclass(frozen=True)
class Fix:
    """Where a UE is, how fast it moves, and in which direction (0 is north, 90 east)."""

    position: Position
    speed_mps: float
    heading_deg: float


class Trace:
    """Points, and the times at which they are passed, in seconds since the first.

    Raises TraceError for fewer than two points, and for times that do not increase.
    """

    def __init__(self, points: Sequence[Position], times_s: Sequence[float]) -> None:
        if len(points) < 2:
            raise TraceError("a trace has two points at least")
        for number, (before, time_s) in enumerate(pairwise(times_s), 2):
            if not time_s > before:
                raise TraceError(f"point {number}: its time is not after that of the point before")
        self._points = list(points)
        self._times_s = [time_s - times_s[0] for time_s in times_s]

    @classmethod
    def at_speed(cls, points: Sequence[Position], speed_mps: float) -> Trace:
        """A trace that passes points with constant speed; a point that repeats is passed over."""
        if not 0 < speed_mps < math.inf:
            raise TraceError(f"a speed of {speed_mps} m/s leads nowhere")
        path = list(points[:1])
        for point in points[1:]:
            if distance_m(path[-1], point) >= _SAME_PLACE_M:
                path.append(point)
        legs_s = (distance_m(a, b) / speed_mps for a, b in pairwise(path))
        return cls(path, list(accumulate(legs_s, initial=0.0)))

    @property
    def duration_s(self) -> float:
        """The time from the first point to the last."""
        return self._times_s[-1]

    @property
    def points(self) -> tuple[Position, ...]:
        """The points, in order."""
        return tuple(self._points)

    def at(self, time_s: float) -> Fix:
        """Where the UE is; before the first point and after the last it stands there."""
        if time_s < 0:
            return self._standing(0)
        if time_s >= self.duration_s:
            return self._standing(-1)
        leg = bisect_right(self._times_s, time_s) - 1
        start, end = self._points[leg], self._points[leg + 1]
        leg_s = self._times_s[leg + 1] - self._times_s[leg]
        position = between(start, end, (time_s - self._times_s[leg]) / leg_s)
        return Fix(position, distance_m(start, end) / leg_s, heading_deg(position, end))

    def reversed(self) -> Trace:
        """The same way back, with the same speeds."""
        times_s = [self.duration_s - time_s for time_s in reversed(self._times_s)]
        return Trace(self._points[::-1], times_s)

    def closed(self) -> Trace:
        """With a way from the end to the beginning, at mean speed; itself where they are one."""
        start, end = self._points[0], self._points[-1]
        gap_m = distance_m(start, end)
        length_m = sum(distance_m(a, b) for a, b in pairwise(self._points))
        # Without any length there is no speed to go back with, and no way to go.
        if gap_m == 0:
            return self
        back_s = gap_m * self.duration_s / length_m
        return Trace([*self._points, start], [*self._times_s, self.duration_s + back_s])

    @property
    def is_round(self) -> bool:
        """Whether it ends where it begins."""
        return distance_m(self._points[0], self._points[-1]) < _SAME_PLACE_M

    def begun_at(self, time_s: float) -> Trace:
        """A round from where it is at that time, to there; `time_s` is within its duration."""
        place = self.at(time_s).position
        later = bisect_right(self._times_s, time_s)
        # The last point is the first one, and what was before it comes after it.
        points = [place, *self._points[later:], *self._points[1:later], place]
        times_s = [
            0.0,
            *(then_s - time_s for then_s in self._times_s[later:]),
            *(then_s - time_s + self.duration_s for then_s in self._times_s[1:later]),
            self.duration_s,
        ]
        # It may begin at one of its points.
        if times_s[-2] >= times_s[-1]:
            del points[-2], times_s[-2]
        return Trace(points, times_s)

    def _standing(self, index: int) -> Fix:
        a, b = (0, 1) if index == 0 else (-2, -1)
        return Fix(self._points[index], 0.0, heading_deg(self._points[a], self._points[b]))
