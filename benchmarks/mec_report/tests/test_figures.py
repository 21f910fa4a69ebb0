# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Figures against values worked out by hand, and against what must always hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mec_report import figures

seconds = st.floats(0, 1000, allow_nan=False)
some_seconds = st.lists(seconds, min_size=1, max_size=8)


def test_no_values_have_no_figures():
    assert figures.figures([]) is None


def test_the_papers_downtimes():
    found = figures.figures([0.503, 0.530, 0.490, 0.514, 0.533])
    assert found["count"] == 5
    assert found["mean"] == pytest.approx(0.514)
    assert found["median"] == 0.514
    assert (found["min"], found["max"]) == (0.490, 0.533)
    assert (found["p95"], found["p99"]) == (0.533, 0.533)


def test_percentiles_are_nearest_ranks():
    found = figures.figures([float(value) for value in range(1, 101)])
    assert (found["p95"], found["p99"], found["median"]) == (95, 99, 50.5)
    assert figures.nearest_rank([1, 2, 3, 4], 50) == 2
    with pytest.raises(ValueError, match="no values"):
        figures.nearest_rank([], 50)


def test_one_value_has_no_interval():
    found = figures.figures([0.5])
    assert (found["mean_interval"], found["median_interval"]) == (None, None)
    assert found["p99"] == 0.5


def test_interval_of_two_values():
    # The mean of two resampled values is 0, 1 or 2 with probabilities 1/4, 1/2 and 1/4.
    assert figures.figures([0, 2])["mean_interval"] == (0, 2)


def test_interval_of_a_rare_value():
    # 1 of 100 is in 63 % of all resamples, and in more than 3 places in less than 2 % of them.
    found = figures.figures([0.0] * 99 + [1.0])
    assert found["mean_interval"] == (0.0, 0.03)
    assert found["median_interval"] == (0.0, 0.0)


def test_interval_of_the_mean_is_about_two_standard_errors():
    values = [index / 100 for index in range(100)]
    low, high = figures.figures(values)["mean_interval"]
    # Standard deviation 0.289 and 100 values: 1.96 * 0.0289 = 0.057 to each side of 0.495.
    assert low == pytest.approx(0.438, abs=0.004)
    assert high == pytest.approx(0.552, abs=0.004)


@given(seconds, st.integers(2, 6))
def test_constant_values_are_their_own_figures(value, count):
    found = figures.figures([value] * count)
    for name in ("median", "p95", "p99", "min", "max"):
        assert found[name] == value
    assert found["median_interval"] == (value, value)
    assert found["mean_interval"] == pytest.approx((value, value))


@given(some_seconds, st.randoms())
def test_figures_do_not_depend_on_the_order(values, random):
    shuffled = random.sample(values, len(values))
    assert figures.figures(values) == figures.figures(shuffled)


@given(some_seconds)
def test_figures_are_ordered(values):
    found = figures.figures(values)
    assert {found["p95"], found["p99"], found["min"], found["max"]} <= set(values)
    assert found["min"] <= found["median"] <= found["max"]
    assert found["median"] <= found["p95"] <= found["p99"] <= found["max"]
    for low, high in filter(None, (found["mean_interval"], found["median_interval"])):
        assert found["min"] - 1e-9 <= low <= high <= found["max"] + 1e-9


def test_a_second_run_gives_the_same_interval():
    values = tuple(float(value * value) for value in range(12))
    first = figures.intervals(values)
    figures.intervals.cache_clear()
    assert figures.intervals(values) == first


def test_gaps():
    assert figures.gaps([1.0, 1.5, 4.0]) == [0.5, 2.5]
    assert figures.gaps([1.0]) == []


def test_a_short_curve_has_all_values():
    assert figures.curve([3.0, 1.0, 2.0]) == [(1.0, 1), (2.0, 2), (3.0, 3)]


@given(st.lists(seconds, max_size=80), st.integers(1, 10), st.integers(1, 10))
def test_a_curve_keeps_ranks_and_tail(values, tail, body):
    points = figures.curve(values, tail, body)
    ordered = sorted(values)
    assert all(ordered[rank - 1] == value for value, rank in points)
    ranks = [rank for _, rank in points]
    assert ranks == sorted(set(ranks))
    assert ranks[-tail:] == list(range(1, len(values) + 1))[-tail:]
    assert len(points) <= tail + body
