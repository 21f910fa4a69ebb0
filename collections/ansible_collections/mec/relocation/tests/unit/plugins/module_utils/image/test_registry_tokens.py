# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The registry client against Debian's registry, which asks for tokens as GitLab's does."""

from __future__ import annotations

import hashlib
import io
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.mec.relocation.plugins.module_utils.ground.errors import RelocationError
from ansible_collections.mec.relocation.plugins.module_utils.image.registry import (
    ImageReference,
    Registry,
)
from ansible_collections.mec.relocation.tests.unit.plugins.module_utils.image.tokens import (
    LEEWAY_S,
    PASSWORD,
    PULL,
    PUSH,
    TokenRegistry,
    token_registry,
)

DOCKER = "application/vnd.docker.distribution.manifest.v2+json"
IMAGE = ImageReference("mec/apps/a", tag="1")
OTHER = ImageReference("mec/apps/b", tag="1")
# What a token is valid for when it has to be spent soon.
SOON_S = 3


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[TokenRegistry]:
    with token_registry(tmp_path) as found:
        found.tokens.allowed = {IMAGE.name: PUSH, OTHER.name: PUSH}
        yield found


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def push_blob(
    registry: Registry, content: bytes = b"a layer", image: ImageReference = IMAGE
) -> int:
    return registry.push_blob(image, digest_of(content), io.BytesIO(content))


def push_image(registry: Registry, image: ImageReference = IMAGE) -> str:
    """An image of one layer; returns its digest."""
    layer, config = b"a layer", json.dumps({"rootfs": {"diff_ids": [digest_of(b"x")]}}).encode()
    for content in (layer, config):
        push_blob(registry, content, image)
    media_type = "application/vnd.docker.{}+json"
    manifest = {
        "schemaVersion": 2,
        "mediaType": DOCKER,
        "config": {
            "mediaType": media_type.format("container.image.v1"),
            "digest": digest_of(config),
            "size": len(config),
        },
        "layers": [
            {
                "mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip",
                "digest": digest_of(layer),
                "size": len(layer),
            }
        ],
    }
    return registry.push_manifest(image, manifest)[0]


def asked(repository: TokenRegistry) -> list[tuple[str, set[str]]]:
    """For which images tokens were asked, and for what."""
    scopes = [scope.split(":") for scope in repository.tokens.asked]
    assert all(kind == "repository" for kind, _, _ in scopes)
    return [(name, set(actions.split(","))) for _, name, actions in scopes]


def size_bytes(registry: Registry, digest: str) -> int:
    """The size of a blob, as the repository has it."""
    return int(registry._ask("HEAD", IMAGE, "blobs", digest).headers["Content-Length"])


def test_a_token_for_pulling_and_one_for_pushing(repository: TokenRegistry) -> None:
    digest = push_image(repository.client())
    assert asked(repository) == [(IMAGE.name, PULL), (IMAGE.name, PUSH)]
    repository.tokens.asked.clear()
    registry = repository.client()
    manifest = registry.manifest(IMAGE)
    assert manifest.digest == digest
    assert registry.diff_ids(IMAGE, manifest) == (digest_of(b"x"),)
    assert size_bytes(registry, manifest.layers[0].digest) == manifest.layers[0].size_bytes
    assert asked(repository) == [(IMAGE.name, PULL)]


def test_a_token_for_each_image(repository: TokenRegistry) -> None:
    registry = repository.client()
    assert push_image(registry, IMAGE) == push_image(registry, OTHER)
    assert asked(repository) == [
        (name, actions) for name in (IMAGE.name, OTHER.name) for actions in (PULL, PUSH)
    ]
    assert registry.has_manifest(IMAGE)
    assert registry.has_manifest(OTHER)


def test_the_password_goes_to_the_token_service_alone(repository: TokenRegistry) -> None:
    push_image(repository.client())
    assert len(repository.tokens.logins) == 2
    assert all(login.startswith("Basic ") for login in repository.tokens.logins)


def test_a_token_under_its_other_name(repository: TokenRegistry) -> None:
    repository.tokens.called = "access_token"
    assert not repository.client().has_manifest(IMAGE)


class Slow(io.BytesIO):
    """A layer that takes its time: the token with which its upload began is spent meanwhile."""

    tokens_before: int | None = None

    def __init__(self, content: bytes, repository: TokenRegistry) -> None:
        super().__init__(content)
        self._repository = repository

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        if self.tokens_before is None:
            self.tokens_before = len(self._repository.tokens.asked)
            time.sleep(SOON_S + 0.5)
        return super().seek(offset, whence)


# The registry closes the connection while a large body comes, and reads a small one to its end.
@pytest.mark.parametrize("length", [1000, 20_000_000], ids=["small", "large"])
def test_a_token_that_is_spent_in_an_upload(repository: TokenRegistry, length: int) -> None:
    repository.tokens.lifetime_s = SOON_S - LEEWAY_S
    content = b"z" * length
    slow = Slow(content, repository)
    assert repository.client().push_blob(IMAGE, digest_of(content), slow) == length
    assert slow.tokens_before == len(asked(repository)) - 1
    assert size_bytes(repository.client(), digest_of(content)) == length


def test_a_token_that_is_spent_between_requests(repository: TokenRegistry) -> None:
    repository.tokens.lifetime_s = SOON_S - LEEWAY_S
    registry = repository.client()
    assert not registry.has_manifest(IMAGE)
    time.sleep(SOON_S + 0.5)
    assert not registry.has_manifest(IMAGE)
    assert asked(repository) == [(IMAGE.name, PULL)] * 2


def test_a_wrong_password(repository: TokenRegistry) -> None:
    with pytest.raises(RelocationError, match=r"refuses user 'mec'.*password") as caught:
        push_blob(repository.client("wrong horse"))
    assert "wrong horse" not in str(caught.value)
    assert asked(repository) == []


def test_no_login(repository: TokenRegistry) -> None:
    with pytest.raises(RelocationError, match="refuses a client without login"):
        push_blob(repository.client(None))


def test_a_user_who_may_only_pull(repository: TokenRegistry) -> None:
    repository.tokens.allowed[IMAGE.name] = PULL
    registry = repository.client()
    assert not registry.has_manifest(IMAGE)
    with pytest.raises(RelocationError, match=r"does not give user 'mec' 'repository:mec/apps/a:"):
        push_blob(registry)


def test_an_image_outside_the_project(repository: TokenRegistry) -> None:
    with pytest.raises(RelocationError, match=r"'repository:a:pull'.*begins with its project's"):
        repository.client().manifest(ImageReference("a", tag="1"))


def test_a_token_that_was_never_good(repository: TokenRegistry) -> None:
    repository.tokens.lifetime_s = -2 * LEEWAY_S
    with pytest.raises(RelocationError, match=r"does not accept the token.*Compare the clocks"):
        repository.client().manifest(IMAGE)


@pytest.mark.parametrize(
    "answer",
    [
        (302, {"Location": "/sign-in"}, b""),
        (404, {}, b"{}"),
        (500, {}, b"oops"),
        (200, {}, b"<html>"),
        (200, {}, b"[]"),
        (200, {}, b"{}"),
        (200, {}, b'{"token": null, "access_token": ""}'),
        (200, {}, b'{"token": 1}'),
    ],
)
def test_a_token_service_that_gives_none(
    repository: TokenRegistry, answer: tuple[int, dict[str, str], bytes]
) -> None:
    repository.tokens.answer = answer
    with pytest.raises(RelocationError, match=r"token service localhost:\d+ .* gave no token"):
        repository.client().manifest(IMAGE)
    assert len(repository.tokens.logins) == 1


@pytest.mark.parametrize(
    "realm", ["http://localhost:{port}/jwt/auth", "//localhost:{port}/jwt/auth", "ftp://localhost"]
)
def test_the_password_is_sent_to_no_realm_without_tls(tmp_path: Path, realm: str) -> None:
    with token_registry(tmp_path, realm=realm) as repository:
        with pytest.raises(RelocationError, match=r"which is not https\. The password is not sent"):
            repository.client().manifest(IMAGE)
        assert repository.tokens.logins == []


def test_the_password_is_sent_to_no_realm_of_another_ca(tmp_path: Path) -> None:
    with token_registry(tmp_path, realm_ca="somebody") as repository:
        with pytest.raises(
            RelocationError, match=r"certificate of the token service localhost:\d+ .* not trusted"
        ):
            repository.client().manifest(IMAGE)
        assert repository.tokens.logins == []


def test_a_realm_that_is_down(tmp_path: Path) -> None:
    with (
        token_registry(tmp_path, realm="https://localhost:1/jwt/auth") as repository,
        pytest.raises(RelocationError, match=r"token service localhost:1 .* cannot be reached"),
    ):
        repository.client().manifest(IMAGE)


@pytest.mark.parametrize("host", ["http://127.0.0.1:1", "https://localhost:1"])
def test_a_token_is_sent_to_no_other_host(tmp_path: Path, host: str) -> None:
    with token_registry(tmp_path, host=host) as repository:
        repository.tokens.allowed = {IMAGE.name: PUSH}
        with pytest.raises(RelocationError, match=f"sent to '{host}.*The login is not sent there"):
            push_blob(repository.client())
        with pytest.raises(RelocationError, match="The login is not sent there"):
            repository.client().check_upload(IMAGE)


@pytest.mark.parametrize(("actions", "left"), [(PUSH, 1), (PUSH | {"delete"}, 0)])
def test_an_upload_can_be_tried(repository: TokenRegistry, actions: set[str], left: int) -> None:
    repository.tokens.allowed[IMAGE.name] = actions
    repository.client().check_upload(IMAGE)
    assert len(list(repository.ca.parent.glob("storage/**/_uploads/*/startedat"))) == left


def test_the_password_is_not_shown(repository: TokenRegistry) -> None:
    repository.tokens.answer = (500, {}, b"")
    with pytest.raises(RelocationError) as caught:
        repository.client().manifest(IMAGE)
    assert PASSWORD not in str(caught.value)
