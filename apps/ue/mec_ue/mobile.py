"""A UE that follows a trace and measures the cells around it; nothing here reads a clock."""

from __future__ import annotations

from dataclasses import dataclass

from .handover import A3Settings, A3State, Filter, step
from .radio import Radio, Report
from .trace import Fix, Trace


@dataclass(frozen=True)
class Moment:
    """What is at one time: where the UE is, what it hears, and the cell that event A3 names."""

    fix: Fix
    report: Report
    handoff_to: str | None


class Mobile:
    """A UE on its way.

    Args:
        trace: where it goes.
        radio: the cells.
        a3: when it leaves one for another.
        filter_coefficient: of its measurements.
        loop: begins the trace again where it ends.
        ahead_s: how far on its way it is at the time 0.
    """

    def __init__(
        self,
        trace: Trace,
        radio: Radio,
        a3: A3Settings | None = None,
        *,
        filter_coefficient: int = 4,
        loop: bool = False,
        ahead_s: float = 0.0,
    ) -> None:
        self._trace = trace.closed() if loop else trace
        self._radio = radio
        self._a3 = a3 or A3Settings()
        self._filter = Filter(filter_coefficient)
        self._state = A3State()
        self._loop = loop
        self._ahead_s = ahead_s

    def arrived(self, time_s: float) -> bool:
        """Whether the trace has ended."""
        return not self._loop and time_s + self._ahead_s >= self._trace.duration_s

    def fix(self, time_s: float) -> Fix:
        """Where the UE is."""
        on_way_s = time_s + self._ahead_s
        return self._trace.at(on_way_s % self._trace.duration_s if self._loop else on_way_s)

    def first_cell(self, time_s: float) -> str | None:
        """The cell to begin in: the strongest."""
        return self._radio.strongest(self.fix(time_s).position)

    def measure(self, time_s: float, cell: str) -> Moment:
        """Measure at a time, which is after that of the measurement before; `cell` serves."""
        fix = self.fix(time_s)
        measured = Report(time_s, cell, self._radio.signal_dbm(fix.position))
        report = self._filter.filtered(measured)
        self._state, target = step(self._a3, self._state, report)
        return Moment(fix, report, target)
