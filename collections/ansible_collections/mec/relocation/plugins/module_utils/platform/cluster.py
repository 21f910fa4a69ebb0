# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The API of a Kubernetes cluster, as far as an ME host may use it."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ..ground.config import ClusterAccess
from ..ground.errors import RelocationError

try:
    from kubernetes import config as kubernetes_config
    from kubernetes.client import CoreV1Api
    from kubernetes.client.exceptions import ApiException
    from kubernetes.dynamic import DynamicClient
    from kubernetes.stream import stream
    from kubernetes.watch import Watch
    from urllib3.exceptions import HTTPError
except ImportError as error:
    _IMPORT_ERROR: ImportError | None = error
else:
    _IMPORT_ERROR = None

# Which kinds the cluster has, so that not each process has to ask.
_DISCOVERY = "/run/mec-relocation/discovery.json"
_TIMEOUT_S = (3.0, 10.0)
_KINDS = {"Deployment": "apps/v1", "Node": "v1", "Pod": "v1"}

Object = Mapping[str, Any]


class Cluster:
    """Objects of the namespace of the apps, as plain dictionaries."""

    def __init__(self, access: ClusterAccess) -> None:
        if _IMPORT_ERROR is not None:
            raise RelocationError(
                f"The Kubernetes client for Python is missing ({_IMPORT_ERROR}).",
                "Install python3-kubernetes (the role me_host does).",
            )
        self.namespace = access.namespace
        with _errors("Cannot reach the cluster"):
            self._kubeconfig = str(access.kubeconfig)
            client = kubernetes_config.new_client_from_config(self._kubeconfig)
            self._dynamic = DynamicClient(client, cache_file=_DISCOVERY)

    def find(self, kind: str, name: str) -> dict[str, Any] | None:
        """An object by its name, if there is one."""
        try:
            with _errors(f"Cannot read {kind} {name}"):
                answer = self._kind(kind).get(
                    name=name, namespace=self._where(kind), _request_timeout=_TIMEOUT_S
                )
        except NotThere:
            return None
        found: dict[str, Any] = answer.to_dict()
        return found

    def select(self, kind: str, labels: Mapping[str, str]) -> list[dict[str, Any]]:
        """The objects that have all of these labels."""
        with _errors(f"Cannot list {kind}s"):
            answer = self._kind(kind).get(
                namespace=self.namespace,
                label_selector=_selector(labels),
                _request_timeout=_TIMEOUT_S,
            )
        items: list[dict[str, Any]] = answer.to_dict()["items"]
        return items

    def patch(self, kind: str, name: str, change: Mapping[str, Any]) -> dict[str, Any]:
        """Change an object, by a strategic merge patch: None removes, lists merge by name.

        Raises:
            RelocationError: it is not there, or may not be changed.
        """
        with _errors(f"Cannot change {kind} {name}"):
            answer = self._kind(kind).patch(
                name=name,
                namespace=self._where(kind),
                body=change,
                content_type="application/strategic-merge-patch+json",
                _request_timeout=_TIMEOUT_S,
            )
        changed: dict[str, Any] = answer.to_dict()
        return changed

    def delete_pod(self, name: str) -> None:
        """Have the kubelet end a pod without delay, if it is there."""
        with contextlib.suppress(NotThere), _errors(f"Cannot delete Pod {name}"):
            self._kind("Pod").delete(
                name=name,
                namespace=self.namespace,
                body={"gracePeriodSeconds": 0},
                _request_timeout=_TIMEOUT_S,
            )

    def wait(
        self,
        kind: str,
        labels: Mapping[str, str],
        done: Callable[[Mapping[str, Object]], bool],
        deadline: float,
    ) -> Mapping[str, Object]:
        """Watch the objects with these labels until they are as wanted.

        Args:
            done: whether they are, by their names.
            deadline: until when (of `time.monotonic`).

        Returns:
            The objects as they were seen last, whether that is what was wanted or not.
        """
        objects: dict[str, Object] = {}
        for event, found in self.watch(kind, labels, deadline):
            name = found["metadata"]["name"]
            if event == "DELETED":
                objects.pop(name, None)
            elif event != "LISTED":
                objects[name] = found
            if done(objects):
                break
        return objects

    def watch(
        self, kind: str, labels: Mapping[str, str], deadline: float
    ) -> Iterator[tuple[str, Object]]:
        """What there is, as events ``ADDED``, then one ``LISTED``, then what happens to it."""
        resource = self._kind(kind)
        selector = _selector(labels)
        while (left_s := deadline - time.monotonic()) > 0:
            with _errors(f"Cannot watch {kind}s"):
                listed = resource.get(
                    namespace=self.namespace,
                    label_selector=selector,
                    _request_timeout=_TIMEOUT_S,
                ).to_dict()
            for item in listed["items"]:
                yield "ADDED", item
            yield "LISTED", {"metadata": {"name": ""}}
            try:
                yield from self._events(
                    resource, selector, listed["metadata"]["resourceVersion"], left_s
                )
            except TooOld:
                continue
            return

    def _events(
        self, resource: Any, selector: str, version: str, left_s: float
    ) -> Iterator[tuple[str, Object]]:
        with _errors("Cannot watch the cluster"):
            events = Watch().stream(
                resource.get,
                namespace=self.namespace,
                label_selector=selector,
                resource_version=version,
                serialize=False,
                timeout_seconds=max(int(left_s), 1),
                # Somebody who has gone without a word is not waited for.
                _request_timeout=(_TIMEOUT_S[0], left_s + 5),
            )
            for event in events:
                yield event["type"], event["raw_object"]

    def execute(self, pod: str, container: str, argv: tuple[str, ...]) -> tuple[int, str]:
        """Run a command in a container; returns its status, and what it printed."""
        with (
            _errors(f"Cannot run {argv[0]} in {pod}"),
            # A client of its own: `stream` has all requests of a client be WebSockets meanwhile.
            kubernetes_config.new_client_from_config(self._kubeconfig) as client,
        ):
            session = stream(
                CoreV1Api(client).connect_get_namespaced_pod_exec,
                pod,
                self.namespace,
                container=container,
                command=list(argv),
                stdout=True,
                stderr=True,
                stdin=False,
                tty=False,
                _preload_content=False,
            )
            with contextlib.closing(session):
                session.run_forever(timeout=60)
                printed = session.read_all()
                status = session.returncode
        if status is None:
            raise RelocationError(f"{argv[0]} in {pod} did not end within 60 s.")
        return int(status), str(printed).strip()

    def _kind(self, kind: str) -> Any:
        return self._dynamic.resources.get(api_version=_KINDS[kind], kind=kind)

    def _where(self, kind: str) -> str | None:
        return None if kind == "Node" else self.namespace


class NotThere(RelocationError):
    """The cluster has no such object."""


class TooOld(RelocationError):
    """What has happened since is not known to the cluster any more: it is to be listed anew."""


def _selector(labels: Mapping[str, str]) -> str:
    return ",".join(f"{key}={value}" for key, value in labels.items())


@contextlib.contextmanager
def _errors(what: str) -> Iterator[None]:
    """Turn the client's errors into the library's."""
    try:
        yield
    except ApiException as error:
        reason = error.reason
        with contextlib.suppress(ValueError, TypeError, AttributeError):
            reason = json.loads(error.body)["message"]
        kind = {404: NotThere, 410: TooOld}.get(error.status, RelocationError)
        raise kind(f"{what}: the cluster says: {reason}.") from error
    except (HTTPError, OSError, kubernetes_config.ConfigException) as error:
        raise RelocationError(
            f"{what}: {error}.", "Check that the control plane is up and can be reached."
        ) from error
