# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Commit and push: the container layer of an instance becomes an image in the repository.

The re-active relocation of section 3.1.2 of the paper. Base layers never cross: the repository has
them. There are two ways to commit, with one result, an image by its digest:

- ``LayerCommit`` reads the container layer where the engine keeps it. What was pushed before is not
  sent again, not even as a part of a layer, and the image never has more than a few layers more
  than its base.
- ``EngineCommit`` asks the engine to commit and to push, as the paper does. It works with any
  storage of the engine's, and is the baseline.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any, Protocol

from . import container_layer
from .app import App
from .config import HostConfig
from .errors import RelocationError
from .image import ImageStore, LocalImage
from .platform import Instance, Platform
from .registry import ImageReference, Registry
from .state import AppState, write_durably

# Layers above the base image; one more commit makes them one again.
_MAX_LAYERS = 8
# What the engine's overlay driver mounts, and a margin for the image's own growth.
_ENGINE_MAX_LAYERS = 120
_SPOOL_BYTES = 1024 * 1024
_SPOOL_DIRECTORY = "/var/tmp"  # noqa: S108 - tempfile makes unguessable names in it
_OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_LAYER_TYPES = {
    _OCI_MANIFEST: "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.docker.distribution.manifest.v2+json": (
        "application/vnd.docker.image.rootfs.diff.tar.gzip"
    ),
}


@dataclass(frozen=True)
class Commit:
    """An image of an instance, as it was when it was committed.

    Attributes:
        image: its name with a digest, as the repository has it; a tag before it is pushed.
        image_id: the digest of its config.
        layer_bytes: the size of the files in the container layer that was not there before.
        changed: whether it is another image than the one committed before.
    """

    image: str
    image_id: str
    layer_bytes: int
    changed: bool


class Committer(Protocol):
    """Commits one instance, as often as it is asked to."""

    def estimate(self) -> Commit:
        """What `commit` and `push` would make; nothing is made. `image` may not be known yet."""

    def commit(self) -> Commit:
        """Take the instance as it is now.

        Raises:
            RelocationError: the container layer cannot be read or kept.
        """

    def push(self, commit: Commit) -> tuple[Commit, int]:
        """Have it in the repository; returns it with its digest, and the bytes that were sent.

        Raises:
            RelocationError: the repository cannot be reached or does not take it.
        """


def committer(
    config: HostConfig, app: App, instance: Instance, platform: Platform, *, plain: bool = False
) -> Committer:
    """The way to commit an instance here; with `plain`, the engine's in any case."""
    registry = Registry.of(config.repository)
    folders = None if plain else platform.layer_folders(app.name)
    if folders is None:
        return EngineCommit(config, app, instance, ImageStore(), registry)
    return LayerCommit(config, app, instance, folders, registry)


class Base:
    """The app's image in the repository, and the images that extend it by layers."""

    def __init__(self, registry: Registry, app: App, instance: Instance) -> None:
        self._app = app
        image = ImageReference.parse(app.image)
        self.manifest = registry.manifest(image)
        if self.manifest.config_digest != instance.base_image_id:
            raise RelocationError(
                f"{app.image} in the repository is not the image that {instance.name} runs "
                f"({instance.base_image_id[:19]}).",
                "Push that image again, or deploy the app anew.",
            )
        self._config = registry.config(image, self.manifest)

    def config(self, diff_ids: Sequence[str]) -> bytes:
        """The config of the image with these layers on top; nothing in it depends on the time.

        It has nothing of the container's own config, whose environment has secrets.
        """
        config = {**self._config, "rootfs": dict(self._config["rootfs"])}
        config["rootfs"]["diff_ids"] = [*config["rootfs"]["diff_ids"], *diff_ids]
        if "history" in config:
            created_by = f"mec.relocation: container layer of {self._app.name}"
            added = [{"created_by": created_by} for _layer in diff_ids]
            config["history"] = [*config["history"], *added]
        return json.dumps(config, separators=(",", ":"), sort_keys=True).encode()

    def extended(self, layers: Sequence[Mapping[str, Any]], config: bytes) -> dict[str, Any]:
        """The manifest of the image with these layers on top."""
        document = self.manifest.document
        kind = str(document.get("mediaType") or _OCI_MANIFEST)
        if kind not in _LAYER_TYPES:
            raise RelocationError(
                f"The manifest of {self._app.image} is of a kind that cannot be extended: {kind}.",
                "Push the image in the format of Docker or of the OCI.",
            )
        added = [
            {"mediaType": _LAYER_TYPES[kind], "size": layer["size"], "digest": layer["digest"]}
            for layer in layers
        ]
        return {
            **document,
            "mediaType": kind,
            "config": {**document["config"], "digest": _digest(config), "size": len(config)},
            "layers": [*document["layers"], *added],
        }


class LayerCommit:
    """Commits by reading the container layer's folders.

    What was pushed is remembered beside the app's state, so that the next commit, of this process
    or of another, finds what has changed since by looking at the files' status.
    """

    def __init__(
        self,
        config: HostConfig,
        app: App,
        instance: Instance,
        folders: list[str],
        registry: Registry,
    ) -> None:
        self._app = app
        self._instance = instance
        self._folders = folders
        self._registry = registry
        name = ImageReference.parse(app.image).name
        self._tag = ImageReference(name, tag=f"relocation-{app.name}")
        self._path = AppState(config.state_dir, app.name).folder / "commit.json"
        self._before: dict[str, Any] | None = None
        self._extends: Base
        self._container_layer: list[str] = []
        self._opened = False
        self._pending: dict[str, Any] = {}
        self._files: list[tuple[container_layer.LayerFile, IO[bytes]]] = []

    def estimate(self) -> Commit:
        self._open()
        return self._result(self._compare()[1])

    def commit(self) -> Commit:
        self._open()
        entries, what = self._compare()
        known = [] if self._before is None else self._before["layers"]
        if what.empty and known:
            return self._result(what)
        if len(known) >= _MAX_LAYERS:
            known, what = [], container_layer.difference(entries, {})
        layer, content = self._write(what)
        self._files.append((layer, content))
        layers = [
            *known,
            {"diff_id": layer.diff_id, "digest": layer.digest, "size": layer.size_bytes},
        ]
        self._pending = {
            "instance": self._instance.name,
            "base_image_id": self._instance.base_image_id,
            "layers": layers,
            "index": container_layer.index(entries),
        }
        image_id = _digest(self._extends.config([layer["diff_id"] for layer in layers]))
        changed = self._before is None or self._before["image_id"] != image_id
        self._pending["image_id"] = image_id
        return Commit(str(self._tag), image_id, what.size_bytes, changed)

    def push(self, commit: Commit) -> tuple[Commit, int]:
        if not self._pending or self._pending["image_id"] != commit.image_id:
            return commit, 0
        sent_bytes = 0
        for layer, content in self._files:
            sent_bytes += self._registry.push_blob(self._tag, layer.digest, content)
            content.close()
        self._files.clear()
        layers = self._pending["layers"]
        config = self._extends.config([layer["diff_id"] for layer in layers])
        with _spool() as content:
            content.write(config)
            self._registry.push_blob(self._tag, commit.image_id, content)
        document = self._extends.extended(layers, config)
        digest, is_new = self._registry.push_manifest(self._tag, document)
        image = ImageReference(self._tag.name, digest=digest)
        self._before = {**self._pending, "image": str(image)}
        write_durably(self._path, json.dumps(self._before, separators=(",", ":")) + "\n")
        self._pending = {}
        return Commit(str(image), commit.image_id, commit.layer_bytes, is_new), sent_bytes

    def _open(self) -> None:
        """Ask the repository for the base image, and read what was pushed before, once."""
        if self._opened:
            return
        # What programs wrote into mapped files gets its time stamp when it is written back.
        os.sync()
        self._extends = Base(self._registry, self._app, self._instance)
        # All that lies above the base image: the instance's own folder, and the layers of an image
        # that was committed for it.
        above = len(self._folders) - len(self._extends.manifest.layers)
        self._container_layer = self._folders[:above]
        self._before = self._read()
        self._opened = True

    def _read(self) -> dict[str, Any] | None:
        """What was pushed of this very instance, as long as the repository has it."""
        try:
            before: dict[str, Any] = json.loads(self._path.read_text())
        except (FileNotFoundError, ValueError):
            return None
        wanted = {
            "instance": self._instance.name,
            "base_image_id": self._instance.base_image_id,
        }
        if "layers" not in before or any(before[key] != value for key, value in wanted.items()):
            return None
        if not self._registry.has_manifest(ImageReference.parse(before["image"])):
            return None
        before["index"] = {
            path: None if key is None else tuple(key) for path, key in before["index"].items()
        }
        return before

    def _compare(self) -> tuple[list[container_layer.Entry], container_layer.Difference]:
        with _reading(self._instance):
            entries = container_layer.read(self._container_layer)
        before = {} if self._before is None else self._before["index"]
        return entries, container_layer.difference(entries, before)

    def _result(self, what: container_layer.Difference) -> Commit:
        changed = self._before is None or not what.empty
        if self._before is None:
            return Commit(str(self._tag), "", what.size_bytes, changed)
        return Commit(self._before["image"], self._before["image_id"], what.size_bytes, changed)

    def _write(
        self, what: container_layer.Difference
    ) -> tuple[container_layer.LayerFile, IO[bytes]]:
        content = _spool()
        try:
            with _reading(self._instance):
                return container_layer.write(what, content), content
        except BaseException:
            content.close()
            raise


class EngineCommit:
    """Commits and pushes through the engine."""

    def __init__(
        self,
        config: HostConfig,
        app: App,
        instance: Instance,
        store: ImageStore,
        registry: Registry,
    ) -> None:
        self._app = app
        self._instance = instance
        self._store = store
        name = ImageReference.parse(app.image).name
        self._image = ImageReference(name, tag=f"relocation-{app.name}")
        self._name = f"{config.repository.name}/{self._image}"
        self._registry = registry
        self._path = AppState(config.state_dir, app.name).folder / "commit.json"

    def estimate(self) -> Commit:
        # The engine compares layers only by making one.
        made = self.commit()
        if made.changed:
            self._store.remove(self._name)
        return made

    def commit(self) -> Commit:
        made = self._store.commit(self._instance.name)
        try:
            return self._named(made)
        finally:
            # It has the container's environment in its config, so it does not get any further.
            self._store.remove(made.image_id)

    def _named(self, made: LocalImage) -> Commit:
        """The commit under its name, with a config of its own; none where nothing has changed."""
        if len(made.diff_ids) > _ENGINE_MAX_LAYERS:
            raise RelocationError(
                f"The image of {self._instance.name} has {len(made.diff_ids)} layers already: the "
                "engine cannot mount many more.",
                "Relocate the app once pro-actively, which begins with its own image again.",
            )
        before = self._before()
        if before is not None and before["diff_ids"] == list(made.diff_ids):
            return Commit(before["image"], before["image_id"], 0, changed=False)
        base = Base(self._registry, self._app, self._instance)
        config = base.config(made.diff_ids[len(base.manifest.layers) :])
        self._store.compose(self._name, config)
        size_bytes = self._store.top_layer_bytes(made.image_id)
        return Commit(str(self._image), _digest(config), size_bytes, changed=True)

    def push(self, commit: Commit) -> tuple[Commit, int]:
        if not commit.changed:
            return commit, 0
        try:
            repository, _, tag = self._name.rpartition(":")
            digest, sent = self._push(repository, tag)
            made = self._store.find(commit.image_id)
            diff_ids = () if made is None else made.diff_ids
        finally:
            # The target runs it; here it would only take room.
            self._store.remove(self._name)
        image = ImageReference(self._image.name, digest=digest)
        layers = self._registry.manifest(image).layers
        sent_bytes = sum(
            layer.size_bytes
            for layer, diff_id in zip(layers, diff_ids, strict=True)
            if diff_id.removeprefix("sha256:")[:12] in sent
        )
        before = {
            "instance": self._instance.name,
            "base_image_id": self._instance.base_image_id,
            "image": str(image),
            "image_id": commit.image_id,
            "diff_ids": list(diff_ids),
        }
        write_durably(self._path, json.dumps(before) + "\n")
        return Commit(str(image), commit.image_id, commit.layer_bytes, True), sent_bytes

    def _push(self, repository: str, tag: str) -> tuple[str, set[str]]:
        try:
            return self._store.push(repository, tag, self._registry.credentials)
        except RelocationError:
            # The engine says little of why. The repository itself may say more.
            self._registry.check_upload(self._image)
            raise

    def _before(self) -> Mapping[str, Any] | None:
        try:
            before: dict[str, Any] = json.loads(self._path.read_text())
        except (FileNotFoundError, ValueError):
            return None
        same = before.get("instance") == self._instance.name and "diff_ids" in before
        if not same or not self._registry.has_manifest(ImageReference.parse(before["image"])):
            return None
        return before


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _spool() -> IO[bytes]:
    return tempfile.SpooledTemporaryFile(_SPOOL_BYTES, dir=_SPOOL_DIRECTORY)


@contextlib.contextmanager
def _reading(instance: Instance) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RelocationError(
            f"The container layer of {instance.name} cannot be committed: {error}.",
            "Check the disk below /var on this host.",
        ) from error
