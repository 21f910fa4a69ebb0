# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The images that the engine of this host has, and how they come and go."""

from __future__ import annotations

import contextlib
import io
import json
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from ..ground.errors import RelocationError
from ..platform.engine import connect, errors
from .registry import Credentials

with contextlib.suppress(ImportError):
    # Whoever asks for an engine without it is told so (`engine.connect`).
    from docker.errors import DockerException, ImageNotFound

_CHUNK_BYTES = 256 * 1024
# An engine says nothing while it exports a large image.
SILENCE_S = 600


@dataclass(frozen=True)
class LocalImage:
    """An image that the engine has; `diff_ids` are its layers, lowest first."""

    image_id: str
    diff_ids: tuple[str, ...]
    digests: tuple[str, ...]


class ImageStore:
    """The images of the engine, and how they come and go."""

    def __init__(self) -> None:
        self._engine = connect(SILENCE_S).api

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
