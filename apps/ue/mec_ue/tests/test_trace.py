"""Where a UE is at which time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mec_ue.geo import Position, distance_m
from mec_ue.trace import Trace, TraceError

# Some 111 m north, then 111 m east.
CORNER = [Position(0, 0), Position(0.001, 0), Position(0.001, 0.001)]

paths = st.lists(
    st.builds(Position, st.floats(37.4, 37.6), st.floats(126.9, 127.1)), min_size=2, max_size=20
).filter(lambda path: distance_m(path[0], path[-1]) > 1)


def test_it_turns_where_the_path_does() -> None:
    trace = Trace(CORNER, [100, 110, 130])
    assert trace.duration_s == 30
    north, east = trace.at(5), trace.at(20)
    assert (north.position.lat, north.heading_deg) == pytest.approx((0.0005, 0))
    assert (east.position.lon, east.heading_deg) == pytest.approx((0.0005, 90))
    assert north.speed_mps == pytest.approx(2 * east.speed_mps)


def test_it_stands_before_the_beginning_and_after_the_end() -> None:
    trace = Trace(CORNER, [0, 10, 30])
    assert (trace.at(-1).position, trace.at(-1).speed_mps) == (CORNER[0], 0)
    assert (trace.at(30).position, trace.at(30).speed_mps) == (CORNER[2], 0)


def test_closed_it_goes_back_to_its_beginning() -> None:
    closed = Trace(CORNER, [0, 10, 30]).closed()
    assert closed.points[-1] == CORNER[0]
    # The way back is the diagonal, with the mean speed of the other two sides.
    assert closed.duration_s == pytest.approx(30 * (1 + 2**0.5 / 2), rel=1e-3)
    assert closed.closed() is closed


@pytest.mark.parametrize("times", [[0, 0, 1], [0, 2, 1], [0, float("nan"), 1]])
def test_times_that_do_not_increase_are_refused(times: list[float]) -> None:
    with pytest.raises(TraceError, match=r"point [23]: its time is not after"):
        Trace(CORNER, times)


@pytest.mark.parametrize("speed", [0, -1, float("nan"), float("inf")])
def test_a_speed_that_leads_nowhere_is_refused(speed: float) -> None:
    with pytest.raises(TraceError, match="leads nowhere"):
        Trace.at_speed(CORNER, speed)


def test_one_place_is_no_trace() -> None:
    with pytest.raises(TraceError, match="two points"):
        Trace.at_speed([CORNER[0]] * 5, 10)


@given(paths, st.floats(0.5, 50), st.floats(0, 1))
def test_it_moves_with_the_speed_it_was_given(
    path: list[Position], speed_mps: float, fraction: float
) -> None:
    trace = Trace.at_speed(path, speed_mps)
    time_s = fraction * trace.duration_s
    moved_m = distance_m(trace.at(time_s).position, trace.at(time_s + 0.1).position)
    assert moved_m <= 0.1 * speed_mps * 1.001 + 1e-3


@given(paths, st.floats(0, 1))
def test_reversed_it_is_where_it_was(path: list[Position], fraction: float) -> None:
    trace = Trace.at_speed(path, 10)
    time_s = fraction * trace.duration_s
    back = trace.reversed().at(trace.duration_s - time_s)
    assert distance_m(trace.at(time_s).position, back.position) < 0.01


@given(paths, st.floats(0, 0.999), st.floats(0, 1))
def test_a_round_begun_elsewhere_is_the_same_round(
    path: list[Position], begin: float, fraction: float
) -> None:
    trace = Trace.at_speed([*path, path[0]], 10)
    begin_s, time_s = begin * trace.duration_s, fraction * trace.duration_s
    begun = trace.begun_at(begin_s)
    assert begun.is_round
    assert begun.duration_s == pytest.approx(trace.duration_s)
    there = trace.at((begin_s + time_s) % trace.duration_s).position
    assert distance_m(begun.at(time_s).position, there) < 0.01


def test_what_does_not_come_back_is_no_round() -> None:
    assert not Trace(CORNER, [0, 10, 30]).is_round
    assert Trace(CORNER, [0, 10, 30]).closed().is_round
