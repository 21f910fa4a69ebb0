# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The file of samples, and what is read from the probe's answers."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.mec.relocation.plugins.module_utils.probe.probe import Sample as Request
from mec_bench.measure import switch_of
from mec_bench.sample import SampleFile, read_samples
from mec_bench.scheme import SchemeError
from mec_bench.tests.synthetic import sample


def test_samples_are_read_back_as_they_were(tmp_path: Path):
    samples = [
        sample("script", 3, longest_gap_s=1.234567),
        sample("floor", 1, downtime_s=0.003, written=None, lost=None),
        sample("playbook", 0, error='status 2\n"unreachable", it says'),
    ]
    file = SampleFile(tmp_path / "samples.csv")
    for each in samples:
        file.append(each)
    with file.path.open(encoding="utf-8", newline="") as lines:
        assert list(read_samples(lines)) == samples


def test_a_sample_is_in_the_file_at_once(tmp_path: Path):
    file = SampleFile(tmp_path / "samples.csv")
    file.append(sample("script"))
    assert len(file.path.read_text().splitlines()) == 2


def _answers(*instances: str) -> list[Request]:
    return [
        Request(seq, seq * 0.005, 0.001, 200, instance=instance)
        for seq, instance in enumerate(instances)
    ]


def test_the_new_place_serves_from_its_first_answer():
    assert switch_of(_answers("a", "a", "b", "a", "b")) == pytest.approx((0.011, 0.005))


def test_the_gap_at_the_switch_is_not_the_longest_one():
    requests = _answers("a", "a", "a", "a", "a", "b")
    assert switch_of([*requests[:1], *requests[4:]]) == pytest.approx((0.026, 0.005))


def test_an_instance_that_keeps_its_name_serves_after_the_longest_gap():
    requests = _answers("a", "a", "a", "a")
    assert switch_of([*requests[:2], *requests[3:]]) == pytest.approx((0.016, 0.010))


def test_nothing_serves_without_answers():
    with pytest.raises(SchemeError):
        switch_of([Request(0, 0.0, 0.1, 503), Request(1, 0.1, 0.1, None, error="timeout")])
