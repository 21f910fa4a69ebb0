"""Handoffs are predicted: on simulated ways between two cells, and location by location."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mec_ue.geo import Position
from mec_ue.mobile import Mobile
from mec_ue.radio import Cell, Radio
from mec_ue.trace import Trace
from mec_ue.trace_file import read_trace
from rlapp import prediction
from rlapp.messages import HandoffMessage, Location
from rlapp.prediction import LeadTime, Predictor, Settings, Statistics

TRACES = Path(__file__).parents[2] / "ue" / "traces"
CELLS = {
    "cell1": Cell("cell1", Position(37.4990, 127.0300)),
    "cell2": Cell("cell2", Position(37.5006, 127.0354)),
}
POSITIONS = {name: cell.position for name, cell in CELLS.items()}
MEASURED_EVERY_S = 0.2
REPORTED_EVERY = 5
HANDOFF_TAKES_S = 0.6


@dataclass
class Drive:
    """What came of a drive: the messages by their time, and what the predictor says of itself."""

    messages: list[tuple[float, HandoffMessage]]
    statistics: Statistics
    handoffs: int

    def said(self) -> list[tuple[str, str]]:
        """Status and target of the messages."""
        return [(message.ho_status, message.target_cell) for _, message in self.messages]


def drive(
    trace: Trace,
    duration_s: float,
    *,
    shadowing_db: float = 0.0,
    seed: int = 0,
    settings: Settings | None = None,
) -> Drive:
    """A UE drives round and round; what is asked for happens HANDOFF_TAKES_S later."""
    mobile = Mobile(trace, Radio(CELLS, shadowing_db=shadowing_db, seed=seed), loop=True)
    predictor = Predictor(POSITIONS, settings)
    cell = mobile.first_cell(0) or ""
    done = Drive([], predictor.statistics, 0)
    coming: tuple[float, str] | None = None
    for number in range(int(duration_s / MEASURED_EVERY_S)):
        time_s = number * MEASURED_EVERY_S
        if coming and time_s >= coming[0]:
            cell, coming = coming[1], None
            done.handoffs += 1
        moment = mobile.measure(time_s, cell)
        if number % REPORTED_EVERY:
            continue
        place = moment.fix.position
        for message in predictor.observe(
            Location("ue1", time_s, place.lat, place.lon, cell, signal_dbm=moment.report.signal_dbm)
        ):
            done.messages.append((time_s, message))
            if message.ho_status == "IN_EXECUTION":
                coming = (time_s + HANDOFF_TAKES_S, message.target_cell)
    return done


@pytest.mark.parametrize("speed_mps", [1.5, 10, 25])
def test_without_shadowing_every_handoff_is_announced_in_time(speed_mps: float) -> None:
    trace = read_trace(TRACES / "loop.geojson", speed_mps)
    driven = drive(trace, 2 * trace.closed().duration_s)
    assert driven.handoffs == 4
    assert driven.statistics.hit_rate == 1
    assert driven.statistics.wasted == 0
    assert all(3.5 <= lead_s <= 9 for lead_s in driven.statistics.lead_s)


@pytest.mark.parametrize(
    ("shadowing_db", "speed_mps", "wasted_a_hit", "median_lead_s"),
    [
        (2, 10, 0.25, 4),
        (2, 25, 0.25, 4),
        (4, 10, 0.25, 4),
        (4, 25, 0.25, 4),
        # On foot, out of one shadow and into the next: nothing is there to extrapolate.
        (4, 1.5, 1, 1),
    ],
)
def test_with_shadowing_most_are(
    shadowing_db: float,
    speed_mps: float,
    wasted_a_hit: float,
    median_lead_s: float,
) -> None:
    trace = read_trace(TRACES / "loop.geojson", speed_mps)
    total = Statistics()
    for seed in range(4):
        rounds_s = 4 * trace.closed().duration_s
        driven = drive(trace, rounds_s, shadowing_db=shadowing_db, seed=seed)
        total.hits += driven.statistics.hits
        total.surprises += driven.statistics.surprises
        total.wasted += driven.statistics.wasted
        total.lead_s += driven.statistics.lead_s
    # The table of docs/mobility.md: pytest -s -k shadowing.
    print(
        f"\n{shadowing_db} dB, {speed_mps} m/s: {total.hits} hits, {total.surprises} surprises,"
        f" {total.wasted} wasted, lead {total.median_lead_s} s on the median,"
        f" at least 4 s {sum(lead_s >= 4 for lead_s in total.lead_s)} times"
    )
    assert total.hits + total.surprises >= 30
    assert (total.hit_rate or 0) >= 0.9
    assert total.wasted <= wasted_a_hit * total.hits
    assert median_lead_s <= (total.median_lead_s or 0) <= 15


def test_who_turns_back_is_cancelled() -> None:
    trace = read_trace(TRACES / "turn-back.gpx")
    driven = drive(trace, trace.duration_s)
    assert driven.said() == [("IN_PREPARATION", "cell2"), ("CANCELLED", "cell2")]
    assert driven.handoffs == 0
    assert (driven.statistics.hits, driven.statistics.wasted) == (0, 1)


def test_who_waits_at_a_red_light_is_announced_once_it_goes_on() -> None:
    trace = read_trace(TRACES / "red-light.csv")
    driven = drive(trace, trace.duration_s)
    assert driven.said() == [("IN_PREPARATION", "cell2"), ("IN_EXECUTION", "cell2")]


def test_longer_preparations_are_announced_earlier() -> None:
    trace = read_trace(TRACES / "loop.geojson", 10)
    driven = drive(trace, 60, settings=Settings(lead_s=15))
    (lead_s,) = driven.statistics.lead_s
    assert 11 <= lead_s <= 20
    (announced_s, announced), (executed_s, _) = driven.messages
    assert announced.expected_in_s == pytest.approx(executed_s - announced_s, abs=6)


def test_the_lead_time_is_learnt() -> None:
    lead_time = LeadTime(default_s=5, margin=1.5)
    assert lead_time.wanted_s == 5
    for duration_s in (2, 2, 2, 2, 2, 2, 2, 2, 4, 60):
        lead_time.learn(duration_s)
    assert lead_time.wanted_s == 6
    for _ in range(20):
        lead_time.learn(1)
    assert lead_time.wanted_s == 1.5
    for _ in range(20):
        lead_time.learn(3600)
    assert lead_time.wanted_s == 60


# Location by location: a UE halfway between the cells, and what it hears there.
BETWEEN = Position(37.4998, 127.0327)
HEARD = {"cell1": -80.0, "cell2": -90.0}
HERE = Location("ue1", 0.0, BETWEEN.lat, BETWEEN.lon, "cell1", signal_dbm=HEARD)
NEAR_CELL2 = {"cell1": -90.0, "cell2": -80.0}


def observe(predictor: Predictor, *locations: Location) -> list[tuple[str, str]]:
    """Status and target of the messages that follow from locations."""
    return [
        (message.ho_status, message.target_cell)
        for location in locations
        for message in predictor.observe(location)
    ]


def at(time_s: float, **changes: object) -> Location:
    """HERE, at a time, with changes."""
    return replace(HERE, time_s=time_s, **changes)  # type: ignore[arg-type]


def test_a_surprise_is_executed_at_once() -> None:
    predictor = Predictor(POSITIONS)
    said = observe(
        predictor, at(0), at(1), at(2, signal_dbm=NEAR_CELL2), at(3, signal_dbm=NEAR_CELL2)
    )
    assert said[-1] == ("IN_EXECUTION", "cell2")
    assert predictor.statistics.hits + predictor.statistics.surprises == 1


def test_who_has_moved_by_itself_is_followed() -> None:
    predictor = Predictor(POSITIONS)
    assert observe(predictor, at(0), at(1, cell="cell2", signal_dbm=NEAR_CELL2)) == [
        ("COMPLETED", "cell2")
    ]
    assert predictor.statistics.surprises == 1


def test_where_ues_ask_themselves_nothing_is_executed_but_all_is_counted() -> None:
    predictor = Predictor(POSITIONS, Settings(announce_only=True))
    said = observe(
        predictor,
        at(0),
        at(1, signal_dbm=NEAR_CELL2),
        at(2, signal_dbm=NEAR_CELL2),
        at(3, cell="cell2", signal_dbm=NEAR_CELL2),
    )
    assert {status for status, _ in said} <= {"IN_PREPARATION"}
    assert predictor.statistics.hits + predictor.statistics.surprises == 1


def test_what_is_not_newer_says_nothing() -> None:
    predictor = Predictor(POSITIONS)
    observe(predictor, at(10))
    assert observe(predictor, at(10, cell="cell2"), at(9, cell="cell2")) == []


def test_who_was_moved_on_somebodys_wish_is_no_surprise() -> None:
    predictor = Predictor(POSITIONS)
    observe(predictor, at(0))
    predictor.expect("ue1", "cell2")
    assert observe(predictor, at(1.0, cell="cell2", signal_dbm=NEAR_CELL2)) == []
    assert predictor.summary()["surprises"] == 0
    predictor.expect("nobody", "cell2")
    # Without that it follows by itself.
    assert observe(predictor, at(2.0, cell="cell1")) == [("COMPLETED", "cell1")]
    assert predictor.summary()["surprises"] == 1


def test_a_ue_whose_clock_was_set_is_followed_anew() -> None:
    predictor = Predictor(POSITIONS)
    observe(predictor, at(1e9))
    assert observe(predictor, at(10), at(11, cell="cell2", signal_dbm=NEAR_CELL2)) == [
        ("COMPLETED", "cell2")
    ]


def test_out_of_reach_nothing_follows() -> None:
    predictor = Predictor(POSITIONS)
    observe(predictor, at(0), at(1, cell=None, signal_dbm={}))
    assert observe(predictor, at(2, cell="cell2", signal_dbm=NEAR_CELL2)) == [
        ("COMPLETED", "cell2")
    ]


def test_a_ue_that_falls_silent_is_cancelled_when_it_is_heard_again() -> None:
    predictor = Predictor(POSITIONS)
    said = observe(predictor, *announced(), at(100))
    assert said == [("IN_PREPARATION", "cell2"), ("CANCELLED", "cell2")]


def test_a_ue_that_is_forgotten_is_cancelled() -> None:
    predictor = Predictor(POSITIONS)
    observe(predictor, *announced())
    (message,) = predictor.forget("ue1")
    assert (message.ho_status, message.source_cell, message.target_cell) == (
        "CANCELLED",
        "cell1",
        "cell2",
    )
    assert predictor.forget("ue1") == []


def announced() -> list[Location]:
    """A UE that runs towards cell2, up to its announcement."""
    return [
        at(
            time_s,
            lat=BETWEEN.lat + 0.00003 * time_s,
            lon=BETWEEN.lon + 0.0001 * time_s,
            signal_dbm={"cell1": -80.0, "cell2": -80.0},
        )
        for time_s in (0.0, 1.0)
    ]


def test_ues_are_told_apart() -> None:
    predictor = Predictor(POSITIONS)
    observe(predictor, at(5, ue="ue1"), at(5, ue="ue2"))
    assert observe(predictor, at(6, ue="ue2", cell="cell2", signal_dbm=NEAR_CELL2)) == [
        ("COMPLETED", "cell2")
    ]


def test_cells_that_nobody_knows_count_for_nothing() -> None:
    predictor = Predictor({"cell1": POSITIONS["cell1"]})
    strong = (at(time_s, signal_dbm=NEAR_CELL2) for time_s in (1, 2, 3))
    assert observe(predictor, at(0), *strong, at(4, cell="cell2")) == []


def test_of_the_ues_only_so_many_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prediction, "_MAX_UES", 2)
    predictor = Predictor(POSITIONS)
    observe(predictor, *announced(), at(2, ue="ue2"))
    (message,) = predictor.observe(at(3, ue="ue3"))
    assert (message.ue, message.ho_status) == ("ue1", "CANCELLED")
    assert predictor.forget("ue1") == []


@pytest.mark.parametrize("lat", [91, math.nan])
def test_a_place_that_is_not_on_the_earth_is_refused(lat: float) -> None:
    with pytest.raises(ValueError, match="latitude"):
        Predictor(POSITIONS).observe(at(0, lat=lat))


@given(
    st.lists(
        st.tuples(
            st.floats(0.01, 20),
            st.sampled_from(["cell1", "cell2", "cell3", None]),
            st.floats(-0.01, 0.01),
            st.dictionaries(st.sampled_from(["cell1", "cell2", "cell3"]), st.floats(-120, -60)),
        ),
        max_size=60,
    )
)
def test_messages_make_sense_whatever_comes(
    steps: list[tuple[float, str | None, float, dict[str, float]]],
) -> None:
    predictor = Predictor(POSITIONS)
    announced: str | None = None
    time_s = 0.0
    for pause_s, cell, moved, signal_dbm in steps:
        time_s += pause_s
        location = at(time_s, cell=cell, lat=BETWEEN.lat + moved, signal_dbm=signal_dbm)
        for message in predictor.observe(location):
            assert message.target_cell in POSITIONS
            assert message.target_cell != message.source_cell
            if message.ho_status == "IN_PREPARATION":
                assert announced is None
                announced = message.target_cell
            elif message.ho_status == "CANCELLED":
                assert announced == message.target_cell
                announced = None
            else:
                announced = None
    counted = predictor.statistics
    assert counted.hits == len(counted.lead_s)
    assert all(lead_s >= 0 for lead_s in counted.lead_s)
