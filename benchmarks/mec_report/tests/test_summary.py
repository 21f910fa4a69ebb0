# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every number of summary.json, worked out a second time."""

from __future__ import annotations

import json

import pytest
from mec_report import paper
from mec_report.folder import read
from mec_report.summary import merged, summary
from mec_report.tests import recomputed, synthetic


def same(found, expected, place="summary"):
    """Compare values of any depth; times to a nanosecond."""
    if isinstance(expected, dict):
        assert set(found) == set(expected), place
        for key, value in expected.items():
            same(found[key], value, f"{place}.{key}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), place
        for index, value in enumerate(expected):
            same(found[index], value, f"{place}[{index}]")
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, abs=2e-9, rel=1e-9), place
    else:
        assert found == expected, place


def test_every_number(full, found):
    again = recomputed.Recomputed(full)
    numbers = zip(recomputed.PAPER_S, paper.TABLE_4, strict=True)
    expected = {
        "run": "evaluate-1",
        "series_from": "experiments",
        "paper": {
            "mean_downtime_s": 0.514,
            "repetitions": [
                {
                    "number": number,
                    "downtime_s": downtime_s,
                    "source_instance": {"name": row[1].name, "address": row[1].address},
                    "target_instance": {"name": row[2].name, "address": row[2].address},
                }
                for number, (downtime_s, row) in enumerate(numbers, start=1)
            ],
        },
        "series": [again.series(name) for name in ("proactive", "reactive", "reactive-paper")],
        "phase_order": [
            *("container_commit", "push", "pull", "image_sync", "volume_sync", "prepare", "hold"),
            *("drain", "run", "last_delta", "activate", "switch", "settle"),
        ],
        "replay": {
            "policies": [again.policy(name) for name in ("proactive", "reactive", "adaptive")],
            "unnamed_preparations": {"count": 1, "bytes": 1234},
        },
        "relocations": again.relocations(),
        "environment": synthetic.ENVIRONMENT,
        "method": {"resamples": 10_000, "confidence_percent": 95.0, "seed": 514},
        "files": again.files(),
        "notes": [
            "1 relocation is in no series and counted nowhere.",
            "1 relocation is without samples of the UE's probe.",
        ],
    }
    # The order in which two series with phases of their own are merged is not a number.
    expected["phase_order"], order = sorted(expected["phase_order"]), found["phase_order"]
    same({**found, "phase_order": sorted(order)}, expected)


def test_it_is_json(found):
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_aborted_relocations_are_counted_and_not_mixed_in(found):
    reactive = found["series"][1]
    assert reactive["outcomes"] == {"count": 4, "completed": 3, "aborted": 1, "uncertain": 0}
    assert reactive["figures"]["downtime_s"]["count"] == 3
    assert reactive["repetitions"][2]["outcome"] == "aborted"


def test_failed_requests_of_aborted_relocations_count(tmp_path):
    builder = synthetic.Builder(tmp_path)
    builder.relocate("proactive")
    builder.relocate("proactive", outcome="aborted", failed=2)
    series = summary(read(builder.write()))["series"][0]
    assert series["requests"]["failed"] == 2
    assert series["figures"]["failed_requests"]["max"] == 0


def test_without_experiments_the_scenario_is_the_series(tmp_path):
    builder = synthetic.Builder(tmp_path)
    for name in ("reactive", "proactive", "proactive"):
        builder.relocate(name)
    found = summary(read(builder.write()))
    assert found["series_from"] == "scenario"
    assert [each["name"] for each in found["series"]] == ["proactive", "reactive"]
    assert [each["number"] for each in found["series"][0]["repetitions"]] == [1, 2]
    assert found["replay"] is found["environment"] is None
    assert found["series"][0]["session_kept"] == {"kept": 0, "of": 0}
    assert found["series"][1]["figures"]["downtime_s"]["mean_interval"] is None


def test_without_experiments_policies_are_the_series_of_a_replay(tmp_path):
    builder = synthetic.Builder(tmp_path)
    first, second = builder.relocate("reactive"), builder.relocate("proactive")
    builder.relocate("proactive")
    builder.event("adaptive", 1, [first], announced=False, came=True)
    builder.event("a policy of mine", 1, [second], announced=False, came=True)
    found = summary(read(builder.write()))
    assert found["series_from"] == "replay"
    assert [each["name"] for each in found["series"]] == ["adaptive", "a-policy-of-mine"]
    assert [each["series"] for each in found["relocations"]] == [
        "Adaptive",
        "A policy of mine",
        None,
    ]


def test_apps_are_kept_apart(tmp_path):
    builder = synthetic.Builder(tmp_path)
    builder.relocate("proactive")
    builder.relocate("proactive", app="radicale")
    found = summary(read(builder.write()))
    assert [each["title"] for each in found["series"]] == [
        "Pro-active, radicale",
        "Pro-active, videoapp",
    ]
    assert [each["outcomes"]["count"] for each in found["series"]] == [1, 1]


def test_platforms_are_kept_apart(tmp_path):
    builder = synthetic.Builder(tmp_path)
    builder.relocate("proactive")
    builder.relocate("proactive", platform="kubernetes")
    found = summary(read(builder.write()))
    assert [each["title"] for each in found["series"]] == [
        "Pro-active, docker",
        "Pro-active, kubernetes",
    ]
    assert [each["name"] for each in found["series"]] == [
        "proactive-docker",
        "proactive-kubernetes",
    ]


def test_a_series_without_a_completed_relocation(tmp_path):
    builder = synthetic.Builder(tmp_path)
    builder.relocate("proactive", outcome="uncertain", probed=False)
    series = summary(read(builder.write()))["series"][0]
    assert series["outcomes"]["uncertain"] == 1
    assert set(series["figures"].values()) == {None}
    assert series["ratio_to_paper"] is series["timeline"] is None
    assert series["phases"] == series["gaps"]["points"] == []


def test_without_hold_there_is_no_critical_section(tmp_path):
    builder = synthetic.Builder(tmp_path)
    builder.relocate("proactive")
    builder.relocations[0]["phases"] = builder.relocations[0]["phases"][:2]
    assert summary(read(builder.write()))["series"][0]["timeline"]["critical"] is None


def test_a_gap_that_the_record_tells_otherwise_is_noted(tmp_path):
    builder = synthetic.Builder(tmp_path)
    builder.relocate("proactive")
    truth_s = builder.relocations[0]["client"]["longest_gap_s"]
    builder.relocations[0]["client"]["longest_gap_s"] = 0.001
    found = summary(read(builder.write()))
    assert found["relocations"][0]["longest_gap_s"] == pytest.approx(truth_s, abs=1e-6)
    assert found["notes"] == ["1 record says another longest gap than the samples."]


def test_records_of_before_there_was_a_verification_or_a_warning_are_read(tmp_path):
    builder = synthetic.Builder(tmp_path)
    for _ in range(3):
        builder.relocate("proactive")
    builder.relocations[0]["verification"] = None
    del builder.relocations[1]["verification"], builder.relocations[1]["warning"]
    found = summary(read(builder.write()))
    assert found["series"][0]["volume_verified"] == {"kept": 1, "of": 1}
    assert [each["verified"] for each in found["relocations"]] == [None, None, True]


def test_preparations_of_an_aborted_relocation_are_wasted(tmp_path):
    builder = synthetic.Builder(tmp_path)
    id_ = builder.relocate("proactive", outcome="aborted")
    builder.prepare(id_, 700)
    builder.event("proactive", 1, [id_], announced=True, came=True)
    policy = summary(read(builder.write()))["replay"]["policies"][0]
    assert policy["wasted"] == {
        "in_vain": {"handoffs": 0, "preparations": 0, "bytes": 0},
        "without_completion": {"preparations": 1, "bytes": 700},
    }
    assert policy["came_without_completion"] == 1
    assert policy["downtime_s"] is None


def test_orders_are_merged():
    assert merged([["a", "c", "d"], ["x", "a", "b", "d"]]) == ["x", "a", "b", "c", "d"]
    assert merged([]) == []
