"""When a UE leaves its cell for a better one: event A3 of 3GPP TS 38.331.

Measurements are filtered (5.5.3.2), F = (1 - a) F' + a M with a = 1 / 2^(k / 4). A neighbour
enters the event (5.5.4.4, inequality A3-1) when it is better than the serving cell by more than
offset and hysteresis, and the event is reported when that was so for the time to trigger (5.5.4.1).
A neighbour leaves it (A3-2) when for as long it was better by less than offset less hysteresis.
Cells have no offsets of their own here (Ofn, Ocn, Ofp and Ocp are 0).

Nothing here reads a clock or keeps state: what comes in are reports and the state before, what
comes out is the state after.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from .radio import Report

# The rate for which the filter coefficient is meant: one measurement in the 200 ms that TS 38.133
# gives a UE for its own frequency.
_MEASUREMENT_PERIOD_S = 0.2


@dataclass(frozen=True)
class A3Settings:
    """Event A3; raises ValueError for what TS 38.331 cannot express.

    `report_interval_s`: how long after a report that changed nothing the next one comes.
    """

    offset_db: float = 3.0
    hysteresis_db: float = 1.0
    time_to_trigger_s: float = 0.64
    report_interval_s: float = 10.24

    def __post_init__(self) -> None:
        if not -15 <= self.offset_db <= 15:
            raise ValueError(f"an offset of {self.offset_db} dB is not within -15 to 15")
        if not 0 <= self.hysteresis_db <= 15:
            raise ValueError(f"a hysteresis of {self.hysteresis_db} dB is not within 0 to 15")
        if not 0 <= self.time_to_trigger_s <= 5.12:
            raise ValueError(f"a time to trigger of {self.time_to_trigger_s} s is not 0 to 5.12")

    def enters(self, neighbour_dbm: float, serving_dbm: float) -> bool:
        """Inequality A3-1."""
        return neighbour_dbm - self.hysteresis_db > serving_dbm + self.offset_db

    def leaves(self, neighbour_dbm: float, serving_dbm: float) -> bool:
        """Inequality A3-2."""
        return neighbour_dbm + self.hysteresis_db < serving_dbm + self.offset_db


@dataclass(frozen=True)
class A3State:
    """What is known of event A3 after a report.

    Attributes:
        serving: the serving cell; None before the first report.
        entering: since when a neighbour fulfils A3-1 without a break.
        reported: neighbours for which the event is on, and when it was reported last.
        leaving: of those, since when one fulfils A3-2 without a break.
    """

    serving: str | None = None
    entering: Mapping[str, float] = field(default_factory=dict)
    reported: Mapping[str, float] = field(default_factory=dict)
    leaving: Mapping[str, float] = field(default_factory=dict)


def step(settings: A3Settings, before: A3State, report: Report) -> tuple[A3State, str | None]:
    """Take a report in.

    Returns:
        The state after it, and the cell to hand off to when the event is reported now: of several
        the strongest.
    """
    signals, now_s = report.signal_dbm, report.time_s
    if report.serving != before.serving:
        before = A3State(report.serving)
    # A serving cell that is not heard is worse than any that is.
    serving_dbm = signals.get(report.serving, -math.inf)
    neighbours = {cell: dbm for cell, dbm in signals.items() if cell != report.serving}

    entering = _since(
        before.entering, now_s, neighbours, lambda dbm: settings.enters(dbm, serving_dbm)
    )
    heard_on = {cell: neighbours.get(cell, -math.inf) for cell in before.reported}
    leaving = _since(before.leaving, now_s, heard_on, lambda dbm: settings.leaves(dbm, serving_dbm))
    reported = {
        cell: at_s
        for cell, at_s in before.reported.items()
        if cell not in leaving or not _lasts(settings, leaving[cell], now_s)
    }
    due = [
        cell
        for cell, since_s in entering.items()
        if _lasts(settings, since_s, now_s)
        and now_s - reported.get(cell, -math.inf) >= settings.report_interval_s
    ]
    best = max(due, key=neighbours.__getitem__, default=None)
    reported.update(dict.fromkeys(due, now_s))
    leaving = {cell: since_s for cell, since_s in leaving.items() if cell in reported}
    return A3State(report.serving, entering, reported, leaving), best


class Filter:
    """Layer 3 filter of the signals of one UE.

    The coefficient k is meant for one measurement in 200 ms. At another rate the filter keeps its
    behaviour in time, as 5.5.3.2 demands: after t seconds an old value counts (1 - a)^(t / 0.2 s).
    """

    def __init__(self, coefficient: int = 4) -> None:
        # k = 0 switches the filter off: a is 1.
        self._keeps = 1 - 2 ** (-coefficient / 4)
        self._last_s = -math.inf
        self._filtered_dbm: dict[str, float] = {}

    def filtered(self, report: Report) -> Report:
        """The report with filtered signals; a cell that is heard anew begins with what it is."""
        old = self._keeps ** ((report.time_s - self._last_s) / _MEASUREMENT_PERIOD_S)
        self._last_s = report.time_s
        self._filtered_dbm = {
            cell: dbm + old * (self._filtered_dbm.get(cell, dbm) - dbm)
            for cell, dbm in report.signal_dbm.items()
        }
        return Report(report.time_s, report.serving, dict(self._filtered_dbm))


def _since(
    before: Mapping[str, float],
    now_s: float,
    signal_dbm: Mapping[str, float],
    holds: Callable[[float], bool],
) -> dict[str, float]:
    """Since when the condition holds, for the cells for which it does."""
    return {cell: before.get(cell, now_s) for cell, dbm in signal_dbm.items() if holds(dbm)}


def _lasts(settings: A3Settings, since_s: float, now_s: float) -> bool:
    return now_s - since_s >= settings.time_to_trigger_s
