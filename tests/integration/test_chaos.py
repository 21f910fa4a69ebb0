# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Handoffs that a fault meets where one hurts most: nothing is lost, and the app comes back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from mec_chaos.schedule import Fault, Moment, Schedule

from .conftest import PROJECT, READABLE, Testbed

pytestmark = [pytest.mark.testbed, pytest.mark.both]

TIMEOUT_S = 1500
# What changes on a host in a handoff. On the source: its note at the fence (1), its gateway at the
# hold (2) and the switch (3), its note (4). On the target: its note when a copy is brought (1) and
# an instance (2), when it is offered the app (3), its gateway at the hold (4), its note when it is
# asked to serve (5), its gateway at the switch (6).
HOLD, SWITCH = (Moment("source", change) for change in (2, 3))
OFFERED, ASKED = (Moment("target", change) for change in (3, 5))
FAULTS = [
    Fault("library-killed", "source", HOLD),
    Fault("library-killed", "target", ASKED),
    Fault("engine-killed", "target", SWITCH),
    Fault("gateway-killed", "target", SWITCH),
    Fault("cut", "target", HOLD, lasts_s=8.0),
    Fault("power", "source", HOLD, lasts_s=1.0),
    Fault("power", "target", ASKED, lasts_s=1.0),
    Fault("repeated", "controller", OFFERED),
]


def test_what_a_fault_has_met_comes_back_whole(testbed: Testbed, tmp_path: Path) -> None:
    files = []
    for number, fault in enumerate(FAULTS):
        file = tmp_path / f"{number:02d}.json"
        file.write_text(json.dumps(Schedule(number, "proactive", (fault,)).as_json()))
        files.append(str(file))
    run = f"chaos-test-{testbed.platform}-{os.getpid()}"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mec_chaos", "--platform", testbed.platform),
            # Disks and clocks of their own are for runs of hours.
            *("--hosts", "plain", "--run", run, "--schedule", *files),
        ],
        cwd=PROJECT,
        env={**os.environ, **READABLE},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, f"results/{run}\n{done.stdout[-8000:]}{done.stderr[-2000:]}"
    lines = (PROJECT / "results" / run / "chaos.jsonl").read_text().splitlines()
    struck = [blow for line in lines for blow in json.loads(line)["struck"]]
    # Each met its handoff where it was to.
    assert [(blow["kind"], blow["said"]) for blow in struck] == [(f.kind, "") for f in FAULTS]
