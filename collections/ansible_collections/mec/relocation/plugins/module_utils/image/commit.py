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
import functools
import hashlib
import io
import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

from ..ground.app import App
from ..ground.config import HostConfig
from ..ground.durable import write_durably
from ..ground.errors import RelocationError
from ..platform.instance import Instance, Platform
from . import layer as container_layer
from .registry import ImageReference, Registry
from .store import ImageStore, LocalImage

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
    config: HostConfig,
    app: App,
    instance: Instance,
    platform: Platform,
    folder: Path,
    *,
    plain: bool = False,
) -> Committer:
    """The way to commit an instance here; with `plain`, the engine's in any case.

    Args:
        folder: where this host keeps what it has to remember of the app.
    """
    registry = Registry.of(config.repository)
    folders = None if plain else platform.layer_folders(app.name)
    if folders is None:
        return EngineCommit(config, app, instance, ImageStore(), folder, registry)
    return LayerCommit(app, instance, folders, folder, registry)


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


class Note:
    """What was pushed of an instance last: kept with the app's state, for the next commit.

    Attributes:
        tag: the name under which the repository has it.
    """

    def __init__(self, folder: Path, app: App, instance: Instance, registry: Registry) -> None:
        self.tag = ImageReference(
            ImageReference.parse(app.image).name, tag=f"relocation-{app.name}"
        )
        self._path = folder / "commit.json"
        self._instance = {"instance": instance.name, "base_image_id": instance.base_image_id}
        self._registry = registry

    def read(self, detail: str) -> dict[str, Any] | None:
        """The note, if it has this detail, and as long as the repository has the image."""
        try:
            note: dict[str, Any] = json.loads(self._path.read_text())
        except (FileNotFoundError, ValueError):
            return None
        if detail not in note or not self._instance.items() <= note.items():
            return None
        return note if self._registry.has_manifest(ImageReference.parse(note["image"])) else None

    def image(self, digest: str) -> ImageReference:
        """What the tag means until the next commit."""
        return ImageReference(self.tag.name, digest=digest)

    def write(self, image: ImageReference, image_id: str, **details: object) -> dict[str, Any]:
        """Note the image that was pushed; returns the note."""
        note = {**self._instance, "image": str(image), "image_id": image_id, **details}
        write_durably(self._path, json.dumps(note, separators=(",", ":")) + "\n")
        return note


@dataclass(frozen=True)
class _Pending:
    """A commit that is not pushed yet: its config, its layers, and the content of the last one."""

    image_id: str
    config: bytes
    layers: list[dict[str, Any]]
    content: IO[bytes]
    index: dict[str, Any]


class LayerCommit:
    """Commits by reading the container layer's folders.

    What was pushed is noted, so that the next commit, of this process or of another, finds what has
    changed since by looking at the files' status.
    """

    def __init__(
        self,
        app: App,
        instance: Instance,
        folders: list[str],
        folder: Path,
        registry: Registry,
    ) -> None:
        self._app = app
        self._instance = instance
        self._folders = folders
        self._registry = registry
        self._note = Note(folder, app, instance, registry)
        self._pending: _Pending | None = None

    def estimate(self) -> Commit:
        return self._result(self._compare()[1])

    def commit(self) -> Commit:
        entries, what = self._compare()
        known = [] if self._before is None else self._before["layers"]
        if what.empty and known:
            return self._result(what)
        if len(known) >= _MAX_LAYERS:
            known, what = [], container_layer.difference(entries, {})
        layer, content = self._write(what)
        layers = [
            *known,
            {"diff_id": layer.diff_id, "digest": layer.digest, "size": layer.size_bytes},
        ]
        config = self._base.config([layer["diff_id"] for layer in layers])
        image_id = _digest(config)
        index = container_layer.index(entries)
        self._pending = _Pending(image_id, config, layers, content, index)
        changed = self._before is None or self._before["image_id"] != image_id
        return Commit(str(self._note.tag), image_id, what.size_bytes, changed)

    def push(self, commit: Commit) -> tuple[Commit, int]:
        pending = self._pending
        if pending is None or pending.image_id != commit.image_id:
            return commit, 0
        tag = self._note.tag
        sent_bytes = self._registry.push_blob(tag, pending.layers[-1]["digest"], pending.content)
        pending.content.close()
        self._registry.push_blob(tag, commit.image_id, io.BytesIO(pending.config))
        document = self._base.extended(pending.layers, pending.config)
        digest, is_new = self._registry.push_manifest(tag, document)
        image = self._note.image(digest)
        details = {"layers": pending.layers, "index": pending.index}
        self._before = self._note.write(image, commit.image_id, **details)
        self._pending = None
        return Commit(str(image), commit.image_id, commit.layer_bytes, is_new), sent_bytes

    @functools.cached_property
    def _base(self) -> Base:
        """The app's image; asked for when it is needed, so that what fails is in the record."""
        return Base(self._registry, self._app, self._instance)

    @functools.cached_property
    def _before(self) -> dict[str, Any] | None:
        """What was pushed of this very instance, as long as the repository has it."""
        before = self._note.read("layers")
        if before is not None:
            before["index"] = {
                path: None if key is None else tuple(key) for path, key in before["index"].items()
            }
        return before

    @functools.cached_property
    def _container_layer(self) -> list[str]:
        """The folders above the base image: the instance's own, and those of an earlier commit."""
        # What programs wrote into mapped files gets its time stamp when it is written back.
        os.sync()
        return self._folders[: len(self._folders) - len(self._base.manifest.layers)]

    def _compare(self) -> tuple[list[container_layer.Entry], container_layer.Difference]:
        with _reading(self._instance):
            entries = container_layer.read(self._container_layer)
        before = {} if self._before is None else self._before["index"]
        return entries, container_layer.difference(entries, before)

    def _result(self, what: container_layer.Difference) -> Commit:
        changed = self._before is None or not what.empty
        if self._before is None:
            return Commit(str(self._note.tag), "", what.size_bytes, changed)
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
        folder: Path,
        registry: Registry,
    ) -> None:
        self._app = app
        self._instance = instance
        self._store = store
        self._registry = registry
        self._note = Note(folder, app, instance, registry)
        self._name = f"{config.repository.name}/{self._note.tag}"

    def estimate(self) -> Commit:
        # The engine compares layers only by making one.
        made = self.commit()
        if made.changed:
            self._store.remove(self._name)
        return made

    def commit(self) -> Commit:
        made = self._store.commit(self._instance.container)
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
        before = self._note.read("diff_ids")
        if before is not None and before["diff_ids"] == list(made.diff_ids):
            return Commit(before["image"], before["image_id"], 0, changed=False)
        base = Base(self._registry, self._app, self._instance)
        config = base.config(made.diff_ids[len(base.manifest.layers) :])
        self._store.compose(self._name, config)
        size_bytes = self._store.top_layer_bytes(made.image_id)
        return Commit(str(self._note.tag), _digest(config), size_bytes, changed=True)

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
        image = self._note.image(digest)
        layers = self._registry.manifest(image).layers
        sent_bytes = sum(
            layer.size_bytes
            for layer, diff_id in zip(layers, diff_ids, strict=True)
            if diff_id.removeprefix("sha256:")[:12] in sent
        )
        self._note.write(image, commit.image_id, diff_ids=list(diff_ids))
        return Commit(str(image), commit.image_id, commit.layer_bytes, True), sent_bytes

    def _push(self, repository: str, tag: str) -> tuple[str, set[str]]:
        try:
            return self._store.push(repository, tag, self._registry.credentials)
        except RelocationError:
            # The engine says little of why. The repository itself may say more.
            self._registry.check_upload(self._note.tag)
            raise


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
