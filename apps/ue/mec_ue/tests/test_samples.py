"""What follows from samples of a video's clock."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mec_ue.samples import SAVED_WITHIN_S, Sample, summarize, watch_time_kept


def samples(*positions_s: float, paused: bool = False) -> list[Sample]:
    """One sample each 0.1 s."""
    return [
        Sample(number / 10, position_s, paused, 5.0)
        for number, position_s in enumerate(positions_s)
    ]


def test_a_clock_that_runs_has_no_stall() -> None:
    watched = summarize(samples(3.0, 3.1, 3.2, 3.3))
    assert watched.longest_stall_s == 0
    assert watched.lost_s == 0
    assert not watched.went_back
    assert (watched.position_start_s, watched.position_end_s) == (3.0, 3.3)


def test_the_longest_of_several_stalls_counts() -> None:
    watched = summarize(samples(1.0, 1.1, 1.1, 1.2, 1.2, 1.2, 1.2, 1.3))
    assert watched.longest_stall_s == pytest.approx(0.3)
    assert watched.lost_s == pytest.approx(0.4)


def test_a_stall_that_does_not_end_counts() -> None:
    assert summarize(samples(1.0, 1.1, 1.1, 1.1)).longest_stall_s == pytest.approx(0.2)


def test_a_clock_that_goes_back_is_noticed_also_when_it_catches_up() -> None:
    assert summarize(samples(1.0, 1.1, 0.9, 1.3)).went_back


def test_a_pause_is_no_stall() -> None:
    watched = summarize(samples(1.0, 1.0, 1.0, paused=True))
    assert watched.longest_stall_s == 0
    assert watched.paused


@pytest.mark.parametrize("seen", [[], [Sample(0, 0, False, 0)]])
def test_nothing_watched_is_an_error_and_no_success(seen: list[Sample]) -> None:
    with pytest.raises(ValueError, match="nothing was watched"):
        summarize(seen)


@pytest.mark.parametrize(
    ("reopened_at_s", "kept"),
    [
        (3.2, True),
        (3.2 - SAVED_WITHIN_S + 0.01, True),
        (3.2 + SAVED_WITHIN_S + 0.01, False),
        (-1.0, False),
        (None, False),
    ],
)
def test_the_watch_time_is_kept_where_the_video_goes_on(
    reopened_at_s: float | None, kept: bool
) -> None:
    assert watch_time_kept(summarize(samples(3.0, 3.1, 3.2)), reopened_at_s) is kept


def test_the_watch_time_of_a_video_that_went_back_is_not_kept() -> None:
    assert not watch_time_kept(summarize(samples(3.0, 2.9, 3.2)), 3.2)


@given(st.lists(st.floats(0, 0.5), min_size=1, max_size=100))
def test_no_stall_is_longer_than_what_was_watched(steps_s: list[float]) -> None:
    positions_s = [0.0]
    for step_s in steps_s:
        positions_s.append(positions_s[-1] + step_s)
    watched = summarize(samples(*positions_s))
    assert 0 <= watched.longest_stall_s <= watched.duration_s + 1e-9
    assert not watched.went_back
