# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Pre-copy 1: an image becomes present on this ME host, from the repository or from a source.

An image is the same image when its digest is: the manifest digest in the repository, the config
digest (the engine's image id) on the hosts. Tags are only names that are put on at the end.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import re
import shutil
import tarfile
import tempfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Any, Protocol

from ..ground.config import HostConfig
from ..ground.errors import RelocationError
from ..wire.channel import Channel, open_stream
from ..wire.steps import Described, ImageDescribe, ImageExport, ImageExportSize
from .registry import ImageReference, Manifest, Registry
from .store import SILENCE_S, ImageStore, LocalImage

_IMAGE_ID = re.compile(r"sha256:[0-9a-f]{64}")
_CHUNK_BYTES = 256 * 1024
# Smaller tar members stay in memory while their digest is computed; layers go to the disk, and not
# to /tmp, which may be memory too.
_SPOOL_BYTES = 1024 * 1024
_SPOOL_DIRECTORY = "/var/tmp"  # noqa: S108 - tempfile makes unguessable names in it


@dataclass(frozen=True)
class Wanted:
    """The image that has to become present.

    `digest` (of the manifest) is None where only the source's engine knows the image.
    """

    image_id: str
    digest: str | None


@dataclass(frozen=True)
class Moved:
    """What crossed the network, or would."""

    size_bytes: int = 0
    layers: int = 0


class Source(Protocol):
    """The ME host that an image comes from, seen from the target."""

    def describe(self, image: str) -> Described:
        """The answer of ``describe`` there."""

    def export_size(self, image_id: str, have_layers: Sequence[str]) -> int:
        """The answer of ``export_size`` there."""

    def export(
        self, image_id: str, have_layers: Sequence[str]
    ) -> contextlib.AbstractContextManager[IO[bytes]]:
        """The output of ``export_missing`` there."""


class Peer:
    """A source that is reached over the channel, as the agent's steps ``image_*``."""

    def __init__(self, config: HostConfig, name: str) -> None:
        config.peer_address(name)
        self._config = config
        self._name = name

    def describe(self, image: str) -> Described:
        with Channel(self._config, self._name) as channel:
            return channel.begin(ImageDescribe(image)).result()

    def export_size(self, image_id: str, have_layers: Sequence[str]) -> int:
        with Channel(self._config, self._name) as channel:
            return channel.begin(ImageExportSize(image_id, have_layers)).result(SILENCE_S)

    def export(
        self, image_id: str, have_layers: Sequence[str]
    ) -> contextlib.AbstractContextManager[IO[bytes]]:
        return open_stream(self._config, self._name, ImageExport(image_id, have_layers))


class Origin(Protocol):
    """Where an image comes from."""

    def wanted(self, image: ImageReference) -> Wanted:
        """The digests of the image, as this origin has it."""

    def estimate(self, store: ImageStore) -> Moved:
        """What `bring` would move."""

    def bring(self, store: ImageStore) -> Moved:
        """Make the wanted image present, under no tag yet."""


class FromRegistry:
    """Images come from the repository, and the engine pulls them."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._image: ImageReference
        self._manifest: Manifest

    def wanted(self, image: ImageReference) -> Wanted:
        self._image = image
        self._manifest = self._registry.manifest(image)
        return Wanted(self._manifest.config_digest, self._manifest.digest)

    def estimate(self, store: ImageStore) -> Moved:
        diff_ids = self._registry.diff_ids(self._image, self._manifest)
        missing = self._manifest.layers[known_layers(store.all(), diff_ids) :]
        return _sum({layer.digest: layer.size_bytes for layer in missing})

    def bring(self, store: ImageStore) -> Moved:
        came = store.pull(
            f"{self._registry.name}/{self._image.name}",
            self._manifest.digest,
            self._registry.credentials,
        )
        return _sum(
            {
                layer.digest: layer.size_bytes
                for layer in self._manifest.layers
                if layer.digest.removeprefix("sha256:")[:12] in came
            }
        )


class FromSource:
    """Images come straight from the engine of another ME host, without the layers known here."""

    def __init__(self, source: Source, repository: str) -> None:
        self._source = source
        self._repository = repository
        self._wanted: Wanted
        self._diff_ids: tuple[str, ...]

    def wanted(self, image: ImageReference) -> Wanted:
        answer = self._source.describe(str(image))
        self._wanted = Wanted(answer["image_id"], answer["digest"])
        self._diff_ids = tuple(answer["diff_ids"])
        return self._wanted

    def estimate(self, store: ImageStore) -> Moved:
        known = known_layers(store.all(), self._diff_ids)
        size_bytes = self._source.export_size(self._wanted.image_id, self._omitted(known))
        return Moved(size_bytes, len(set(self._diff_ids[known:])))

    def bring(self, store: ImageStore) -> Moved:
        known = known_layers(store.all(), self._diff_ids)
        with self._source.export(self._wanted.image_id, self._omitted(known)) as stream:
            size_bytes = load_from(store, stream)
        return Moved(size_bytes, len(set(self._diff_ids[known:])))

    def _omitted(self, known: int) -> list[str]:
        """The known layers, unless the same content stands in the unknown part once more."""
        missing = set(self._diff_ids[known:])
        return [diff_id for diff_id in self._diff_ids[:known] if diff_id not in missing]


@dataclass(frozen=True)
class Plan:
    """What is, and what has to be done. `before` is the image that bears the name now."""

    wanted: Wanted
    before: LocalImage | None
    present: LocalImage | None

    @property
    def image_id(self) -> str:
        """The id of the image here; the config digest where it has yet to come."""
        return self.present.image_id if self.present else self.wanted.image_id

    @property
    def named(self) -> bool:
        """Whether the name means the wanted image already."""
        return self.before is not None and self.before.image_id == self.image_id


class ImageSync:
    """Makes one image present on this host."""

    def __init__(
        self, image: ImageReference, origin: Origin, store: ImageStore, repository: str
    ) -> None:
        self.name = local_name(image, repository)
        self._image = image
        self._origin = origin
        self._store = store
        self._repository, self._tag = self.name.rsplit(":", 1)

    def plan(self) -> Plan:
        """Compare the wanted image with what is here; changes nothing."""
        wanted = self._origin.wanted(self._image)
        return Plan(wanted, self._store.find(self.name), self._find(wanted))

    def estimate(self, plan: Plan) -> Moved:
        """What carrying out the plan would move."""
        return Moved() if plan.present else self._origin.estimate(self._store)

    def carry_out(self, plan: Plan) -> tuple[str, Moved]:
        """Bring the image and name it; return its id here, and what moved.

        A failure leaves neither a half image nor another name.

        Raises:
            RelocationError: the image did not come, or what came is another one.
        """
        with contextlib.ExitStack() as undo:
            moved = Moved()
            if plan.present is None:
                undo.callback(self._discard, plan.wanted)
                moved = self._origin.bring(self._store)
            image = plan.present or self._find(plan.wanted)
            if image is None:
                raise RelocationError(
                    f"What came as {self._image} is not the image {plan.wanted.image_id}.",
                    "Push the image again, or look at the engine's log on this host.",
                )
            if not plan.named:
                self._store.tag(image.image_id, self._repository, self._tag)
            undo.pop_all()
        return image.image_id, moved

    def _discard(self, wanted: Wanted) -> None:
        image = self._find(wanted)
        if image is not None:
            self._store.remove(image.image_id)

    def _find(self, wanted: Wanted) -> LocalImage | None:
        """By id: engines name an image by its config digest, or (containerd's) its manifest's."""
        names = [wanted.image_id]
        if wanted.digest is not None:
            names.append(f"{self._repository}@{wanted.digest}")
        return self._store.find(*names)


def local_name(image: ImageReference, repository: str) -> str:
    """The name of an image on the hosts, ``repository.mec.test:5000/videoapp:1.0``.

    An image that is wanted by digest gets a tag made of the digest, because an engine that was
    given an image from elsewhere than a repository knows no manifest digest of it.
    """
    tag = image.tag or image.reference.replace(":", "-")
    return f"{repository}/{image.name}:{tag}"


def known_layers(images: Iterable[LocalImage], diff_ids: Sequence[str]) -> int:
    """How many of the lowest layers are here, one upon the other as they are in an image."""
    longest = 0
    for image in images:
        length = 0
        for ours, theirs in zip(image.diff_ids, diff_ids, strict=False):
            if ours != theirs:
                break
            length += 1
        longest = max(longest, length)
    return longest


def describe(store: ImageStore, image: ImageReference, repository: str) -> Described:
    """The source's answer to what `image` is there: ``image_id``, ``digest``, ``diff_ids``.

    Raises:
        RelocationError: the source has no such image.
    """
    name = local_name(image, repository)
    by_digest = [f"{repository}/{image.name}@{image.digest}"] if image.digest else []
    found = store.find(name, *by_digest)
    if found is None:
        raise RelocationError(
            f"The source has no image {name}.", "Take it from the repository (from: registry)."
        )
    prefix = f"{repository}/{image.name}@"
    digests = [known.removeprefix(prefix) for known in found.digests if known.startswith(prefix)]
    return {
        "image_id": found.image_id,
        "digest": image.digest or next(iter(digests), None),
        "diff_ids": list(found.diff_ids),
    }


def export_missing(
    store: ImageStore, image_id: str, have_layers: Collection[str], out: IO[bytes]
) -> None:
    """Write the image as a tar stream without the layers that the target has.

    A layer's diff_id is the digest of its tar file, whatever the engine calls that file, so the
    members of the stream are judged by their content. Only an image whose lowest layers are the
    ones left out can be loaded again (`known_layers`).

    Raises:
        RelocationError: `image_id` is no id, is not here, or the engine cannot export it.
    """
    if not _IMAGE_ID.fullmatch(image_id):
        raise RelocationError(f"{image_id!r} is not the id of an image.")
    stream = io.BufferedReader(_ChunkReader(store.save(image_id)), _CHUNK_BYTES)
    if not have_layers:
        shutil.copyfileobj(stream, out, _CHUNK_BYTES)
        return
    try:
        with (
            tarfile.open(fileobj=stream, mode="r|") as whole,
            tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT) as rest,
        ):
            for member in whole:
                content = whole.extractfile(member) if member.isreg() else None
                if content is None:
                    rest.addfile(member)
                    continue
                with tempfile.SpooledTemporaryFile(_SPOOL_BYTES, dir=_SPOOL_DIRECTORY) as spool:
                    if _copy(content, spool) not in have_layers:
                        spool.seek(0)
                        rest.addfile(member, spool)
    except tarfile.TarError as error:
        raise RelocationError(
            f"The engine's export of {image_id} is no tar archive: {error}.",
            "Look at the engine's log on this host.",
        ) from error


def load_from(store: ImageStore, stream: IO[bytes]) -> int:
    """Load what `export_missing` wrote; return how many bytes that was."""
    size_bytes = 0

    def chunks() -> Iterator[bytes]:
        nonlocal size_bytes
        while chunk := stream.read(_CHUNK_BYTES):
            size_bytes += len(chunk)
            yield chunk

    store.load(chunks())
    return size_bytes


def export_size(store: ImageStore, image_id: str, have_layers: Collection[str]) -> int:
    """How many bytes `export_missing` would write."""
    sink = _CountingSink()
    with io.BufferedWriter(sink, _CHUNK_BYTES) as out:
        export_missing(store, image_id, have_layers, out)
    return sink.size_bytes


class _ChunkReader(io.RawIOBase):
    """A file over chunks of bytes."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._rest:
            self._rest = next(self._chunks, b"")
        length = min(len(buffer), len(self._rest))
        buffer[:length], self._rest = self._rest[:length], self._rest[length:]
        return length


class _CountingSink(io.RawIOBase):
    """A file that keeps nothing of what is written to it but its size."""

    size_bytes = 0

    def writable(self) -> bool:
        return True

    def write(self, chunk: Any) -> int:
        self.size_bytes += len(chunk)
        return len(chunk)


def _copy(content: Any, spool: Any) -> str:
    """Copy, and return the digest of what was copied."""
    digest = hashlib.sha256()
    while chunk := content.read(_CHUNK_BYTES):
        digest.update(chunk)
        spool.write(chunk)
    return f"sha256:{digest.hexdigest()}"


def _sum(size_bytes: dict[str, int]) -> Moved:
    return Moved(sum(size_bytes.values()), len(size_bytes))
