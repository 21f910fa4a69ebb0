# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The platform `docker`: one engine on each ME host, no orchestrator."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .app import App
from .config import HostConfig
from .errors import RelocationError
from .freezer import Freezer
from .platform import Instance

_APP_LABEL = "relocation.mec.app"
_BASE_LABEL = "relocation.mec.base-image"
_NANO = 1_000_000_000

try:
    import docker
    from docker.errors import APIError, DockerException, ImageNotFound, NotFound
except ImportError as error:
    _IMPORT_ERROR: ImportError | None = error
else:
    _IMPORT_ERROR = None


@contextlib.contextmanager
def _errors(what: str) -> Iterator[None]:
    """Turn the engine's errors into the library's."""
    try:
        yield
    except DockerException as error:
        reason = error.explanation if isinstance(error, APIError) else error
        raise RelocationError(f"{what}: the engine says: {reason}.") from error


class DockerPlatform:
    """Instances as containers; an app's PV as a volume bound to its folder below the PV root."""

    def __init__(self, config: HostConfig) -> None:
        if _IMPORT_ERROR is not None:
            raise RelocationError(
                f"The Docker SDK for Python is missing on {config.name} ({_IMPORT_ERROR}).",
                "Install python3-docker (the role me_host does).",
            )
        self.config = config
        with _errors("Cannot reach the container engine"):
            self.engine = docker.from_env(timeout=120)
        self._freezers: dict[str, Freezer] = {}

    def find(self, app: str) -> Instance | None:
        container = self._container(app)
        if container is None:
            return None
        state = container.attrs["State"]
        networks = container.attrs["NetworkSettings"]["Networks"]
        restart = container.attrs["HostConfig"]["RestartPolicy"]["Name"]
        return Instance(
            name=container.name,
            address=next((net["IPAddress"] for net in networks.values()), ""),
            image_id=container.attrs["Image"],
            base_image_id=container.labels.get(_BASE_LABEL, container.attrs["Image"]),
            running=state["Running"],
            restarts=restart not in ("", "no"),
        )

    def image_id(self, image: str) -> str | None:
        with _errors(f"Cannot inspect image {image}"):
            try:
                return str(self.engine.images.get(image).id)
            except ImageNotFound:
                return None

    def create(self, app: App, image_id: str, base_image_id: str, *, first: bool) -> Instance:
        with _errors(f"Cannot create an instance of {app.name!r}"):
            mode = "rw" if first else "rw,nocopy"
            volumes = {self._volume(app): {"bind": app.volume, "mode": mode}} if app.volume else {}
            name = f"{app.name}-{secrets.token_hex(4)}"
            self.engine.containers.create(
                image_id,
                name=name,
                hostname=name,
                labels={_APP_LABEL: app.name, _BASE_LABEL: base_image_id},
                environment={**app.env, **app.secrets},
                ports={f"{app.port}/tcp": (self.config.address, app.host_port)},
                volumes=volumes,
                mem_limit=app.limits.memory,
                nano_cpus=None if app.limits.cpus is None else int(app.limits.cpus * _NANO),
                cap_drop=["ALL"],
                cap_add=list(app.capabilities),
                security_opt=["no-new-privileges"],
                log_config=docker.types.LogConfig(
                    type="json-file", config={"max-size": "10m", "max-file": "2"}
                ),
            )
        instance = self.find(app.name)
        if instance is None:
            raise RelocationError(f"The instance of {app.name!r} vanished after its creation.")
        return instance

    def start(self, app: str) -> None:
        with _errors(f"Cannot start the instance of {app!r}"):
            self._existing(app).start()

    def command(self, app: str, argv: tuple[str, ...]) -> None:
        with _errors(f"Cannot run {argv[0]} in the instance of {app!r}"):
            code, output = self._existing(app).exec_run(list(argv))
        if code != 0:
            text = output.decode(errors="replace").strip()
            raise RelocationError(f"{argv[0]} in the instance of {app!r} ended with {code}: {text}")

    def signal(self, app: str, name: str) -> None:
        with _errors(f"Cannot signal the instance of {app!r}"):
            self._existing(app).kill(signal=name)

    def make_ready(self, app: str) -> None:
        self._freezers.pop(app, None)
        self._freezer(app)

    def pids(self, app: str) -> list[int]:
        return self._freezer(app).pids()

    def freeze(self, app: str) -> None:
        self._freezer(app).freeze()

    def thaw(self, app: str) -> None:
        self._freezer(app).thaw()

    def kill(self, app: str) -> None:
        container = self._existing(app)
        if container.attrs["State"]["Running"]:
            self._freezer(app).kill()
            with _errors(f"Cannot confirm the end of the instance of {app!r}"):
                container.wait(timeout=30)
        self._freezers.pop(app, None)

    def set_restarts(self, app: str, restarts: bool) -> None:
        with _errors(f"Cannot change the restart policy of {app!r}"):
            self._existing(app).update(
                restart_policy={"Name": "unless-stopped" if restarts else "no"}
            )

    def remove(self, app: str) -> None:
        instance = self.find(app)
        if instance is None:
            return
        self.set_restarts(app, False)
        self.kill(app)
        with _errors(f"Cannot remove the instance of {app!r}"):
            self._existing(app).remove()
        if instance.image_id != instance.base_image_id:
            self._remove_image(instance.image_id)

    def layer_folders(self, app: str) -> list[str] | None:
        with _errors("Cannot ask the engine how it keeps layers"):
            native = ["Native Overlay Diff", "true"] in (self.engine.info()["DriverStatus"] or [])
        container = self._existing(app)
        driver = container.attrs.get("GraphDriver") or {}
        if not native or driver.get("Name") != "overlay2":
            return None
        # Below the instance's own folder lies one that the engine adds, with its mount points.
        lower = driver["Data"]["LowerDir"].split(":")
        return [driver["Data"]["UpperDir"], *lower[1:]]

    def _remove_image(self, image_id: str) -> None:
        with _errors(f"Cannot remove image {image_id}"), contextlib.suppress(ImageNotFound):
            for name in self.engine.images.get(image_id).tags or [image_id]:
                self.engine.images.remove(name)

    def _freezer(self, app: str) -> Freezer:
        if app not in self._freezers:
            pid = self._existing(app).attrs["State"]["Pid"]
            if not pid:
                raise RelocationError(f"The instance of {app!r} does not run.")
            self._freezers[app] = Freezer(pid)
        return self._freezers[app]

    def _container(self, app: str) -> Any:
        with _errors(f"Cannot look for an instance of {app!r}"):
            found = self.engine.containers.list(
                all=True, filters={"label": f"{_APP_LABEL}={app}"}, ignore_removed=True
            )
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

    def _volume(self, app: App) -> str:
        """A named volume over the app's PV: the engine fills an empty one from the image."""
        path = self.config.pv_root / app.name
        Path(path).mkdir(mode=0o755, parents=True, exist_ok=True)
        name = f"mec-{app.name}"
        options = {"type": "none", "o": "bind", "device": str(path)}
        try:
            volume = self.engine.volumes.get(name)
        except NotFound:
            volume = self.engine.volumes.create(name, driver="local", driver_opts=options)
        if (volume.attrs.get("Options") or {}).get("device") != str(path):
            raise RelocationError(
                f"The engine's volume {name!r} on {self.config.name} is not bound to {path}.",
                "Remove it, or rename the app.",
            )
        return name
