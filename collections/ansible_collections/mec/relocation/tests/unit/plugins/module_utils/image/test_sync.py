# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Images between engines that keep the rules of Docker's save and load, in memory."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, Any

import pytest
from ansible_collections.mec.relocation.plugins.module_utils.ground.errors import RelocationError
from ansible_collections.mec.relocation.plugins.module_utils.image.registry import (
    Credentials,
    ImageReference,
    Layer,
    Manifest,
    Registry,
)
from ansible_collections.mec.relocation.plugins.module_utils.image.store import (
    ImageStore,
    LocalImage,
)
from ansible_collections.mec.relocation.plugins.module_utils.image.sync import (
    FromRegistry,
    FromSource,
    ImageSync,
    Moved,
    Origin,
    describe,
    export_missing,
    export_size,
    known_layers,
    load_from,
    local_name,
)
from hypothesis import given
from hypothesis import strategies as st

REPOSITORY = "repository.mec.test:5000"
IMAGE = ImageReference("app", tag="1")
NAME = f"{REPOSITORY}/app:1"


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


class Engine(ImageStore):
    """An engine: layers by chain, images by the digest of their config, names."""

    def __init__(self, layout: str = "docker") -> None:
        self.layout = layout
        self.layers: dict[tuple[str, ...], bytes] = {}
        self.configs: dict[str, bytes] = {}
        self.names: dict[str, str] = {}
        self.digests: dict[str, str] = {}
        self.pulls: dict[str, tuple[list[bytes], set[str]]] = {}

    def build(self, layers: Sequence[bytes], *names: str) -> str:
        diff_ids = [digest_of(layer) for layer in layers]
        config = json.dumps({"rootfs": {"diff_ids": diff_ids}}).encode()
        for number, layer in enumerate(layers, 1):
            self.layers[tuple(diff_ids[:number])] = layer
        self.configs[digest_of(config)] = config
        self.names.update(dict.fromkeys(names, digest_of(config)))
        return digest_of(config)

    def find(self, *names: str) -> LocalImage | None:
        for name in names:
            image_id = self.names.get(name) or self.digests.get(name) or name
            if image_id in self.configs:
                diff_ids = json.loads(self.configs[image_id])["rootfs"]["diff_ids"]
                known = [digest for digest, of in self.digests.items() if of == image_id]
                return LocalImage(image_id, tuple(diff_ids), tuple(known))
        return None

    def all(self) -> list[LocalImage]:
        return [image for image_id in self.configs if (image := self.find(image_id))]

    def pull(self, name: str, digest: str, _login: Credentials | None) -> set[str]:
        layers, came = self.pulls[f"{name}@{digest}"]
        self.digests[f"{name}@{digest}"] = self.build(layers)
        return came

    def tag(self, image_id: str, name: str, tag: str) -> None:
        if image_id not in self.configs:
            raise RelocationError(f"No such image: {image_id}")
        self.names[f"{name}:{tag}"] = image_id

    def remove(self, name: str) -> None:
        self.configs.pop(name, None)

    def save(self, image_id: str) -> Iterator[bytes]:
        diff_ids = json.loads(self.configs[image_id])["rootfs"]["diff_ids"]
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as tar:
            if self.layout == "docker":
                entries = self._save_docker(tar, image_id, diff_ids)
            else:
                entries = self._save_oci(tar, image_id, diff_ids)
            add(tar, "manifest.json", json.dumps([entries]).encode())
        for begin in range(0, len(out.getvalue()), 1000):
            yield out.getvalue()[begin : begin + 1000]

    def _save_docker(self, tar: tarfile.TarFile, image_id: str, diff_ids: list[str]) -> Any:
        """Folders with random-looking names in order; a repeated layer is a link to the first."""
        paths: list[str] = []
        for number in range(1, len(diff_ids) + 1):
            folder = hashlib.sha256(str(diff_ids[:number]).encode()).hexdigest()
            paths.append(f"{folder}/layer.tar")
        order = sorted(range(len(paths)), key=lambda index: paths[index])
        for index in order:
            info = tarfile.TarInfo(paths[index].split("/", maxsplit=1)[0])
            info.type = tarfile.DIRTYPE
            tar.addfile(info)
            first = diff_ids.index(diff_ids[index])
            if first == index:
                add(tar, paths[index], self.layers[tuple(diff_ids[: index + 1])])
            else:
                info = tarfile.TarInfo(paths[index])
                info.type, info.linkname = tarfile.SYMTYPE, f"../{paths[first]}"
                tar.addfile(info)
        name = f"{image_id.removeprefix('sha256:')}.json"
        add(tar, name, self.configs[image_id])
        return {"Config": name, "RepoTags": None, "Layers": paths}

    def _save_oci(self, tar: tarfile.TarFile, image_id: str, diff_ids: list[str]) -> Any:
        blobs = {image_id: self.configs[image_id]}
        blobs |= {d: self.layers[tuple(diff_ids[:n])] for n, d in enumerate(diff_ids, 1)}
        path = {digest: f"blobs/sha256/{digest.removeprefix('sha256:')}" for digest in blobs}
        for digest in sorted(blobs):
            add(tar, path[digest], blobs[digest])
        return {"Config": path[image_id], "RepoTags": None, "Layers": [path[d] for d in diff_ids]}

    def load(self, chunks: Iterable[bytes]) -> None:
        try:
            with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as tar:
                for entry in json.loads(member(tar, "manifest.json")):
                    config = member(tar, entry["Config"])
                    diff_ids = json.loads(config)["rootfs"]["diff_ids"]
                    for number, path in enumerate(entry["Layers"], 1):
                        chain = tuple(diff_ids[:number])
                        if chain not in self.layers:
                            layer = member(tar, path)
                            assert digest_of(layer) == chain[-1]
                            self.layers[chain] = layer
                    self.configs[digest_of(config)] = config
        except (tarfile.TarError, KeyError) as error:
            raise RelocationError(f"Cannot load the image: {error!r}.") from error


def add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    tar.addfile(info, io.BytesIO(content))


def member(tar: tarfile.TarFile, name: str) -> bytes:
    found = tar.extractfile(name)
    assert found is not None
    return found.read()


class NextDoor:
    """A source whose engine is here, and whose stream may break off."""

    def __init__(self, engine: Engine, broken_at: int | None = None) -> None:
        self.engine = engine
        self.broken_at = broken_at

    def describe(self, image: str) -> dict[str, Any]:
        answer = describe(self.engine, ImageReference.parse(image), REPOSITORY)
        return dict(json.loads(json.dumps(answer)))

    def export_size(self, image_id: str, have_layers: Sequence[str]) -> int:
        return export_size(self.engine, image_id, have_layers)

    def export(
        self, image_id: str, have_layers: Sequence[str]
    ) -> contextlib.AbstractContextManager[IO[bytes]]:
        out = io.BytesIO()
        export_missing(self.engine, image_id, have_layers, out)
        return io.BytesIO(out.getvalue()[: self.broken_at])


class Shelf(Registry):
    """A registry of one image."""

    def __init__(self, layers: Sequence[bytes], config_digest: str) -> None:
        self.name, self.credentials = REPOSITORY, None
        self.contents = list(layers)
        self.found = Manifest(
            digest="sha256:" + "d" * 64,
            config_digest=config_digest,
            layers=tuple(Layer(digest_of(b"gzip " + each), len(each)) for each in layers),
        )

    def manifest(self, _: ImageReference, _platform: str = "linux/amd64") -> Manifest:
        return self.found

    def diff_ids(self, _: ImageReference, _manifest: Manifest) -> tuple[str, ...]:
        return tuple(digest_of(each) for each in self.contents)


def sync(target: Engine, origin: Origin, image: ImageReference = IMAGE) -> tuple[Moved, Moved]:
    """Plan, estimate and carry out; then nothing is left to do. Return estimate and truth."""
    todo = ImageSync(image, origin, target, REPOSITORY)
    plan = todo.plan()
    estimate = todo.estimate(plan)
    image_id, moved = todo.carry_out(plan)
    after = todo.plan()
    assert after.named and after.image_id == image_id and todo.estimate(after) == Moved()
    assert target.names[todo.name] == image_id
    return estimate, moved


LAYERS = st.lists(st.sampled_from([bytes([n]) * 3000 for n in range(4)]), min_size=1, max_size=5)


@pytest.mark.parametrize("layout", ["docker", "oci"])
@given(wanted=LAYERS, here=st.lists(LAYERS, max_size=3))
def test_only_what_is_missing_comes_from_a_source(
    layout: str, wanted: list[bytes], here: list[list[bytes]]
) -> None:
    source, target = Engine(layout), Engine()
    image_id = source.build(wanted, NAME)
    for layers in here:
        target.build(layers)
    known = known_layers(target.all(), [digest_of(layer) for layer in wanted])
    present = target.find(image_id) is not None
    estimate, moved = sync(target, FromSource(NextDoor(source), REPOSITORY))
    assert estimate == moved
    assert target.configs[image_id] == source.configs[image_id]
    if present:
        assert moved == Moved()
    else:
        missing = set(wanted[known:])
        assert moved.layers == len(missing)
        # The rest of an archive is its headers, padding and JSON.
        assert 3000 * len(missing) <= moved.size_bytes
        if known:
            assert moved.size_bytes < 3000 * len(missing) + 1024 * (4 * len(wanted) + 4) + 10240


@pytest.mark.parametrize("layout", ["docker", "oci"])
@pytest.mark.parametrize("broken_at", [0, 1500, 9000])
def test_a_stream_that_breaks_off_leaves_nothing(layout: str, broken_at: int) -> None:
    source, target = Engine(layout), Engine()
    source.build([b"a" * 5000, b"b" * 5000], NAME)
    with pytest.raises(RelocationError, match="Cannot load"):
        sync(target, FromSource(NextDoor(source, broken_at), REPOSITORY))
    assert not target.configs and not target.names


def test_what_came_and_is_another_image_is_refused() -> None:
    source, target = Engine(), Engine()
    other = source.build([b"other"])
    source.build([b"a"], NAME)

    class Liar(NextDoor):
        def export(
            self, _: str, have_layers: Sequence[str]
        ) -> contextlib.AbstractContextManager[IO[bytes]]:
            return super().export(other, have_layers)

    with pytest.raises(RelocationError, match="is not the image"):
        sync(target, FromSource(Liar(source), REPOSITORY))
    assert not target.names


def test_a_failure_after_loading_takes_the_image_away_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source, target = Engine(), Engine()
    image_id = source.build([b"a"], NAME)
    target.build([b"old"], NAME)

    def fail(*_: object) -> None:
        raise RelocationError("no tag today")

    monkeypatch.setattr(target, "tag", fail)
    with pytest.raises(RelocationError, match="no tag today"):
        sync(target, FromSource(NextDoor(source), REPOSITORY))
    assert image_id not in target.configs
    assert target.names[NAME] in target.configs, "what was there before stays"


def test_a_failure_does_not_take_away_what_was_there(monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = Engine(), Engine()
    image_id = source.build([b"a"], NAME)
    target.build([b"a"])
    monkeypatch.setattr(target, "tag", lambda *_: (_ for _ in ()).throw(RelocationError("no")))
    with pytest.raises(RelocationError):
        sync(target, FromSource(NextDoor(source), REPOSITORY))
    assert image_id in target.configs


def test_the_source_has_no_such_image() -> None:
    with pytest.raises(RelocationError, match=f"no image {NAME}"):
        sync(Engine(), FromSource(NextDoor(Engine()), REPOSITORY))


def test_an_id_that_is_none_is_refused() -> None:
    with pytest.raises(RelocationError, match="not the id"):
        export_size(Engine(), "../containers/json", [])


def test_an_export_that_is_no_archive(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine()
    image_id = engine.build([b"a"])
    monkeypatch.setattr(engine, "save", lambda _: iter([b"an error page"]))
    with pytest.raises(RelocationError, match="no tar archive"):
        export_size(engine, image_id, ["sha256:x"])


def shelf_and_target(layers: Sequence[bytes], came: int) -> tuple[Shelf, Engine]:
    shelf, target = Shelf(layers, Engine().build(layers)), Engine()
    ids = {each.digest.removeprefix("sha256:")[:12] for each in shelf.found.layers[-came:]}
    target.pulls[f"{REPOSITORY}/app@{shelf.found.digest}"] = (list(layers), ids)
    return shelf, target


def test_a_pull_counts_what_the_engine_downloaded() -> None:
    shelf, target = shelf_and_target([b"base" * 100, b"app" * 10], came=1)
    target.build([b"base" * 100])
    estimate, moved = sync(target, FromRegistry(shelf))
    assert estimate == moved == Moved(30, 1)
    assert target.find(NAME) == target.find(f"{REPOSITORY}/app@{shelf.found.digest}")


def test_a_tag_that_has_moved_in_the_repository_is_followed() -> None:
    shelf, target = shelf_and_target([b"new"], came=1)
    old = target.build([b"old"], NAME)
    plan = ImageSync(IMAGE, FromRegistry(shelf), target, REPOSITORY).plan()
    assert plan.before is not None and plan.before.image_id == old and not plan.named
    sync(target, FromRegistry(shelf))
    assert target.names[NAME] != old


def test_an_image_under_another_name_is_only_named() -> None:
    shelf, target = shelf_and_target([b"a"], came=1)
    target.build([b"a"], "elsewhere/app:2")
    assert sync(target, FromRegistry(shelf)) == (Moved(), Moved())


def test_an_image_by_digest_is_the_same_from_either_origin() -> None:
    shelf, source = shelf_and_target([b"a"], came=1)
    sync(source, FromRegistry(shelf))
    by_digest = ImageReference("app", digest=shelf.found.digest)
    target = Engine()
    sync(target, FromSource(NextDoor(source), REPOSITORY), by_digest)
    assert sync(target, FromRegistry(shelf), by_digest) == (Moved(), Moved())
    assert NextDoor(source).describe(str(IMAGE))["digest"] == shelf.found.digest


def test_names_on_the_hosts() -> None:
    digest = "sha256:" + "a" * 64
    assert local_name(IMAGE, REPOSITORY) == NAME
    expected = f"{REPOSITORY}/app:sha256-{'a' * 64}"
    assert local_name(ImageReference("app", digest=digest), REPOSITORY) == expected


def test_layers_are_known_only_upon_the_same_ones() -> None:
    images = [LocalImage("1", ("a", "b", "x"), ()), LocalImage("2", ("b", "c"), ())]
    assert known_layers(images, ["a", "b", "c"]) == 2
    assert known_layers(images, ["c"]) == 0
    assert known_layers([], ["a"]) == 0


def test_load_counts_what_came() -> None:
    source, target = Engine(), Engine()
    image_id = source.build([b"a" * 5000], NAME)
    out = io.BytesIO()
    export_missing(source, image_id, [], out)
    out.seek(0)
    assert load_from(target, out) == len(out.getvalue())
    assert target.find(image_id) == source.find(image_id)
