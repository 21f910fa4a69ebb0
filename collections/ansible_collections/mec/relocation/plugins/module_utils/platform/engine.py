# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Docker engine of this host, and where it keeps what containers change.

Both platforms ask it: `docker` runs instances in it, and `kubernetes` where its kubelet does
(dockershim). Nothing else in the library knows how a node's images and layers are kept.
"""

from __future__ import annotations

import contextlib
import functools
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from ..ground.errors import RelocationError
from .instance import LOG_LINES

try:
    import docker
    import docker.types
    from docker.errors import APIError, DockerException, ImageNotFound
except ImportError as error:
    _IMPORT_ERROR: ImportError | None = error
else:
    _IMPORT_ERROR = None

_TIMEOUT_S = 120
_RESTART_S = 60
# What a restart has not mended is not tried again before.
_RESTART_AGAIN_S = 300.0
_PORT_IS_TAKEN = "port is already allocated"


@contextlib.contextmanager
def errors(what: str) -> Iterator[None]:
    """Turn the engine's errors into the library's."""
    try:
        yield
    except (DockerException, OSError) as error:
        reason = error.explanation if isinstance(error, APIError) else error
        raise RelocationError(
            f"{what}: {reason}.", "Look at the engine's log on this host."
        ) from error


def connect(timeout_s: int) -> Any:
    """Return the SDK's client of the engine.

    Raises:
        RelocationError: there is no engine, or no SDK.
    """
    if _IMPORT_ERROR is not None:
        raise RelocationError(
            f"The Docker SDK for Python is missing ({_IMPORT_ERROR}).",
            "Install python3-docker (the role me_host does).",
        )
    with errors("Cannot reach the container engine"):
        return docker.from_env(timeout=timeout_s)


class DockerEngine:
    """The engine; `client` is the SDK's."""

    def __init__(self) -> None:
        self.client = connect(_TIMEOUT_S)
        self._restarted_s = -_RESTART_AGAIN_S

    def start(self, container: Any) -> None:
        """Start a container; an engine that keeps its port for nobody is restarted for that.

        One whose host lost its power while a container was being started does so when it begins
        again: it allocates the port of that container, and forgets whose it was.
        """
        try:
            container.start()
        except APIError as error:
            if _PORT_IS_TAKEN not in str(error.explanation) or not self._keeps_ports(container):
                raise
            self._restarted_s = time.monotonic()
            _restart()
            container.start()

    def _keeps_ports(self, container: Any) -> bool:
        """Whether a container's ports are nobody's, and a restart of the engine ends no other."""
        just_now = time.monotonic() - self._restarted_s < _RESTART_AGAIN_S
        if just_now or not self.client.info()["LiveRestoreEnabled"]:
            return False
        # That somebody listens says nothing: it may be a proxy of the engine's, for nobody, too.
        running = [port for each in self.client.api.containers() for port in each["Ports"]]
        published = {str(port.get("PublicPort")) for port in running}
        bindings = container.attrs["HostConfig"]["PortBindings"].values()
        return published.isdisjoint(each["HostPort"] for some in bindings for each in some)

    def image_id(self, image: str) -> str | None:
        """The id (config digest) of an image that is present here: by name or by id."""
        with errors(f"Cannot inspect image {image}"):
            try:
                return str(self.client.images.get(image).id)
            except ImageNotFound:
                return None

    def image_name(self, image_id: str) -> str:
        """A name of an image: by the digest of its manifest where it came from a repository.

        Raises:
            RelocationError: it has none, or is not here.
        """
        with errors(f"Cannot inspect image {image_id}"):
            found = self.client.images.get(image_id).attrs
        names = [*(found.get("RepoDigests") or ()), *(found.get("RepoTags") or ())]
        if not names:
            raise RelocationError(
                f"Image {image_id} has no name that a pod could ask for.", "Run image_sync again."
            )
        return str(names[0])

    def remove_image(self, image_id: str) -> None:
        """Remove an image with all of its names, if it is there.

        A container that has ended does not keep it: kubelets leave some for a minute.
        """
        with errors(f"Cannot remove image {image_id}"), contextlib.suppress(ImageNotFound):
            for name in self.client.images.get(image_id).tags or [image_id]:
                self.client.images.remove(name, force=True)

    @functools.cached_property
    def storage(self) -> list[Path]:
        """Where the engine keeps images, and what containers change outside of their volumes."""
        with errors("Cannot ask the engine where it keeps images"):
            told = self.client.info()
        # The driver's folder may be a disk of its own.
        root = Path(told["DockerRootDir"])
        return [root, root / told["Driver"]]

    def layer_folders(self, container: str) -> list[str] | None:
        """The folders of what a container changed and of its image's layers, the topmost first.

        None where the engine does not keep them in folders that can be read.
        """
        with errors("Cannot ask the engine how it keeps layers"):
            native = ["Native Overlay Diff", "true"] in (self.client.info()["DriverStatus"] or [])
            driver = self.client.api.inspect_container(container).get("GraphDriver") or {}
        if not native or driver.get("Name") != "overlay2":
            return None
        # Below the container's own folder lies one that the engine adds, with its mount points.
        lower = driver["Data"]["LowerDir"].split(":")
        return [driver["Data"]["UpperDir"], *lower[1:]]

    def log(self, container: str) -> str:
        """The last lines of a container's log; empty where it is gone."""
        try:
            found = self.client.containers.get(container)
            return str(found.logs(tail=LOG_LINES).decode(errors="replace"))
        except (DockerException, OSError):
            return ""

    @staticmethod
    def bind(folder: Path, path: str) -> Any:
        """A folder of this host as a container's.

        No volume of the engine's is bound to it: an engine that was killed while a container ran
        loses count of who uses such a volume, never unmounts it again, and gives the next instance
        a folder that was removed or put aside meanwhile.
        """
        return docker.types.Mount(target=path, source=str(folder), type="bind")

    def fill(self, app: str, folder: Path, image_id: str, path: str) -> None:
        """Let an empty folder get what the image has at a path, with its owner and mode."""
        if any(folder.iterdir()):
            return
        # All of it or nothing, where the folder can be replaced.
        fresh = folder if folder.is_mount() else folder.with_name(f".{app}.fresh")
        with errors(f"Cannot fill the volume of {app!r}"):
            # The engine does it for a container that is made with a volume; it need not run.
            made = self.client.containers.create(image_id, network_mode="none", volumes=[path])
            try:
                (filled,) = (
                    mount["Source"]
                    for mount in made.attrs["Mounts"]
                    if PurePosixPath(mount["Destination"]) == PurePosixPath(path)
                )
                if fresh != folder:
                    shutil.rmtree(fresh, ignore_errors=True)
                    fresh.mkdir(mode=0o755)
                _copy(Path(filled), fresh)
                if fresh != folder:
                    fresh.rename(folder)
            finally:
                made.remove(v=True)


def _restart() -> None:
    """Restart the engine; it keeps its containers (live-restore)."""
    command = ["systemctl", "restart", "docker.service"]
    try:
        subprocess.run(command, capture_output=True, text=True, timeout=_RESTART_S, check=True)
    except subprocess.SubprocessError as error:
        raise OSError(f"{' '.join(command)}: {error}") from error


def _copy(source: Path, target: Path) -> None:
    """Copy what is in a folder, and its own owner and mode, with all attributes (cp(1))."""
    command = ["cp", "--archive", "--reflink=auto", f"{source}/.", str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise OSError(done.stderr.strip())
