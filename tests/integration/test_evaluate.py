# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The experiment: refused where it would do harm, interrupted, gone on with, finished."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .conftest import PROJECT, Testbed

pytestmark = pytest.mark.testbed


@pytest.fixture
def run() -> Iterator[Path]:
    """The folder of a run that is this test's own."""
    folder = PROJECT / "results" / time.strftime("evaluate-test-%Y%m%d-%H%M%S")
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def interrupt_at(task: str, *arguments: str) -> None:
    """Run the playbook, and interrupt it as Ctrl-C does when a task begins."""
    with subprocess.Popen(
        ["ansible-playbook", "playbooks/evaluate.yml", *arguments],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # Whoever runs the tests in the background has it ignored, and so would the playbook.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as playbook:
        seen, begun = [], False
        for line in playbook.stdout or ():
            seen.append(line)
            begun = begun or (line.startswith("TASK") and task in line)
            # Again with each task that begins nevertheless: Python swallows an interrupt in a
            # destructor, now and then.
            if begun and line.startswith("TASK"):
                playbook.send_signal(signal.SIGINT)
        assert playbook.wait() != 0, "".join(seen[-60:])


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"evaluate_purge": False}, "removes their volumes"),
        ({"repetitions": 0}, "at least 1 is needed"),
        ({"evaluate_series": ["fast"]}, "at least one of proactive, reactive, reactive-paper"),
        ({"ue": "ue9"}, "ue9 is no UE of the inventory"),
        ({"evaluate_target_cell": ""}, "A handoff leads from one cell to another"),
        ({"evaluate_target_cell": "cell1"}, "A handoff leads from one cell to another"),
    ],
)
def test_what_cannot_be_is_refused(testbed: Testbed, variables: dict[str, Any], says: str) -> None:
    assert says in testbed.refused("evaluate", "-e", json.dumps(variables))


def test_an_interrupted_experiment_goes_on_and_ends_as_it_began(
    testbed: Testbed, run: Path
) -> None:
    chosen = {"run": run.name, "repetitions": 1, "evaluate_series": ["proactive", "reactive"]}
    arguments = ("-e", json.dumps(chosen))
    # In the middle of the first repetition: the UE has moved, its app has not.
    interrupt_at("handoff : Relocate", *arguments)
    assert lines(run / "experiments.jsonl") == []
    testbed.playbook("evaluate", *arguments)

    experiments = lines(run / "experiments.jsonl")
    assert [line["series"] for line in experiments] == ["proactive", "reactive"]
    records = {record["id"]: record for record in lines(run / "relocations.jsonl")}
    for line in experiments:
        assert line["session_kept"]
        assert line["watch_time_kept"]
        assert not line["watched"]["went_back"]
        assert records[line["handoff"]]["outcome"] == "completed"
        assert (run / f"probe-{line['handoff']}-videoapp.csv").exists()
        assert (run / f"viewer-{line['handoff']}.json").exists()
    assert json.loads((run / "environment.json").read_text())["run"]["finished"]
    assert testbed.cell("ue1") == "cell1"
    assert testbed.where("videoapp") == {"worker1": "serving", "worker2": "absent"}
    assert "is finished" in testbed.refused("evaluate", *arguments)


@pytest.fixture
def taken_port(testbed: Testbed) -> Iterator[None]:
    """Somebody else listens where the target's instance is to listen."""
    instance = testbed.module("worker1", "mec.relocation.app_info")["apps"]["videoapp"]
    port = instance["declaration"]["host_port"]
    server = f"python3 -m http.server --bind worker2.mec.test {port}"
    testbed.on("worker2", f"systemd-run --collect --unit=taken-port {server}")
    yield
    testbed.on("worker2", "systemctl stop taken-port")


@pytest.mark.usefixtures("taken_port")
def test_an_aborted_relocation_is_a_result(testbed: Testbed, run: Path) -> None:
    chosen = {
        "run": run.name,
        "repetitions": 1,
        "evaluate_series": ["proactive"],
        "evaluate_viewer": False,
    }
    testbed.playbook("evaluate", "-e", json.dumps(chosen))
    (line,) = lines(run / "experiments.jsonl")
    (record,) = lines(run / "relocations.jsonl")
    assert line["handoff"] == record["id"]
    assert line["session_kept"] is None
    assert record["outcome"] == "aborted"
    assert testbed.where("videoapp") == {"worker1": "serving", "worker2": "absent"}
