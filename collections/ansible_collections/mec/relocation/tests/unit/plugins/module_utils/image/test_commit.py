# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Commits of an instance: what is sent, what is not sent again, and what the image is then.

The repository here is a dictionary; the real one takes part in the integration tests.
"""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import pytest
from ansible_collections.mec.relocation.plugins.module_utils.ground.app import App
from ansible_collections.mec.relocation.plugins.module_utils.ground.errors import RelocationError
from ansible_collections.mec.relocation.plugins.module_utils.image.commit import LayerCommit
from ansible_collections.mec.relocation.plugins.module_utils.image.registry import (
    ImageReference,
    Layer,
    Manifest,
)
from ansible_collections.mec.relocation.plugins.module_utils.platform.instance import Instance

BASE_ID = f"sha256:{1:064x}"
BASE_LAYER = f"sha256:{2:064x}"
MEDIA_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
APP = App.from_dict(
    {"name": "notes", "image": "notes:1", "port": 80, "secrets": {"PASSWORD": "hidden"}}
)
INSTANCE = Instance("notes-1", "notes-1", "172.17.0.2", BASE_ID, BASE_ID, running=True)


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


class Repository:
    """Keeps what is pushed."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[str, dict[str, Any]] = {}
        self.base_id = BASE_ID

    def manifest(self, _image: ImageReference) -> Manifest:
        document = {
            "mediaType": MEDIA_TYPE,
            "config": {"digest": self.base_id, "mediaType": "config", "size": 1},
            "layers": [{"digest": BASE_LAYER, "size": 10, "mediaType": "layer"}],
        }
        return Manifest("sha256:m", self.base_id, (Layer(BASE_LAYER, 10),), document)

    def config(self, _image: ImageReference, _manifest: Manifest) -> dict[str, Any]:
        return {
            "config": {"Env": ["PATH=/bin"], "User": "notes"},
            "history": [{"created_by": "base"}],
            "rootfs": {"type": "layers", "diff_ids": [BASE_LAYER]},
        }

    def has_manifest(self, image: ImageReference) -> bool:
        return image.reference in self.manifests

    def push_blob(self, _image: ImageReference, digest: str, content: IO[bytes]) -> int:
        content.seek(0)
        data = content.read()
        assert digest_of(data) == digest
        known = digest in self.blobs
        self.blobs[digest] = data
        return 0 if known else len(data)

    def push_manifest(self, _image: ImageReference, document: Mapping[str, Any]) -> Any:
        digest = digest_of(json.dumps(document).encode())
        is_new = digest not in self.manifests
        self.manifests[digest] = dict(document)
        return digest, is_new


class Place:
    """A container layer on this disk, and the state beside it."""

    def __init__(self, path: Path) -> None:
        self.state_dir = path / "state"
        self.layer = path / "upper"
        self.layer.mkdir()
        self.repository = Repository()

    def commits(self, instance: Instance = INSTANCE) -> LayerCommit:
        registry: Any = self.repository
        return LayerCommit(
            APP, instance, [str(self.layer), "/base-layer"], self.state_dir, registry
        )

    def write(self, name: str, content: bytes) -> None:
        """Write a file and let it grow old: what is young counts as changed."""
        path = self.layer / name
        path.write_bytes(content)
        old = time.time() - 60
        os.utime(path, (old, old))
        time.sleep(0.15)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def layers_of(repository: Repository, image: str) -> list[str]:
    manifest = repository.manifests[ImageReference.parse(image).reference]
    return [layer["digest"] for layer in manifest["layers"]]


def test_the_image_is_the_base_and_one_layer(place: Place) -> None:
    place.write("file", os.urandom(5000))
    commits = place.commits()
    commit, sent_bytes = commits.push(commits.commit())
    assert commit.changed and commit.layer_bytes == 5000
    assert sent_bytes == pytest.approx(5000, rel=0.1)
    base, layer = layers_of(place.repository, commit.image)
    assert base == BASE_LAYER
    config = json.loads(place.repository.blobs[commit.image_id])
    content = gzip.decompress(place.repository.blobs[layer])
    assert config["rootfs"]["diff_ids"] == [BASE_LAYER, digest_of(content)]
    assert config["config"] == {"Env": ["PATH=/bin"], "User": "notes"}
    assert "hidden" not in json.dumps(config)


def test_what_has_not_changed_is_not_sent_again(place: Place) -> None:
    place.write("file", b"x")
    commits = place.commits()
    first, _sent = commits.push(commits.commit())
    for again in (commits, place.commits()):
        commit, sent_bytes = again.push(again.commit())
        assert not commit.changed
        assert (commit.image, sent_bytes) == (first.image, 0)


def test_only_the_difference_is_sent(place: Place) -> None:
    place.write("big", os.urandom(100_000))
    commits = place.commits()
    commits.push(commits.commit())
    place.write("small", b"y")
    commit, sent_bytes = commits.push(commits.commit())
    assert commit.changed
    assert sent_bytes < 1000
    assert len(layers_of(place.repository, commit.image)) == 3


def test_layers_do_not_pile_up(place: Place) -> None:
    commits = place.commits()
    for number in range(12):
        place.write(f"file-{number}", b"y")
        commit, _sent = commits.push(commits.commit())
    assert len(layers_of(place.repository, commit.image)) <= 9


@pytest.mark.parametrize("other", ["instance", "repository"])
def test_another_instance_or_an_emptied_repository_begins_anew(place: Place, other: str) -> None:
    place.write("file", b"x")
    commits = place.commits()
    commits.push(commits.commit())
    place.repository.manifests.clear()
    instance = INSTANCE
    if other == "instance":
        instance = dataclasses.replace(INSTANCE, name="notes-2")
    again = place.commits(instance)
    commit, _sent = again.push(again.commit())
    assert commit.changed
    assert len(layers_of(place.repository, commit.image)) == 2


def test_an_estimate_makes_nothing(place: Place) -> None:
    place.write("file", b"xyz")
    assert place.commits().estimate().changed
    assert place.commits().estimate().layer_bytes == 3
    assert place.repository.blobs == {}
    commits = place.commits()
    commits.push(commits.commit())
    assert not place.commits().estimate().changed


def test_a_base_that_is_another_one_by_now_is_refused(place: Place) -> None:
    place.repository.base_id = f"sha256:{9:064x}"
    with pytest.raises(RelocationError, match="notes:1 in the repository is not the image that"):
        place.commits().commit()
