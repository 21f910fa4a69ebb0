# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ratios of medians, against values worked out by hand and against draws with a known truth."""

from __future__ import annotations

import random

import pytest
from mec_bench.ratios import ratio


def test_ratio_of_medians():
    found = ratio([2.0, 4.0, 100.0], [1.0, 2.0, 3.0])
    assert found is not None
    assert found["value"] == 2.0


def test_interval_holds_the_ratio_and_is_the_same_again():
    draw = random.Random(1)  # noqa: S311, nothing is kept secret with it
    values = [draw.gauss(10, 1) for _ in range(20)]
    base = [draw.gauss(2, 0.2) for _ in range(20)]
    found = ratio(values, base)
    assert found is not None
    assert found["interval"] is not None
    low, high = found["interval"]
    assert 4 < low < found["value"] < high < 6
    assert ratio(values, base) == found


def test_interval_of_equal_values_is_a_point():
    assert ratio([3.0] * 5, [1.5] * 5) == {"value": 2.0, "interval": (2.0, 2.0)}


def test_interval_covers_the_truth_about_as_often_as_it_says():
    draw = random.Random(2)  # noqa: S311, nothing is kept secret with it
    covered = 0
    for _ in range(40):
        found = ratio(
            [draw.lognormvariate(1, 0.3) for _ in range(15)],
            [draw.lognormvariate(0, 0.3) for _ in range(15)],
        )
        assert found is not None
        assert found["interval"] is not None
        low, high = found["interval"]
        covered += low <= 2.718281828 <= high
    assert covered >= 34


@pytest.mark.parametrize(("values", "base"), [([], [1.0]), ([1.0], []), ([1.0], [0.0])])
def test_no_ratio_without_values(values: list[float], base: list[float]):
    assert ratio(values, base) is None


def test_one_value_has_no_interval():
    assert ratio([1.0], [2.0, 2.0]) == {"value": 0.5, "interval": None}
