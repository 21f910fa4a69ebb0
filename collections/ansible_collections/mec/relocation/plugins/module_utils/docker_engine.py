# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Docker engine of this host: its images, and where it keeps what containers change.

Both platforms ask it: `docker` runs instances in it, and `kubernetes` where its kubelet does
(dockershim). Nothing else in the library knows how a node's images and layers are kept.
"""

from __future__ import annotations

import contextlib
import functools
import io
import json
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import RelocationError

try:
    import docker
    from docker.errors import APIError, DockerException, ImageNotFound, NotFound
except ImportError as error:
    _IMPORT_ERROR: ImportError | None = error
else:
    _IMPORT_ERROR = None

if TYPE_CHECKING:
    # A pro-active relocation starts faster without a registry's client.
    from .registry import Credentials

_CHUNK_BYTES = 256 * 1024
_TIMEOUT_S = 120
# An engine says nothing while it exports a large image.
SILENCE_S = 600


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


def _connect(timeout_s: int) -> Any:
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
        self.client = _connect(_TIMEOUT_S)

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

    def volume(self, app: str, folder: Path) -> str:
        """A named volume over a folder: the engine fills an empty one from the image.

        Raises:
            RelocationError: the engine has another volume of this name.
        """
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        name = f"mec-{app}"
        options = {"type": "none", "o": "bind", "device": str(folder)}
        with errors(f"Cannot make a volume for {app!r}"):
            try:
                volume = self.client.volumes.get(name)
            except NotFound:
                volume = self.client.volumes.create(name, driver="local", driver_opts=options)
        if (volume.attrs.get("Options") or {}).get("device") != str(folder):
            raise RelocationError(
                f"The engine's volume {name!r} is not bound to {folder}.",
                "Remove it, or rename the app.",
            )
        return name

    def fill(self, app: str, folder: Path, image_id: str, path: str) -> None:
        """Let an empty folder get what the image has at a path, with its owner and mode."""
        volume = self.volume(app, folder)
        with errors(f"Cannot fill the volume of {app!r}"):
            # The engine does it for a container that is made with the volume; it need not run.
            self.client.containers.create(
                image_id, network_mode="none", volumes={volume: {"bind": path, "mode": "rw"}}
            ).remove()


@dataclass(frozen=True)
class LocalImage:
    """An image that the engine has; `diff_ids` are its layers, lowest first."""

    image_id: str
    diff_ids: tuple[str, ...]
    digests: tuple[str, ...]


class ImageStore:
    """The images of the engine, and how they come and go."""

    def __init__(self) -> None:
        self._engine = _connect(SILENCE_S).api

    def find(self, *names: str) -> LocalImage | None:
        """The first of these names or ids that is present."""
        for name in names:
            with errors(f"Cannot inspect image {name}"), contextlib.suppress(ImageNotFound):
                found = self._engine.inspect_image(name)
                return LocalImage(
                    image_id=found["Id"],
                    diff_ids=tuple(found["RootFS"].get("Layers") or ()),
                    digests=tuple(found.get("RepoDigests") or ()),
                )
        return None

    def all(self) -> list[LocalImage]:
        """Every image that is present, intermediate ones too."""
        with errors("Cannot list the images"):
            ids = self._engine.images(quiet=True, all=True)
        return [image for image_id in ids if (image := self.find(image_id)) is not None]

    def pull(self, name: str, digest: str, credentials: Credentials | None) -> set[str]:
        """Pull `name` by its manifest digest; return the ids that the engine downloaded.

        An id is the first twelve digits of a layer's digest. A pull that fails leaves no image.
        """
        login = None
        if credentials is not None:
            login = {"username": credentials.username, "password": credentials.password}
        with errors(f"Cannot pull {name}@{digest}"):
            events = self._engine.pull(
                name, tag=digest, stream=True, decode=True, auth_config=login
            )
            return {
                event["id"]
                for event in _checked(events)
                if event.get("status") in ("Download complete", "Pull complete")
            }

    def tag(self, image_id: str, name: str, tag: str) -> None:
        """Let `name:tag` mean this image."""
        with errors(f"Cannot tag {image_id} as {name}:{tag}"):
            self._engine.tag(image_id, name, tag, force=True)

    def remove(self, name: str) -> None:
        """Remove an image, or one of its names, if it is there."""
        with errors(f"Cannot remove image {name}"), contextlib.suppress(ImageNotFound):
            self._engine.remove_image(name)

    def commit(self, container: str) -> LocalImage:
        """Make an image of a container as it is; it has no name.

        The container is not paused: one that stands still already would go on afterwards.
        """
        engine = self._engine
        with errors(f"Cannot commit {container}"):
            # The SDK's own method does not know `pause` in all versions.
            answer = engine.post(
                f"{engine.base_url}/v{engine.api_version}/commit",
                params={"container": container, "pause": "0"},
                timeout=SILENCE_S,
            )
            if answer.status_code != 201:
                raise DockerException(answer.text.strip() or answer.status_code)
        image = self.find(answer.json()["Id"])
        if image is None:
            raise RelocationError(f"The image that was made of {container} is gone.")
        return image

    def compose(self, name: str, config: bytes) -> None:
        """Make an image of layers that are all here, under a name, with a config of its own."""
        layers = json.loads(config)["rootfs"]["diff_ids"]
        manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": layers}]
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as out:
            for file, content in (
                ("config.json", config),
                ("manifest.json", json.dumps(manifest).encode()),
            ):
                member = tarfile.TarInfo(file)
                member.size = len(content)
                out.addfile(member, io.BytesIO(content))
        self.load(iter([archive.getvalue()]))

    def push(self, name: str, tag: str, credentials: Credentials | None) -> tuple[str, set[str]]:
        """Push `name:tag`; return its manifest's digest, and the ids of the layers that were sent.

        An id is the first twelve digits of a layer's diff_id.
        """
        login = None
        if credentials is not None:
            login = {"username": credentials.username, "password": credentials.password}
        digest, sent = "", set()
        with errors(f"Cannot push {name}:{tag}"):
            for event in _checked(
                self._engine.push(name, tag=tag, stream=True, decode=True, auth_config=login)
            ):
                if event.get("status", "").startswith("Retrying"):
                    # Somebody may be waiting, and the engine would try for most of a minute.
                    raise DockerException("the repository did not take a layer")
                digest = (event.get("aux") or {}).get("Digest", digest)
                if event.get("status") == "Pushed":
                    sent.add(event["id"])
        return digest, sent

    def top_layer_bytes(self, image_id: str) -> int:
        """The size of what is in an image's topmost layer, uncompressed."""
        with errors(f"Cannot inspect image {image_id}"):
            return int(self._engine.history(image_id)[0]["Size"])

    def save(self, image_id: str) -> Iterator[bytes]:
        """The image as a tar stream that `load` accepts."""
        with errors(f"Cannot export image {image_id}"):
            yield from self._engine.get_image(image_id, chunk_size=_CHUNK_BYTES)

    def load(self, chunks: Iterable[bytes]) -> None:
        """Load an exported image; layers that the engine knows already may be missing from it."""
        with errors("Cannot load the image"):
            for _ in _checked(self._engine.load_image(chunks)):
                pass


def _checked(events: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The engine reports a failure within a stream that began well."""
    for event in events:
        if "error" in event:
            raise DockerException(event["error"])
        yield event
