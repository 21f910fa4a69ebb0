# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is left on the target when its power goes just after the source may have ended."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.mec.relocation.tests.unit.plugins.module_utils.relocation import power_cut

WAYS = ("proactive", "reactive", "paper", "fallback")
INSTANTS_S = ("0", "1", "3", "10", "20")
# Somebody on this machine may sync all of its disks just then.
TRIES = 3

Cuts = list[dict[str, Any]]


def begin(place: Path, way: str, without: str, *instants_s: str) -> subprocess.Popen[str]:
    place.mkdir()
    program = [sys.executable, power_cut.__file__, place, way, without, *instants_s]
    return subprocess.Popen(
        ["unshare", "--mount", "--propagation", "private", *program],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def end(process: subprocess.Popen[str]) -> Cuts:
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    cuts: Cuts = json.loads(output)
    return cuts


@pytest.fixture(scope="module", autouse=True)
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, subprocess.Popen[str]]]:
    """All ways at once, from the beginning: they wait for most of the time."""
    place = tmp_path_factory.mktemp("power")
    runs = {way: begin(place / way, way, "nothing", *INSTANTS_S) for way in WAYS}
    yield runs
    for process in runs.values():
        process.kill()
        process.communicate()


@pytest.mark.parametrize("without", ["sync", "delta"])
def test_what_is_not_synced_is_lost(tmp_path: Path, without: str) -> None:
    for number in range(TRIES):
        [cut] = end(begin(tmp_path / str(number), "proactive", without, "0"))
        if cut["lost"]:
            break
    assert cut["sees_what_is_not_synced"]
    if without == "sync":
        assert len(cut["lost"]) > power_cut.FILES / 2
    else:
        assert cut["rows"] < power_cut.ROWS and "new/file0" in cut["lost"]
    assert cut["state"] == "serving"


@pytest.mark.parametrize("way", ["proactive", "paper"])
def test_a_slow_disk_is_waited_for(tmp_path: Path, way: str) -> None:
    [cut] = end(begin(tmp_path / way, way, "speed", "0"))
    assert (cut["lost"], cut["rows"]) == ([], power_cut.ROWS)


@pytest.mark.parametrize("way", WAYS)
def test_a_power_cut_loses_nothing(runs: dict[str, subprocess.Popen[str]], way: str) -> None:
    cuts = end(runs[way])
    assert len(cuts) == len(INSTANTS_S)
    for cut in cuts:
        assert (cut["lost"], cut["rows"], cut["state"]) == ([], power_cut.ROWS, "serving"), cut
    assert any(cut["sees_what_is_not_synced"] for cut in cuts)
