"""The charts: what Helm says of them, and what comes out of them."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

PROJECT = Path(__file__).parents[2]
CHART = PROJECT / "charts" / "app"
RLAPP = PROJECT / "charts" / "rlapp"
VALUES: dict[str, Any] = {
    "app": {
        "name": "notes",
        "image": "notes:1.0",
        "port": 8080,
        "host_port": 20001,
        "volume": "/data",
        "health": "/healthz",
        "env": {"GREETING": 'it says "hello": {}'},
        "secrets": {"PASSWORD": "x: 'y'"},
        "limits": {"cpus": 0.5, "memory": "512m"},
        "capabilities": ["NET_BIND_SERVICE"],
    },
    "meHosts": {"worker1": "10.77.0.11", "worker2": "10.77.0.12"},
    "repository": "repository.mec.test:5000",
}


def helm(*arguments: str, values: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    """Run Helm, as the project installs it, with these values."""
    return subprocess.run(
        ["helm", *arguments, "--values", "-"],
        input=json.dumps(values),
        env={**os.environ, "PATH": f"{PROJECT}/.venv/bin:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )


def rendered(**app: Any) -> dict[str, list[dict[str, Any]]]:
    """What the chart makes of an app, by kind."""
    values = {**VALUES, "app": {**VALUES["app"], **app}}
    done = helm("template", "notes", str(CHART), "--namespace", "mec", values=values)
    assert done.returncode == 0, done.stderr
    kinds: dict[str, list[dict[str, Any]]] = {}
    for document in filter(None, yaml.safe_load_all(done.stdout)):
        kinds.setdefault(document["kind"], []).append(document)
    return kinds


def test_helm_finds_nothing_wrong() -> None:
    done = helm("lint", "--strict", str(CHART), values=VALUES)
    assert done.returncode == 0, done.stdout


def test_each_me_host_has_an_instance_that_does_not_run() -> None:
    kinds = rendered()
    assert {
        deployment["metadata"]["name"]: (
            deployment["spec"]["replicas"],
            deployment["spec"]["strategy"]["type"],
            deployment["spec"]["template"]["spec"]["nodeSelector"],
        )
        for deployment in kinds["Deployment"]
    } == {
        f"notes-{host}": (
            0,
            "Recreate",
            {"kubernetes.io/hostname": host, "relocation.mec/notes": "allowed"},
        )
        for host in VALUES["meHosts"]
    }


def test_a_pv_is_the_gate_on_its_own_host() -> None:
    kinds = rendered()
    for volume, claim in zip(
        kinds["PersistentVolume"], kinds["PersistentVolumeClaim"], strict=True
    ):
        name = volume["metadata"]["name"]
        host = volume["metadata"]["labels"]["relocation.mec/me-host"]
        assert name == f"notes-{host}" == claim["metadata"]["name"] == claim["spec"]["volumeName"]
        assert volume["spec"]["local"]["path"] == "/run/mec-relocation/pv/notes"
        assert volume["spec"]["persistentVolumeReclaimPolicy"] == "Retain"
        (term,) = volume["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"]
        assert term["matchExpressions"][0]["values"] == [host]


def test_the_container_is_what_the_app_declares_and_may_nothing_else() -> None:
    pod = rendered()["Deployment"][0]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["image"] == "repository.mec.test:5000/notes:1.0"
    assert container["ports"] == [
        {"containerPort": 8080, "hostPort": 20001, "hostIP": "10.77.0.11"}
    ]
    assert container["env"] == [{"name": "GREETING", "value": 'it says "hello": {}'}]
    assert container["resources"]["limits"] == {"cpu": 0.5, "memory": "512Mi"}
    assert container["readinessProbe"]["httpGet"] == {"path": "/healthz", "port": 8080}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]},
    }
    assert pod["automountServiceAccountToken"] is False
    assert "livenessProbe" not in container, "a frozen instance must not be killed for it"


def test_secrets_are_in_a_secret_alone() -> None:
    kinds = rendered()
    (secret,) = kinds.pop("Secret")
    assert secret["stringData"] == {"PASSWORD": "x: 'y'"}
    assert "x: 'y'" not in json.dumps(kinds)


def test_an_app_without_state_has_no_pv() -> None:
    kinds = rendered(volume=None, secrets={})
    assert sorted(kinds) == ["Deployment", "Service"]
    assert "volumes" not in kinds["Deployment"][0]["spec"]["template"]["spec"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", "Not_A_Label"),
        ("port", 70000),
        ("volume", "relative"),
        ("limits", {"memory": "much"}),
        ("capabilities", "ALL"),
    ],
)
def test_what_no_app_can_have_is_refused_by_name(key: str, value: object) -> None:
    values = {**VALUES, "app": {**VALUES["app"], key: value}}
    done = helm("template", "notes", str(CHART), values=values)
    assert done.returncode != 0
    assert f"app.{key}" in done.stderr


RLAPP_VALUES: dict[str, Any] = {
    "image": "repository.mec.test:5000/rlapp:1.0",
    "node": "master",
    "args": ["serve", "/etc/rlapp/rlapp.yml"],
    "env": {"ANSIBLE_INVENTORY": "inventories/local,/etc/rlapp/inventory.yml"},
    "folders": [
        {"path": "/etc/rlapp", "writable": False},
        {"path": "/var/lib/rlapp", "writable": True},
    ],
    "version": "1e9",
}


def test_helm_finds_nothing_wrong_with_rlapp() -> None:
    done = helm("lint", "--strict", str(RLAPP), values=RLAPP_VALUES)
    assert done.returncode == 0, done.stdout


def test_rlapp_may_write_its_state_and_nothing_else() -> None:
    done = helm("template", "rlapp", str(RLAPP), values=RLAPP_VALUES)
    assert done.returncode == 0, done.stderr
    (deployment,) = filter(None, yaml.safe_load_all(done.stdout))
    assert deployment["spec"]["strategy"] == {"type": "Recreate"}
    template = deployment["spec"]["template"]
    # A hash is text, also where it looks like a number.
    assert template["metadata"]["annotations"] == {"relocation.mec/version": "1e9"}
    pod = template["spec"]
    assert pod["nodeSelector"] == {"kubernetes.io/hostname": "master"}
    assert pod["automountServiceAccountToken"] is False
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "runAsUser": 10232,
        "runAsGroup": 10232,
        "runAsNonRoot": True,
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }
    writable = {m["mountPath"] for m in container["volumeMounts"] if not m.get("readOnly")}
    assert writable == {"/tmp", "/var/lib/rlapp"}  # noqa: S108 - within the pod
    assert container["readinessProbe"]["httpGet"]["scheme"] == "HTTPS"


@pytest.mark.parametrize(("key", "value"), [("port", 0), ("node", ""), ("args", []), ("user", 0)])
def test_what_rlapp_cannot_have_is_refused_by_name(key: str, value: object) -> None:
    done = helm("template", "rlapp", str(RLAPP), values={**RLAPP_VALUES, key: value})
    assert done.returncode != 0
    assert key in done.stderr
