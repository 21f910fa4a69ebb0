# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The platform `kubernetes`: an instance is the pod of a Deployment that is pinned to this host.

The chart of an app has a Deployment for each ME host, with no replicas. To create an instance is to
give this host's the image, to start it is to scale it to one. What keeps an app from running here
has two sides. At the API, a label of the node, which the Deployment selects: without it nothing is
scheduled. On the host, the gate (`mount_gate`), through which alone a pod finds the PV: it holds
where the API cannot be asked, and after a restart of the host.

Within the hold nothing is asked of the API: freezing and thawing are the kernel's.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..ground.app import ACTIVATION_VARIABLE, App
from ..ground.config import HostConfig
from ..ground.errors import RelocationError
from .cluster import Cluster, Object
from .engine import DockerEngine
from .freezer import Freezer, FrozenByKernel
from .instance import Instance, last_words, new_activation_token
from .mount_gate import Gate

# Names that the chart gives (charts/app).
APP_LABEL = "app.kubernetes.io/name"
HOST_LABEL = "relocation.mec/me-host"
CONTAINER = "app"
_ALLOWED = "relocation.mec/"
_IMAGE = "relocation.mec/image-id"
_BASE = "relocation.mec/base-image-id"

_WATCH_S = 60.0
_START_S = 60.0
_END_S = 30.0
_CONTROLLERS_S = 2.0
_POLL_S = 0.02


class KubernetesPlatform(FrozenByKernel):
    """Instances as pods of this node."""

    def __init__(self, config: HostConfig) -> None:
        super().__init__()
        if config.cluster is None:
            raise RelocationError(
                f"{config.name} does not know how to reach its cluster.",
                "Apply the roles cluster_access and me_host to it.",
            )
        self.config = config
        self._access = config.cluster
        self._connected: Cluster | None = None
        self._asked: DockerEngine | None = None

    @property
    def cluster(self) -> Cluster:
        """The API; what needs it not goes on without it."""
        if self._connected is None:
            self._connected = Cluster(self._access)
        return self._connected

    @property
    def _engine(self) -> DockerEngine:
        if self._asked is None:
            self._asked = DockerEngine()
        return self._asked

    def find(self, app: str) -> Instance | None:
        deployment = self.cluster.find("Deployment", self.name_of(app))
        if deployment is None or _IMAGE not in _annotations(deployment):
            return None
        return self._instance(deployment, self._pods(app))

    def image_id(self, image: str) -> str | None:
        return self._engine.image_id(image)

    def create(self, app: App, image_id: str, base_image_id: str, *, first: bool) -> Instance:
        self._require_deployment(app.name)
        if first and app.volume:
            folder = self.config.pv_root / app.name
            folder.mkdir(mode=0o755, parents=True, exist_ok=True)
            self._engine.fill(app.name, folder, base_image_id, app.volume)
        marks = {_IMAGE: image_id, _BASE: base_image_id}
        environment = [{"name": n, "value": v} for n, v in new_activation_token().items()]
        container = {
            "name": CONTAINER,
            "image": self._engine.image_name(image_id),
            "env": environment,
        }
        deployment = self.cluster.patch(
            "Deployment",
            self.name_of(app.name),
            {
                "metadata": {"annotations": marks},
                "spec": {
                    "replicas": 0,
                    "template": {
                        "metadata": {"annotations": marks},
                        "spec": {"containers": [container]},
                    },
                },
            },
        )
        return self._instance(deployment, [])

    def start(self, app: str) -> None:
        self._allow(app)
        self._scale(app, 1)
        pods = self.cluster.wait("Pod", self._labels(app), _one_runs, time.monotonic() + _START_S)
        if not _one_runs(pods):
            raise RelocationError(
                f"The pod of {app!r} on {self.config.name} does not run after {_START_S:.0f} s: "
                f"{_why(pods)}.",
                f"kubectl --namespace {self._access.namespace} describe pods tells more.",
            )

    def command(self, app: str, argv: tuple[str, ...]) -> None:
        pod = self._existing(app)
        status, printed = self.cluster.execute(pod["metadata"]["name"], CONTAINER, argv)
        if status != 0:
            raise RelocationError(
                f"{argv[0]} in the instance of {app!r} ended with {status}: {printed}"
            )

    def signal(self, app: str, name: str) -> None:
        freezer = self._freezer(app)
        container = _container_id(self._existing(app))
        for pid in freezer.pids():
            if _is_first(pid, container):
                os.kill(pid, signal.Signals[name])
                return
        raise RelocationError(f"The instance of {app!r} has no first process to be signalled.")

    def kill(self, app: str) -> None:
        """End the instance; asks nothing of the API, which may be what has failed.

        The kubelet may start its container again, but not with the PV. What holds the pod together
        is left to the kubelet, which takes the pod's network down with it.
        """
        gate = self._gate(app)
        gate.close()
        known = self._freezers.pop(app, None)
        pods = gate.pods()
        for uid in pods:
            gate.revoke(uid)
            if freezer := Freezer.of_pod(uid):
                freezer.kill(chosen=gate.seen_by)
        if known is not None and not pods:
            # An app without a volume.
            known.kill()

    def set_restarts(self, app: str, restarts: bool) -> None:
        if restarts:
            self._allow(app)
        else:
            self._forbid(app)

    def remove(self, app: str) -> None:
        self.kill(app)
        deployment = self.cluster.find("Deployment", self.name_of(app))
        if deployment is None:
            return
        marks = _annotations(deployment)
        pods = self._pods(app)
        if _IMAGE not in marks and not pods:
            return
        self._forbid(app)
        self._scale(app, 0, **{_IMAGE: None, _BASE: None})
        # A pod that goes before its controllers know that none is wanted would be made anew.
        deadline = time.monotonic() + _CONTROLLERS_S
        self.cluster.wait("Pod", self._labels(app), _all_go, deadline)
        for pod in pods:
            self.cluster.delete_pod(pod["metadata"]["name"])
        self._wait_for_the_end(app, [pod["metadata"]["uid"] for pod in pods])
        if marks.get(_IMAGE) != marks.get(_BASE):
            self._engine.remove_image(marks[_IMAGE])

    def storage(self) -> list[Path]:
        return self._engine.storage

    def post_mortem(self, app: str) -> str | None:
        pod = _the_one({pod["metadata"]["name"]: pod for pod in self._pods(app)})
        status = _status(pod) if pod else {}
        now = status.get("state") or {}
        ended = now.get("terminated") or (status.get("lastState") or {}).get("terminated")
        if ended is None or "running" in now:
            return None
        log = self._engine.log(ended.get("containerID", "").rpartition("//")[2])
        return last_words(ended["exitCode"], log)

    def changes(self) -> Iterator[str]:
        labels = {HOST_LABEL: self.config.name}
        for event, pod in self.cluster.watch("Pod", labels, time.monotonic() + _WATCH_S):
            if event != "LISTED":
                yield pod["metadata"]["labels"][APP_LABEL]

    def layer_folders(self, app: str) -> list[str] | None:
        return self._engine.layer_folders(_container_id(self._existing(app)))

    # -- names ------------------------------------------------------------------------------

    def name_of(self, app: str) -> str:
        """What the Deployment of an app on this host, its PV and its claim are called."""
        return f"{app}-{self.config.name}"

    def _labels(self, app: str) -> dict[str, str]:
        return {APP_LABEL: app, HOST_LABEL: self.config.name}

    def _gate(self, app: str) -> Gate:
        return Gate(app, self.config.pv_root / app, self.name_of(app))

    # -- may it run here? -------------------------------------------------------------------

    def _allow(self, app: str) -> None:
        self._gate(app).unlock()
        self._label(app, "allowed")

    def _forbid(self, app: str) -> None:
        """Nothing new of the app runs here; what runs goes on."""
        self._gate(app).close()
        self._label(app, None)

    def _label(self, app: str, value: str | None) -> None:
        node = self.cluster.find("Node", self.config.name)
        if node is None:
            raise RelocationError(
                f"{self.config.name} is no node of the cluster.", "Apply the role worker to it."
            )
        label = f"{_ALLOWED}{app}"
        if node["metadata"]["labels"].get(label) != value:
            self.cluster.patch("Node", self.config.name, {"metadata": {"labels": {label: value}}})

    # -- pods -------------------------------------------------------------------------------

    def _require_deployment(self, app: str) -> None:
        if self.cluster.find("Deployment", self.name_of(app)) is None:
            raise RelocationError(
                f"The cluster has no Deployment {self.name_of(app)} in namespace "
                f"{self._access.namespace}.",
                "Install the app's chart (the role app does).",
            )

    def _pods(self, app: str) -> list[dict[str, Any]]:
        return self.cluster.select("Pod", self._labels(app))

    def _existing(self, app: str) -> Mapping[str, Any]:
        pods = {pod["metadata"]["name"]: pod for pod in self._pods(app)}
        found = _the_one(pods)
        if found is None:
            raise RelocationError(f"App {app!r} has no instance on {self.config.name}.")
        return found

    def _instance(self, deployment: Object, pods: list[dict[str, Any]]) -> Instance:
        marks = _annotations(deployment)
        pod = _the_one({pod["metadata"]["name"]: pod for pod in pods})
        return Instance(
            name=deployment["metadata"]["name"] if pod is None else pod["metadata"]["name"],
            container="" if pod is None else _container_id(pod),
            address="" if pod is None else pod["status"].get("podIP", ""),
            image_id=marks[_IMAGE],
            base_image_id=marks[_BASE],
            running=pod is not None and _runs(pod),
            activation_token=_activation_token(deployment),
        )

    def _scale(self, app: str, replicas: int, **marks: str | None) -> None:
        self.cluster.patch(
            "Deployment",
            self.name_of(app),
            {"metadata": {"annotations": marks}, "spec": {"replicas": replicas}},
        )

    def _wait_for_the_end(self, app: str, uids: list[str]) -> None:
        """Wait until neither the API nor this host has anything left of the pods."""
        deadline = time.monotonic() + _END_S
        left = self.cluster.wait("Pod", self._labels(app), lambda pods: not pods, deadline)
        while (processes := any(map(_processes, uids))) and time.monotonic() < deadline:
            time.sleep(_POLL_S)
        if left or processes:
            raise RelocationError(
                f"The pod of {app!r} on {self.config.name} has not ended after {_END_S:.0f} s.",
                f"Look at the kubelet's log on {self.config.name}.",
            )

    def _find_freezer(self, app: str) -> Freezer | None:
        return Freezer.of_pod(self._existing(app)["metadata"]["uid"])


def _all_go(pods: Mapping[str, Object]) -> bool:
    return all("deletionTimestamp" in pod["metadata"] for pod in pods.values())


def _processes(uid: str) -> list[int]:
    freezer = Freezer.of_pod(uid)
    return freezer.pids() if freezer else []


def _annotations(found: Object) -> dict[str, str]:
    return found["metadata"].get("annotations") or {}


def _activation_token(deployment: Object) -> str:
    """The token in the template of a Deployment's pods, which is made anew with each instance."""
    containers = deployment["spec"]["template"]["spec"]["containers"]
    environment = next(c.get("env") or () for c in containers if c["name"] == CONTAINER)
    return next((e["value"] for e in environment if e["name"] == ACTIVATION_VARIABLE), "")


def _the_one(pods: Mapping[str, Object]) -> Object | None:
    """The pod that is not on its way out; the newest, where a controller has made several."""
    staying = [
        pod
        for pod in pods.values()
        if "deletionTimestamp" not in pod["metadata"]
        and pod["status"].get("phase") not in ("Failed", "Succeeded")
    ]
    return max(staying, key=lambda pod: pod["metadata"]["creationTimestamp"], default=None)


def _status(pod: Object) -> dict[str, Any]:
    """What the kubelet says of the app's container."""
    found = pod["status"].get("containerStatuses") or []
    return next((status for status in found if status["name"] == CONTAINER), {})


def _runs(pod: Object) -> bool:
    return bool(pod["status"].get("podIP")) and "running" in (_status(pod).get("state") or {})


def _one_runs(pods: Mapping[str, Object]) -> bool:
    pod = _the_one(pods)
    return pod is not None and _runs(pod)


def _container_id(pod: Object) -> str:
    return str(_status(pod).get("containerID") or "").rpartition("//")[2]


def _why(pods: Mapping[str, Object]) -> str:
    """What keeps a pod from running, as the cluster tells it."""
    pod = _the_one(pods)
    if pod is None:
        return "there is none"
    waiting = (_status(pod).get("state") or {}).get("waiting")
    if waiting and waiting.get("reason") != "ContainerCreating":
        return f"{waiting.get('reason')}: {waiting.get('message', 'no message')}"
    for condition in pod["status"].get("conditions") or []:
        if condition["status"] == "False" and condition.get("message"):
            return str(condition["message"]).rstrip(".")
    return f"it is {pod['status'].get('phase')}"


def _is_first(pid: int, container: str) -> bool:
    """Whether a process is the first one of a container."""
    folder = Path(f"/proc/{pid}")
    try:
        cgroup, status = (folder / "cgroup").read_text(), (folder / "status").read_text()
    except FileNotFoundError:
        return False
    numbers = next(line for line in status.splitlines() if line.startswith("NSpid:")).split()
    return container in cgroup and numbers[-1] == "1"
