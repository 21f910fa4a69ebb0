# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a cluster does by itself: it brings an app back, and never a second writer."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from .conftest import CELL_OF, ME_HOST_OF, OTHER_CELL, Testbed, soon
from .test_interrupted import draining, serves

pytestmark = [pytest.mark.testbed, pytest.mark.kubernetes]

APP = "videoapp"
NAMESPACE = "mec"
MANIFEST = "kube-apiserver.yaml"
PV = "/srv/mec/pv/videoapp"
# A restart of a host takes its time, and so does a kubelet that tries again.
PATIENCE_S = 180


@pytest.fixture
def source(testbed: Testbed) -> str:
    found = testbed.serving(APP)
    testbed.attach("ue1", CELL_OF[found])
    return found


@pytest.fixture
def target(source: str) -> str:
    return next(host for host in ME_HOST_OF.values() if host != source)


def kubectl(testbed: Testbed, *arguments: str) -> str:
    """What kubectl prints to the administrator."""
    kept = testbed.state / "kubernetes"
    command = [str(kept / "release/bin/kubectl"), f"--kubeconfig={kept / 'admin.conf'}"]
    done = subprocess.run(
        [*command, f"--namespace={NAMESPACE}", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def pods(testbed: Testbed, host: str) -> list[dict[str, Any]]:
    """The app's pods that belong to an ME host."""
    labels = f"app.kubernetes.io/name={APP},relocation.mec/me-host={host}"
    found = json.loads(kubectl(testbed, "get", "pods", "-l", labels, "--output=json"))
    return list(found["items"])


def writers(testbed: Testbed, host: str) -> str:
    """The containers of the app that have its PV on a host, frozen ones among them."""
    return testbed.on(
        host,
        f"for id in $({testbed.instance(APP)}); do "
        "pid=$(docker inspect --format '{{.State.Pid}}' $id); "
        f"grep -l ' {PV} ' /proc/$pid/mountinfo || true; done",
    )


def on_the_pv(testbed: Testbed) -> str:
    """Which database the app works on, where it serves; a restart makes no other."""
    return testbed.on(testbed.serving(APP), f"stat --format %i {PV}/videoapp.db")


def test_a_container_that_is_started_anew_serves_again(testbed: Testbed, source: str) -> None:
    (before,) = pods(testbed, source)
    testbed.on(source, f"docker kill $({testbed.instance(APP)})")
    assert soon(lambda: serves(testbed), within_s=PATIENCE_S)
    (after,) = pods(testbed, source)
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert (
        after["status"]["containerStatuses"][0]["restartCount"]
        == 1 + (before["status"]["containerStatuses"][0]["restartCount"])
    )


def test_a_pod_that_is_deleted_comes_back_and_serves(testbed: Testbed, source: str) -> None:
    (before,) = pods(testbed, source)
    kubectl(testbed, "delete", "pod", before["metadata"]["name"], "--wait=true")
    assert soon(lambda: serves(testbed), within_s=PATIENCE_S)
    assert testbed.where(APP)[source] == "serving"


def test_a_host_that_restarts_serves_again(testbed: Testbed, source: str) -> None:
    before = on_the_pv(testbed)
    testbed.engine("restart", f"mec-{source}")
    testbed.wait_for_ssh(source)
    assert soon(lambda: serves(testbed), within_s=PATIENCE_S)
    assert on_the_pv(testbed) == before


def test_nothing_starts_a_writer_on_the_source(testbed: Testbed, source: str, target: str) -> None:
    testbed.handoff(CELL_OF[target])
    assert testbed.where(APP)[target] == "serving"
    deployment = f"deployment/{APP}-{source}"
    try:
        # A controller that knows nothing of the relocation: no node may run it.
        kubectl(testbed, "scale", deployment, "--replicas=1")
        assert soon(lambda: len(pods(testbed, source)) == 1)
        assert not soon(lambda: bool(writers(testbed, source)), within_s=5)
        # Somebody who lets the node run it: its kubelet does not find the PV.
        kubectl(testbed, "label", "node", source, f"relocation.mec/{APP}=allowed")
        assert soon(lambda: pods(testbed, source)[0]["spec"].get("nodeName") == source, within_s=60)
        assert not soon(lambda: bool(writers(testbed, source)), within_s=10)
        assert soon(
            lambda: f"/run/mec-relocation/pv/{APP}" in kubectl(testbed, "get", "events"),
            within_s=60,
        )
        # Not after a restart of the host, either.
        testbed.engine("restart", f"mec-{source}")
        testbed.wait_for_ssh(source)
        assert soon(
            lambda: testbed.on(source, "systemctl is-active kubelet || true").strip() == "active",
            within_s=PATIENCE_S,
        )
        assert not soon(lambda: bool(writers(testbed, source)), within_s=20)
        assert serves(testbed)
    finally:
        kubectl(testbed, "scale", deployment, "--replicas=0")
        kubectl(testbed, "label", "node", source, f"relocation.mec/{APP}-")


@contextlib.contextmanager
def stopped(testbed: Testbed, host: str, unit: str) -> Iterator[None]:
    testbed.on(host, f"systemctl kill --signal=KILL {unit} && systemctl stop {unit}")
    try:
        yield
    finally:
        testbed.on(host, f"systemctl start {unit}")


def controllers(testbed: Testbed) -> list[str]:
    """When those that make and place pods last said that they are at it."""
    leases = ["lease", "kube-controller-manager", "kube-scheduler", "--namespace=kube-system"]
    return kubectl(testbed, "get", *leases, "-o=jsonpath={.items[*].spec.renewTime}").split()


@contextlib.contextmanager
def no_api(testbed: Testbed) -> Iterator[None]:
    """The API server is killed, and does not come back before the end.

    Then the controllers do, too, which have ended with it: no pod is made without them.
    """
    testbed.on("master", f"mv /etc/kubernetes/manifests/{MANIFEST} /etc/kubernetes/")
    try:
        testbed.on("master", "docker kill $(docker ps --quiet --filter name=k8s_kube-apiserver_)")
        yield
    finally:
        testbed.on("master", f"mv /etc/kubernetes/{MANIFEST} /etc/kubernetes/manifests/")
        api = "kubectl --kubeconfig=/etc/kubernetes/admin.conf get --raw=/readyz || true"
        assert soon(lambda: testbed.on("master", api).strip() == "ok", within_s=PATIENCE_S)
        back = testbed.on("master", "date --utc +%FT%TZ").strip()
        assert soon(lambda: min(controllers(testbed)) > back, within_s=PATIENCE_S)


@pytest.mark.parametrize("which", ["source", "target"])
def test_a_cutover_does_not_need_a_kubelet(
    testbed: Testbed, source: str, target: str, which: str
) -> None:
    host = {"source": source, "target": target}[which]
    with contextlib.ExitStack() as stack:
        with draining(testbed, source, target, hold_s=60):
            stack.enter_context(stopped(testbed, host, "kubelet"))
        assert soon(lambda: serves(testbed))
        states = testbed.where(APP)
        assert states[target] == "serving"
        assert states[source] in ("retired", "relocating")
        assert not writers(testbed, source)
    assert soon(lambda: not pods(testbed, source), within_s=PATIENCE_S)
    assert testbed.where(APP) == {source: "retired", target: "serving"}


def test_a_cutover_does_not_need_the_api(testbed: Testbed, source: str, target: str) -> None:
    with contextlib.ExitStack() as stack:
        with draining(testbed, source, target, hold_s=60):
            stack.enter_context(no_api(testbed))
        assert soon(lambda: serves(testbed))
        assert not writers(testbed, source)
        assert writers(testbed, target)
    # The record says what was left, and the app can be relocated again when the API is back.
    record = json.loads(testbed.on(source, "tail -n 1 /var/lib/mec-relocation/records.jsonl"))
    assert record["outcome"] == "completed"
    assert "not tidied up" in record["error"]
    assert testbed.where(APP) == {source: "retired", target: "serving"}
    assert soon(lambda: not pods(testbed, source), within_s=PATIENCE_S)
    testbed.attach("ue1", CELL_OF[target])
    testbed.handoff(OTHER_CELL[CELL_OF[target]])
    assert testbed.where(APP)[source] == "serving"


def test_no_relocation_begins_without_the_api(testbed: Testbed, source: str, target: str) -> None:
    with no_api(testbed):
        said = testbed.refused("handoff", "-e", "ue=ue1", "-e", f"target_cell={CELL_OF[target]}")
        assert "Check that the control plane is up" in said
        assert serves(testbed)
    assert soon(lambda: testbed.where(APP)[source] == "serving", within_s=PATIENCE_S)


def test_a_target_that_is_lost_leaves_the_source_serving(
    testbed: Testbed, source: str, target: str
) -> None:
    try:
        with draining(testbed, source, target, hold_s=60):
            testbed.engine("kill", f"mec-{target}")
        assert soon(lambda: serves(testbed), within_s=PATIENCE_S)
        record = json.loads(testbed.on(source, "tail -n 1 /var/lib/mec-relocation/records.jsonl"))
        assert record["outcome"] == "aborted"
    finally:
        testbed.engine("start", f"mec-{target}")
        testbed.wait_for_ssh(target)
    assert serves(testbed)
    assert testbed.where(APP)[source] == "serving"
    assert soon(lambda: testbed.where(APP)[target] == "absent")
    assert not writers(testbed, target)
    testbed.handoff(CELL_OF[target], "-e", "ho_status=cancelled")
