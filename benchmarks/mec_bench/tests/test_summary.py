# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Figures, targets and tables of runs that never were."""

from __future__ import annotations

from typing import Any

import pytest
from mec_bench import tables
from mec_bench.sample import Sample
from mec_bench.summary import summary
from mec_bench.sweeps import SWEEPS
from mec_bench.tests.synthetic import KNOWN, rounds, sample


def _run() -> list[Sample]:
    return [
        sample("standby-proactive", 0, longest_gap_s=9.0),
        *rounds("standby-proactive", [0.02, 0.03, 0.022], downtime_s=0.015),
        *rounds("script", [1.5, 1.4, 1.6], failed=300, requests=1200, lost=1),
        *rounds("playbook", [3.0, 3.2]),
        sample("playbook", 3, longest_gap_s=None, requests=None, error="unreachable"),
        *rounds("floor", [0.011, 0.012, 0.010]),
    ]


def _schemes(samples: list[Sample]) -> dict[str, dict[str, Any]]:
    (sweep,) = summary(samples, KNOWN)["sweeps"]
    (row,) = sweep["rows"]
    return {scheme["name"]: scheme for scheme in row["schemes"]}


def _target(samples: list[Sample], words: str) -> dict[str, Any]:
    (found,) = [t for t in summary(samples, KNOWN)["targets"] if words in t["text"]]
    return found


def test_round_0_is_in_no_figure():
    assert _schemes(_run())["standby-proactive"]["gaps_s"] == [0.02, 0.03, 0.022]


def test_ratios_against_ours_and_the_floor():
    script = _schemes(_run())["script"]
    assert script["times_ours"]["value"] == pytest.approx(1.5 / 0.022)
    assert script["times_floor"]["value"] == pytest.approx(1.5 / 0.011)


def test_a_round_that_failed_is_counted_and_told():
    found = summary(_run(), KNOWN)
    assert _schemes(_run())["playbook"]["failed_rounds"] == 1
    assert found["samples"]["failed"] == [
        {"sample": "schemes-usual-003-playbook", "error": "unreachable"}
    ]


def test_requests_and_losses_are_summed():
    script = _schemes(_run())["script"]
    assert (script["failed"], script["requests"], script["rounds_with_loss"]) == (900, 3600, 3)


@pytest.mark.parametrize(
    ("words", "value", "met"),
    [
        ("ours, as times the floor", 2.0, True),
        ("the script, as times ours", 1.5 / 0.022, True),
        ("the playbook, as times ours", 3.1 / 0.022, True),
        ("from the message", 1.5, True),
        ("Failed requests", 0, True),
    ],
)
def test_targets_under_the_usual_load(words: str, value: float, met: bool):
    found = _target(_run(), words)
    assert found["found"]["value"] == pytest.approx(value)
    assert found["met"] is met


def test_a_target_that_was_not_measured_is_not_met():
    assert _target(_run(), "podman")["met"] is None


def test_a_target_that_is_missed():
    samples = [*rounds("standby-proactive", [0.05]), *rounds("floor", [0.01])]
    assert _target(samples, "ours, as times the floor")["met"] is False


def test_the_bytes_of_a_return_trip_have_a_constant():
    changed = {row: load.changed_bytes for row, load in SWEEPS["return"].rows.items()}
    samples = [
        sample(
            "standby-proactive",
            sweep="return",
            row=row,
            backbone_bytes=300_000 + round(1.02 * changed_bytes),
        )
        for row, changed_bytes in changed.items()
    ]
    found = _target(samples, "return trip")
    assert found["found"]["value"] == pytest.approx(1.02, abs=1e-4)
    assert found["met"] is True


def test_large_volumes_and_many_apps_against_small_and_one():
    samples = [
        sample("standby-proactive", sweep="volume", row="10-10", longest_gap_s=0.020),
        sample("standby-proactive", sweep="volume", row="100000-1024", longest_gap_s=0.030),
        sample("standby-proactive", sweep="apps", row="1", downtime_s=0.02),
        sample("standby-proactive", sweep="apps", row="50", downtime_s=0.03),
    ]
    assert _target(samples, "Longest gap at 100,000 files")["met"] is False
    assert _target(samples, "50 apps")["met"] is True


def test_rows_are_in_the_order_of_the_sweep():
    samples = [sample("script", sweep="files", row=row) for row in ("1000", "10", "100000")]
    (sweep,) = summary(samples, KNOWN)["sweeps"]
    assert [row["name"] for row in sweep["rows"]] == ["10", "1000", "100000"]


def test_tables_name_every_scheme_that_was_measured():
    found = summary(_run(), KNOWN)
    (sweep,) = found["sweeps"]
    (row,) = sweep["rows"]
    (group,) = tables.ratios(sweep, row).groups
    assert [cells[0] for cells in group.rows] == [
        "ours, standby, pro-active",
        "script",
        "playbook of existing modules",
        "floor",
    ]
    assert group.rows[0][2] == "22.0 ms"
    assert len({len(cells) for cells in group.rows}) == 1
