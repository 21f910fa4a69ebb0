# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The benchmark, with one round of a few schemes: every sample is complete and makes sense."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from mec_bench.sample import Sample, read_samples

from .conftest import ME_HOSTS, PROJECT, Testbed

pytestmark = pytest.mark.testbed

SCHEMES = ("standby-proactive", "script", "playbook", "floor")
TIMEOUT_S = 600
# Far above and below what any machine gives: this is no measurement.
LONGEST_S = 60
LEAST_REQUESTS = 50
# For so long the users are watched after a command has ended, and some more.
WATCHED_S = 5


@pytest.fixture(scope="module")
def folder(testbed: Testbed) -> Path:
    """The results of a run."""
    before = set(PROJECT.glob("results/bench-*"))
    cell = testbed.cell("ue1")
    command = [sys.executable, "-m", "mec_bench", "--rounds", "1", "--seed", "7"]
    ended = subprocess.run(
        [*command, "--schemes", *SCHEMES],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert testbed.cell("ue1") == cell
    assert [_leftovers(testbed, host) for host in ME_HOSTS] == [[], []]
    (made,) = set(PROJECT.glob("results/bench-*")) - before
    return made


@pytest.fixture(scope="module")
def samples(folder: Path) -> list[Sample]:
    """All of its samples: there and back again."""
    with (folder / "samples.csv").open(encoding="utf-8", newline="") as lines:
        return list(read_samples(lines))


def test_every_scheme_went_there_and_back(samples):
    assert all(sample.error == "" for sample in samples), [s.error for s in samples]
    for number, source, target in ((0, *ME_HOSTS), (1, *reversed(ME_HOSTS))):
        of_round = [sample for sample in samples if sample.round == number]
        assert sorted(sample.scheme for sample in of_round) == sorted(SCHEMES)
        assert {(sample.source, sample.target) for sample in of_round} == {(source, target)}


def test_every_sample_is_complete_and_makes_sense(samples):
    for sample in samples:
        assert 0.005 <= sample.longest_gap_s < LONGEST_S
        # Ours ends when the users are served; a peer's command may end before that.
        late_s = 1 if sample.scheme == "standby-proactive" else WATCHED_S
        assert 0 < sample.message_s <= sample.served_s <= sample.total_s + late_s < LONGEST_S
        assert sample.failed < sample.requests
        assert sample.requests > LEAST_REQUESTS
        assert sample.written > 0
        assert sample.backbone_bytes > 1000


def test_ours_fails_no_request_and_loses_no_write(samples):
    for sample in samples:
        if sample.scheme == "standby-proactive":
            assert (sample.failed, sample.lost) == (0, 0)


def test_the_raw_samples_give_the_figures_again(folder, samples):
    for sample in samples:
        raw = (folder / f"probe-{sample.name}.csv").read_text().splitlines()
        assert len(raw) - 1 == sample.requests + sample.skipped


def test_the_run_says_what_it_was(folder):
    known = json.loads((folder / "bench.json").read_text())
    assert known["run"] == {"name": folder.name, "rounds": 1, "seed": 7}
    assert known["machine"]["kernel"]
    assert (folder / "report.html").exists()


def _leftovers(testbed: Testbed, host: str) -> list[str]:
    """Containers, volumes, backends and places in the gateway's map that are a benchmark's."""
    return testbed.on(
        host,
        "docker ps --all --format '{{.Names}}' | grep ^bench || true;"
        "ls -d /srv/mec/pv/bench* /etc/haproxy/apps.d/bench* /tmp/mec-bench 2>/dev/null || true;"
        "grep ^bench /var/lib/mec-relocation/gateway/locations.map || true",
    ).splitlines()
