# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The platform `docker`: one engine on each ME host, no orchestrator."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..ground.app import ACTIVATION_VARIABLE, App
from ..ground.config import HostConfig
from ..ground.errors import RelocationError
from .engine import DockerEngine, errors
from .freezer import Freezer, FrozenByKernel
from .instance import Instance, last_words, new_activation_token

_APP_LABEL = "relocation.mec.app"
_BASE_LABEL = "relocation.mec.base-image"
_NANO = 1_000_000_000
# What the engine is removing, or could not remove whole: it starts none of these any more.
_GOING = ("removing", "dead")
_LOG = {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "2"}}


class DockerPlatform(FrozenByKernel):
    """Instances as containers; an app's PV is bound from its folder below the PV root."""

    def __init__(self, config: HostConfig) -> None:
        super().__init__()
        self.config = config
        self._engine = DockerEngine()
        self._client: Any = self._engine.client

    def find(self, app: str) -> Instance | None:
        container = self._container(app)
        if container is None:
            return None
        state = container.attrs["State"]
        networks = container.attrs["NetworkSettings"]["Networks"]
        return Instance(
            name=container.name,
            container=container.id,
            address=next((net["IPAddress"] for net in networks.values()), ""),
            image_id=container.attrs["Image"],
            base_image_id=container.labels.get(_BASE_LABEL, container.attrs["Image"]),
            running=state["Running"],
            activation_token=_environment(container).get(ACTIVATION_VARIABLE, ""),
        )

    def image_id(self, image: str) -> str | None:
        return self._engine.image_id(image)

    def create(self, app: App, image_id: str, base_image_id: str, *, first: bool) -> Instance:
        with errors(f"Cannot create an instance of {app.name!r}"):
            mounts = []
            if app.volume:
                folder = self.config.pv_root / app.name
                folder.mkdir(mode=0o755, parents=True, exist_ok=True)
                if first:
                    self._engine.fill(app.name, folder, image_id, app.volume)
                mounts.append(self._engine.bind(folder, app.volume))
            name = f"{app.name}-{secrets.token_hex(4)}"
            self._client.containers.create(
                image_id,
                name=name,
                hostname=name,
                labels={_APP_LABEL: app.name, _BASE_LABEL: base_image_id},
                environment={**app.env, **app.secrets, **new_activation_token()},
                ports={f"{app.port}/tcp": (self.config.address, app.host_port)},
                mounts=mounts,
                mem_limit=app.limits.memory,
                nano_cpus=None if app.limits.cpus is None else int(app.limits.cpus * _NANO),
                cap_drop=["ALL"],
                cap_add=list(app.capabilities),
                security_opt=["no-new-privileges"],
                log_config=_LOG,
            )
        instance = self.find(app.name)
        if instance is None:
            raise RelocationError(f"The instance of {app.name!r} vanished after its creation.")
        return instance

    def start(self, app: str) -> None:
        with errors(f"Cannot start the instance of {app!r}"):
            self._engine.start(self._existing(app))

    def command(self, app: str, argv: tuple[str, ...]) -> None:
        with errors(f"Cannot run {argv[0]} in the instance of {app!r}"):
            code, output = self._existing(app).exec_run(list(argv))
        if code != 0:
            text = output.decode(errors="replace").strip()
            raise RelocationError(f"{argv[0]} in the instance of {app!r} ended with {code}: {text}")

    def signal(self, app: str, name: str) -> None:
        with errors(f"Cannot signal the instance of {app!r}"):
            self._existing(app).kill(signal=name)

    def kill(self, app: str) -> None:
        container = self._container(app)
        if container is not None and container.attrs["State"]["Running"]:
            self.set_restarts(app, False)
            # Of this very container: another one may have been there before.
            self.make_ready(app)
            self._freezer(app).kill()
            with errors(f"Cannot confirm the end of the instance of {app!r}"):
                container.wait(timeout=30)
        self._freezers.pop(app, None)

    def set_restarts(self, app: str, restarts: bool) -> None:
        """The engine starts nothing by itself: it does not know the note, the reconciler does.

        Where the app is to serve, a container that somebody has paused goes on.
        """
        container = self._container(app)
        if container is None:
            return
        if restarts and container.attrs["State"].get("Paused"):
            with errors(f"Cannot let the instance of {app!r} go on"):
                container.unpause()
        policy = container.attrs["HostConfig"]["RestartPolicy"]["Name"]
        if policy not in ("", "no"):
            with errors(f"Cannot change the restart policy of {app!r}"):
                container.update(restart_policy={"Name": "no"})

    def post_mortem(self, app: str) -> str | None:
        container = self._container(app)
        if container is None or container.attrs["State"]["Running"]:
            return None
        state = container.attrs["State"]
        if state["Status"] == "created":
            return None
        return last_words(state["ExitCode"], self._engine.log(container.id))

    def changes(self) -> Iterator[str]:
        what = {"type": "container", "event": ["die", "start"], "label": _APP_LABEL}
        with errors("Cannot watch the engine"):
            for event in self._client.events(filters=what, decode=True):
                yield event["Actor"]["Attributes"][_APP_LABEL]

    def remove(self, app: str) -> None:
        instance = self.find(app)
        if instance is None:
            return
        self.kill(app)
        try:
            with errors(f"Cannot remove the instance of {app!r}"):
                self._existing(app).remove()
        except RelocationError:
            if self._container(app) is not None:
                raise
        if instance.image_id != instance.base_image_id:
            self._engine.remove_image(instance.image_id)

    def storage(self) -> list[Path]:
        return self._engine.storage

    def layer_folders(self, app: str) -> list[str] | None:
        return self._engine.layer_folders(self._existing(app).id)

    def _find_freezer(self, app: str) -> Freezer | None:
        pid = self._existing(app).attrs["State"]["Pid"]
        return Freezer.of_process(pid) if pid else None

    def _container(self, app: str) -> Any:
        with errors(f"Cannot look for an instance of {app!r}"):
            found = self._client.containers.list(
                all=True, filters={"label": f"{_APP_LABEL}={app}"}, ignore_removed=True
            )
        found = [container for container in found if container.status not in _GOING]
        if len(found) > 1:
            names = ", ".join(sorted(str(container.name) for container in found))
            raise RelocationError(
                f"App {app!r} has several instances on {self.config.name}: {names}.",
                "Remove all but the one that serves.",
            )
        return found[0] if found else None

    def _existing(self, app: str) -> Any:
        container = self._container(app)
        if container is None:
            raise RelocationError(f"App {app!r} has no instance on {self.config.name}.")
        return container


def _environment(container: Any) -> dict[str, str]:
    entries = container.attrs["Config"]["Env"] or ()
    return dict(entry.split("=", 1) for entry in entries if "=" in entry)
