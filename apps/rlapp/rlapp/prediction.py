"""Predicts handoffs from where UEs are and what they hear.

A UE hands off when event A3 of 3GPP TS 38.331 is reported (`mec_ue.handover`). When that will be is
extrapolated: the UE goes on as it moved in the last seconds, and the signal of a cell falls with
its distance as 10 n log10(d). By how much the cell is stronger or weaker than that is heard. Near
by this stays what it is now, further on it will be what it was on the mean: in between decides the
correlation exp(-d / D), and how far it may be off follows from how much it has varied. A handoff is
announced as long before as preparations took so far.

Nothing here reads a clock: time is that of the locations.
"""

from __future__ import annotations

import math
import statistics
from collections import OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from mec_ue.geo import Position, offset_m
from mec_ue.handover import A3Settings, A3State, Filter, step
from mec_ue.radio import Report

from .messages import HandoffMessage, HoStatus, Location

_STEP_S = 0.25
# Nobody goes on as he moves now for longer than this.
_LONGEST_LEAD_S = 60.0
# Nearer than this a cell becomes no stronger.
_NEAREST_M = 10.0
# Names of UEs are chosen by strangers: the ones heard of last are kept.
_MAX_UES = 10_000


@dataclass(frozen=True)
class Settings:
    """How handoffs are predicted.

    Attributes:
        a3: when a UE leaves its cell.
        lead_s: how long before a handoff it is announced, until durations are known.
        lead_margin: by how much more than preparations took.
        exponent: n, how fast signals fall with the distance (2 in free space, 4 behind buildings).
        correlation_m: D, over which shadowing changes (TR 38.901: 10 in streets, 37 over roofs).
        filter_coefficient: of TS 38.331, for what a cell is on the mean.
        caution: by how many standard deviations better than expected a cell may turn out.
        track_s: how far back the speed is taken from.
        patience_s: how long a handoff that is announced may look as if it did not come.
        silence_s: a UE that said nothing for so long is followed anew.
        announce_only: the UEs ask for the execution themselves.
    """

    a3: A3Settings = field(default_factory=lambda: A3Settings(report_interval_s=30.0))
    lead_s: float = 5.0
    lead_margin: float = 1.25
    exponent: float = 3.0
    correlation_m: float = 20.0
    filter_coefficient: int = 15
    caution: float = 1.0
    track_s: float = 3.0
    patience_s: float = 5.0
    silence_s: float = 15.0
    announce_only: bool = False


@dataclass
class Statistics:
    """How well handoffs were predicted.

    hits: handoffs that were announced. surprises: those that were not. wasted: announcements of a
    handoff that did not come, or went elsewhere. lead_s: how long before they were executed the
    last hits were announced.
    """

    hits: int = 0
    surprises: int = 0
    wasted: int = 0
    lead_s: deque[float] = field(default_factory=lambda: deque(maxlen=1000))

    @property
    def hit_rate(self) -> float | None:
        """The part of the handoffs that was announced; None before the first handoff."""
        handoffs = self.hits + self.surprises
        return self.hits / handoffs if handoffs else None

    @property
    def median_lead_s(self) -> float | None:
        """None before the first hit."""
        return statistics.median(self.lead_s) if self.lead_s else None


class LeadTime:
    """How long before a handoff it has to be announced, learnt from what preparations took."""

    def __init__(self, default_s: float, margin: float) -> None:
        self._default_s = default_s
        self._margin = margin
        self._durations_s: deque[float] = deque(maxlen=20)

    def learn(self, duration_s: float) -> None:
        """A preparation took so long."""
        self._durations_s.append(duration_s)

    @property
    def wanted_s(self) -> float:
        """Enough for nine preparations of ten, as far ahead as can be seen."""
        if not self._durations_s:
            return self._default_s
        by_length_s = sorted(self._durations_s)
        nine_of_ten_s = by_length_s[math.ceil(0.9 * len(by_length_s)) - 1]
        return min(self._margin * nine_of_ten_s, _LONGEST_LEAD_S)


class Predictor:
    """Follows UEs, and says which handoff messages follow from where they are.

    Args:
        cells: where each cell stands; what is said of others counts for nothing.
        settings: how handoffs are predicted.
    """

    def __init__(self, cells: Mapping[str, Position], settings: Settings | None = None) -> None:
        self._cells = dict(cells)
        self._settings = settings or Settings()
        self._ues: OrderedDict[str, _Ue] = OrderedDict()
        self.lead_time = LeadTime(self._settings.lead_s, self._settings.lead_margin)
        self.statistics = Statistics()

    def observe(self, location: Location) -> list[HandoffMessage]:
        """Take in where a UE is; the messages are to be sent in their order.

        Numbers are finite: whoever takes them from a stranger has checked that. Without a cell a UE
        is out of reach: nothing follows until it is heard in one again.

        A location that is not newer than the last one of its UE says nothing. Where the difference
        is large the clock of the UE was set: it is followed anew.

        Raises:
            ValueError: the place is not on the earth.
        """
        position = location.position
        if location.cell is None or location.cell not in self._cells:
            return []
        ue = self._ues.pop(location.ue, None)
        messages: list[HandoffMessage] = []
        if ue is not None and abs(location.time_s - ue.last_s) > self._settings.silence_s:
            messages = ue.give_up()
            ue = None
        if ue is None:
            ue = _Ue(
                location.ue,
                location.cell,
                self._cells,
                self._settings,
                self.lead_time,
                self.statistics,
            )
        self._ues[location.ue] = ue
        if len(self._ues) > _MAX_UES:
            _, oldest = self._ues.popitem(last=False)
            messages += oldest.give_up()
        if location.time_s > ue.last_s:
            signals = {c: dbm for c, dbm in location.signal_dbm.items() if c in self._cells}
            report = Report(location.time_s, location.cell, signals)
            messages += ue.observe(report, position)
        return messages

    def expect(self, ue: str, cell: str) -> None:
        """A UE is about to be moved to a cell, whoever asked for it: that is no surprise then."""
        if ue in self._ues:
            self._ues[ue].expect(cell)

    def learn(self, duration_s: float) -> None:
        """A preparation took so long."""
        self.lead_time.learn(duration_s)

    def summary(self) -> dict[str, Any]:
        """How well handoffs were predicted since the service began, and how early they are."""
        counted = self.statistics
        return {
            "hits": counted.hits,
            "surprises": counted.surprises,
            "wasted": counted.wasted,
            "median_lead_s": counted.median_lead_s,
            "wanted_lead_s": self.lead_time.wanted_s,
        }

    def forget(self, ue: str) -> list[HandoffMessage]:
        """Follow a UE no more; an announced handoff of it is cancelled."""
        follower = self._ues.pop(ue, None)
        return follower.give_up() if follower else []


@dataclass(frozen=True)
class _Announced:
    """A handoff that is announced; `likely_s`: when it last looked as if it came."""

    target: str
    at_s: float
    likely_s: float


@dataclass(frozen=True)
class _Heard:
    """By how much a cell is stronger than its distance says: now, on the mean, and its variance."""

    now_db: float
    mean_db: float
    variance: float

    def expected_db(self, kept: float) -> float:
        """What it will be where this part of the correlation is kept."""
        return self.mean_db + kept * (self.now_db - self.mean_db)


class _Ue:
    """One UE, as it is followed."""

    def __init__(
        self,
        name: str,
        cell: str,
        cells: Mapping[str, Position],
        settings: Settings,
        lead_time: LeadTime,
        statistics: Statistics,
    ) -> None:
        self._name = name
        self._cell = cell
        self._cells = cells
        self._settings = settings
        self._lead_time = lead_time
        self._statistics = statistics
        self._a3 = A3State()
        self._mean = Filter(settings.filter_coefficient)
        self._variance = Filter(settings.filter_coefficient)
        self._track: deque[tuple[float, Position]] = deque()
        self._announced: _Announced | None = None
        # The cell for which the execution was asked for, and when.
        self._asked: tuple[str, float] | None = None
        self._interval_s = 0.0
        self.last_s = -math.inf

    def observe(self, report: Report, position: Position) -> list[HandoffMessage]:
        """The messages that follow from what was measured at a place."""
        now_s = report.time_s
        self._interval_s = now_s - self.last_s if self._track else 0.0
        self.last_s = now_s
        messages = self._moved(report.serving, now_s)
        self._a3, target = step(self._settings.a3, self._a3, report)
        self._follow(now_s, position)
        # In any case: what is left out now is missing in the means later.
        heard = self._hear(report, position)
        if target is not None and not self._settings.announce_only:
            asked_before = self._asked is not None and self._asked[0] == target
            if not asked_before:
                self._executed(target, now_s)
            self._asked = (target, now_s)
            return [*messages, self._message(target, "IN_EXECUTION", 0.0)]
        if self._asked and now_s - self._asked[1] > self._settings.a3.report_interval_s:
            self._asked = None
        if self._asked is None:
            messages += self._predict(now_s, heard, position)
        return messages

    def expect(self, cell: str) -> None:
        """It is about to be moved: it need not be asked for, and what was announced is over."""
        if self._asked is None or self._asked[0] != cell:
            self._asked = (cell, self.last_s)
            self._announced = None

    def give_up(self) -> list[HandoffMessage]:
        """Cancel what is announced."""
        announced, self._announced = self._announced, None
        if announced is None:
            return []
        self._statistics.wasted += 1
        return [self._message(announced.target, "CANCELLED")]

    def _moved(self, cell: str, now_s: float) -> list[HandoffMessage]:
        """The UE may be in another cell than before."""
        if cell == self._cell:
            return []
        source, asked = self._cell, self._asked
        self._cell, self._asked = cell, None
        if asked is not None and asked[0] == cell:
            return []
        self._executed(cell, now_s)
        if self._settings.announce_only:
            return []
        # It has moved by itself: the apps follow.
        return [HandoffMessage(self._name, cell, "COMPLETED", source)]

    def _executed(self, target: str, now_s: float) -> None:
        """Count a handoff; that to another cell cleans up what was announced."""
        announced, self._announced = self._announced, None
        if announced is not None and announced.target == target:
            self._statistics.hits += 1
            self._statistics.lead_s.append(now_s - announced.at_s)
            return
        self._statistics.surprises += 1
        if announced is not None:
            self._statistics.wasted += 1

    def _predict(
        self, now_s: float, heard: Mapping[str, _Heard], position: Position
    ) -> list[HandoffMessage]:
        """Announce a handoff, or cancel the one that is announced."""
        # What is not announced now cannot be before the next location comes.
        wanted_s = self._lead_time.wanted_s + self._interval_s
        expected_s = self._expected_s(now_s, heard, position, 2 * wanted_s)
        if self._announced is not None:
            if self._announced.target in expected_s:
                self._announced = replace(self._announced, likely_s=now_s)
            if now_s - self._announced.likely_s < self._settings.patience_s:
                return []
            return self.give_up()
        target = min(expected_s, key=expected_s.__getitem__, default=None)
        if target is None or expected_s[target] > wanted_s:
            return []
        self._announced = _Announced(target, now_s, now_s)
        return [self._message(target, "IN_PREPARATION", expected_s[target])]

    def _follow(self, now_s: float, position: Position) -> None:
        self._track.append((now_s, position))
        while len(self._track) > 2 and now_s - self._track[1][0] >= self._settings.track_s:
            self._track.popleft()

    def _speed_mps(self) -> tuple[float, float]:
        """How fast the UE moves, to the north and to the east."""
        (then_s, then), (now_s, now) = self._track[0], self._track[-1]
        if now_s <= then_s:
            return 0.0, 0.0
        north_m, east_m = offset_m(then, now)
        return north_m / (now_s - then_s), east_m / (now_s - then_s)

    def _hear(self, report: Report, position: Position) -> dict[str, _Heard]:
        """Take in how strong the cells are."""
        now_db = {
            cell: dbm - self._law_db(*offset_m(self._cells[cell], position))
            for cell, dbm in report.signal_dbm.items()
        }
        mean_db = self._mean.filtered(replace(report, signal_dbm=now_db)).signal_dbm
        squares = {cell: (now_db[cell] - mean_db[cell]) ** 2 for cell in now_db}
        variance = self._variance.filtered(replace(report, signal_dbm=squares)).signal_dbm
        return {cell: _Heard(now_db[cell], mean_db[cell], variance[cell]) for cell in now_db}

    def _law_db(self, north_m: float, east_m: float) -> float:
        distance = max(math.hypot(north_m, east_m), _NEAREST_M)
        return -10 * self._settings.exponent * math.log10(distance)

    def _expected_s(
        self, now_s: float, heard: Mapping[str, _Heard], position: Position, horizon_s: float
    ) -> dict[str, float]:
        """In how many seconds event A3 will be reported, for each cell within the horizon."""
        if self._cell not in heard:
            return {}
        settings = self._settings
        ways = {cell: offset_m(self._cells[cell], position) for cell in heard}
        north_mps, east_mps = self._speed_mps()
        expected_s: dict[str, float] = {}
        since_s = {cell: at_s - now_s for cell, at_s in self._a3.entering.items()}
        for number in range(int(horizon_s / _STEP_S) + 1):
            in_s = number * _STEP_S
            kept = math.exp(-in_s * math.hypot(north_mps, east_mps) / settings.correlation_m)
            signal_dbm = {
                cell: heard[cell].expected_db(kept)
                + self._law_db(north_m + in_s * north_mps, east_m + in_s * east_mps)
                for cell, (north_m, east_m) in ways.items()
            }
            for cell in heard.keys() - expected_s.keys() - {self._cell}:
                variance = (1 - kept**2) * (heard[cell].variance + heard[self._cell].variance)
                best_dbm = signal_dbm[cell] + settings.caution * math.sqrt(variance)
                if not settings.a3.enters(best_dbm, signal_dbm[self._cell]):
                    since_s.pop(cell, None)
                elif in_s - since_s.setdefault(cell, in_s) >= settings.a3.time_to_trigger_s:
                    expected_s[cell] = in_s
        return expected_s

    def _message(
        self, target: str, ho_status: HoStatus, expected_in_s: float | None = None
    ) -> HandoffMessage:
        return HandoffMessage(self._name, target, ho_status, self._cell, expected_in_s)
