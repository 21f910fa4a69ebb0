# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which of an app's pods is its instance, and what is said of one that does not run.

All else is tested on the testbed, with a cluster.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.mec.relocation.plugins.module_utils.ground.config import ClusterAccess
from ansible_collections.mec.relocation.plugins.module_utils.platform import kubernetes as platform
from ansible_collections.mec.relocation.tests.unit.plugins.module_utils.hosts import host_config
from hypothesis import given
from hypothesis import strategies as st

WAITING = {"waiting": {"reason": "ErrImagePull", "message": "no such image"}}
CREATING = {"waiting": {"reason": "ContainerCreating"}}
RUNNING = {"running": {"startedAt": "2026-11-25T08:00:00Z"}}


def pod(
    name: str = "videoapp-worker1-1",
    *,
    phase: str = "Running",
    state: dict[str, Any] | None = None,
    last: dict[str, Any] | None = None,
    second: int = 0,
    leaving: bool = False,
    address: str = "10.244.1.7",
    conditions: tuple[dict[str, str], ...] = (),
) -> dict[str, Any]:
    """A pod as the API shows it."""
    statuses = [
        {"name": "sidecar", "state": WAITING, "containerID": "docker://0"},
        {
            "name": "app",
            "state": state or RUNNING,
            "lastState": last or {},
            "containerID": "docker://1f",
        },
    ]
    metadata = {"name": name, "creationTimestamp": f"2026-11-25T08:00:{second:02}Z"}
    if leaving:
        metadata["deletionTimestamp"] = "2026-11-25T08:01:00Z"
    status = {
        "phase": phase,
        "podIP": address,
        "containerStatuses": statuses,
        "conditions": list(conditions),
    }
    return {"metadata": metadata, "status": status}


def named(*pods: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {found["metadata"]["name"]: found for found in pods}


@given(st.permutations(range(4)))
def test_the_instance_is_the_newest_pod_that_stays(order: list[int]) -> None:
    pods = [
        pod("leaves", second=9, leaving=True),
        pod("failed", second=8, phase="Failed"),
        pod("older", second=1),
        pod("newer", second=2),
    ]
    found = platform._the_one(named(*(pods[number] for number in order)))
    assert found is not None
    assert found["metadata"]["name"] == "newer"


@pytest.mark.parametrize(
    ("pods", "runs"),
    [
        ([pod()], True),
        ([], False),
        ([pod(state=CREATING)], False),
        ([pod(address="")], False),
        ([pod(leaving=True)], False),
    ],
)
def test_an_instance_runs_when_its_container_does(pods: list[dict[str, Any]], runs: bool) -> None:
    assert platform._one_runs(named(*pods)) is runs


ENDED = {"terminated": {"exitCode": 3, "containerID": "docker://0e"}}
BACK_OFF = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}


@pytest.mark.parametrize(
    ("pods", "said"),
    [
        ([], None),
        ([pod()], None),
        ([pod(state=CREATING)], None),
        ([pod(state=ENDED)], "exit code 3; its log ends with: log of 0e"),
        ([pod(state=BACK_OFF, last=ENDED)], "exit code 3; its log ends with: log of 0e"),
        # The kubelet has started it again.
        ([pod(state=RUNNING, last=ENDED)], None),
        ([pod(state=ENDED, leaving=True), pod("newer", second=1)], None),
    ],
)
def test_it_is_said_how_a_container_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pods: list[dict[str, Any]], said: str | None
) -> None:
    access = ClusterAccess(tmp_path / "kubeconfig", namespace="mec")
    config = dataclasses.replace(host_config(tmp_path, "worker1"), cluster=access)
    here = platform.KubernetesPlatform(config)
    monkeypatch.setattr(here, "_pods", lambda _app: pods)
    monkeypatch.setattr(here, "_asked", SimpleNamespace(log=lambda found: f"log of {found}\n"))
    assert here.post_mortem("videoapp") == said


def test_a_container_is_known_without_its_runtime() -> None:
    assert platform._container_id(pod()) == "1f"
    assert platform._container_id({"status": {}}) == ""


@pytest.mark.parametrize(
    ("environment", "token"),
    [
        (None, ""),
        ([{"name": "USER", "value": "viewer"}], ""),
        ([{"name": "MEC_ACTIVATION_TOKEN", "value": "x"}, {"name": "A", "value": "b"}], "x"),
    ],
)
def test_an_instance_is_activated_with_the_token_of_its_template(
    environment: list[dict[str, str]] | None, token: str
) -> None:
    container = {"name": "app"} if environment is None else {"name": "app", "env": environment}
    containers = [{"name": "sidecar", "env": [{"name": "MEC_ACTIVATION_TOKEN"}]}, container]
    deployment = {
        "metadata": {
            "name": "videoapp-worker1",
            "annotations": {
                "relocation.mec/image-id": "sha256:1",
                "relocation.mec/base-image-id": "sha256:1",
            },
        },
        "spec": {"template": {"spec": {"containers": containers}}},
    }
    assert platform._activation_token(deployment) == token


@pytest.mark.parametrize(
    ("pods", "words"),
    [
        ([], "there is none"),
        ([pod(state=WAITING)], "ErrImagePull: no such image"),
        (
            [
                pod(
                    state=CREATING,
                    phase="Pending",
                    conditions=(
                        {"type": "PodScheduled", "status": "False", "message": "0/3 nodes fit."},
                    ),
                )
            ],
            "0/3 nodes fit",
        ),
        ([pod(state=CREATING, phase="Pending")], "it is Pending"),
    ],
)
def test_what_keeps_a_pod_from_running_is_said(pods: list[dict[str, Any]], words: str) -> None:
    assert platform._why(named(*pods)) == words
