"""Event A3, and the filter before it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mec_ue.handover import A3Settings, A3State, Filter, step
from mec_ue.radio import Report

SETTINGS = A3Settings(offset_db=3, hysteresis_db=1, time_to_trigger_s=0.5, report_interval_s=5)
PERIOD_S = 0.125

# How much better or worse than a serving cell at -80 dBm two neighbours are, every PERIOD_S.
gains = st.lists(st.tuples(st.floats(-10, 10), st.floats(-10, 10)), max_size=200)


def reports(measured: list[tuple[float, float]]) -> list[Report]:
    """Reports of cells a, b and c; `a` serves."""
    return [
        Report(number * PERIOD_S, "a", {"a": -80.0, "b": -80.0 + b, "c": -80.0 + c})
        for number, (b, c) in enumerate(measured)
    ]


def triggers(measured: list[tuple[float, float]]) -> list[tuple[float, str]]:
    """When which cell is handed off to, while the UE stays where it is."""
    state, found = A3State(), []
    for report in reports(measured):
        state, cell = step(SETTINGS, state, report)
        if cell:
            found.append((report.time_s, cell))
    return found


def test_it_comes_when_the_neighbour_was_better_for_the_time_to_trigger() -> None:
    assert triggers([(4.1, -9)] * 5) == [(0.5, "b")]
    assert triggers([(4.1, -9)] * 4) == []


def test_one_measurement_that_is_not_good_enough_starts_it_anew() -> None:
    assert triggers([(4.1, -9)] * 4 + [(4.0, -9)] + [(4.1, -9)] * 4) == []


def test_of_two_the_stronger_is_taken() -> None:
    assert triggers([(5, 6)] * 5) == [(0.5, "c")]


def test_it_is_repeated_while_nothing_changes() -> None:
    assert triggers([(9, -9)] * 90) == [(0.5, "b"), (5.5, "b"), (10.5, "b")]


def test_left_and_entered_again_it_comes_again() -> None:
    worse_for_long = [(1.9, -9)] * 5
    assert triggers([(9, -9)] * 5 + worse_for_long + [(9, -9)] * 5) == [(0.5, "b"), (1.75, "b")]


def test_between_leaving_and_entering_it_stays_on() -> None:
    assert triggers([(9, -9)] * 5 + [(3, -9)] * 5 + [(9, -9)] * 5) == [(0.5, "b")]


def test_a_serving_cell_that_is_lost_is_left() -> None:
    state, cell = A3State(), None
    for number in range(5):
        state, cell = step(SETTINGS, state, Report(number * PERIOD_S, "a", {"b": -120.0}))
    assert cell == "b"


@given(gains)
def test_it_never_comes_unless_the_neighbour_was_better_all_the_time(
    measured: list[tuple[float, float]],
) -> None:
    for time_s, cell in triggers(measured):
        last = round(time_s / PERIOD_S)
        window = measured[last - 4 : last + 1]
        assert len(window) == 5
        assert all(gain["bc".index(cell)] > 4 for gain in window)


@given(
    st.lists(
        st.dictionaries(st.sampled_from("abc"), st.floats(-120, -60), max_size=3), max_size=200
    )
)
def test_a_ue_that_obeys_is_in_one_cell_and_never_back_within_the_time_to_trigger(
    measured: list[dict[str, float]],
) -> None:
    state, cell, changed_s = A3State(), "a", -1.0
    for number, signals in enumerate(measured):
        state, target = step(SETTINGS, state, Report(number * PERIOD_S, cell, signals))
        assert state.serving == cell
        if target is not None:
            assert target != cell
            assert target in signals
            assert number * PERIOD_S - changed_s >= SETTINGS.time_to_trigger_s
            cell, changed_s = target, number * PERIOD_S


@given(gains)
def test_the_state_names_only_what_holds(measured: list[tuple[float, float]]) -> None:
    state = A3State()
    for report in reports(measured):
        state, _ = step(SETTINGS, state, report)
        serving = report.signal_dbm["a"]
        assert all(SETTINGS.enters(report.signal_dbm[cell], serving) for cell in state.entering)
        assert all(SETTINGS.leaves(report.signal_dbm[cell], serving) for cell in state.leaving)
        assert set(state.leaving) <= set(state.reported)


@pytest.mark.parametrize(
    "wrong",
    [
        {"offset_db": 16},
        {"hysteresis_db": -1},
        {"time_to_trigger_s": 6},
        {"offset_db": float("nan")},
    ],
)
def test_what_the_standard_cannot_express_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="is not"):
        A3Settings(**wrong)


def filtered(coefficient: int, period_s: float, steps: int) -> float:
    """What a filter says of a cell that fell from -60 to -80 dBm, so many measurements later."""
    layer3 = Filter(coefficient)
    layer3.filtered(Report(0, "a", {"a": -60.0}))
    seen = -60.0
    for number in range(1, steps + 1):
        seen = layer3.filtered(Report(number * period_s, "a", {"a": -80.0})).signal_dbm["a"]
    return seen


def test_the_filter_is_that_of_the_standard() -> None:
    # k = 4: a = 1/2, k = 8: a = 1/4.
    assert filtered(4, 0.2, 1) == pytest.approx(-70)
    assert filtered(4, 0.2, 2) == pytest.approx(-75)
    assert filtered(8, 0.2, 1) == pytest.approx(-65)
    assert filtered(0, 0.2, 1) == -80


@given(st.integers(1, 19), st.integers(1, 50))
def test_at_another_rate_it_behaves_the_same(coefficient: int, rate: int) -> None:
    assert filtered(coefficient, 1.0 / rate, rate) == pytest.approx(filtered(coefficient, 1.0, 1))


def test_a_cell_that_is_heard_anew_begins_with_what_it_is() -> None:
    layer3 = Filter()
    layer3.filtered(Report(0, "a", {"a": -60.0}))
    layer3.filtered(Report(1, "a", {}))
    assert layer3.filtered(Report(2, "a", {"a": -80.0})).signal_dbm == {"a": -80.0}
