# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The registry client against a repository that speaks TLS on the loopback interface."""

from __future__ import annotations

import base64
import hashlib
import http.server
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from ansible_collections.mec.relocation.plugins.module_utils.ground.errors import RelocationError
from ansible_collections.mec.relocation.plugins.module_utils.image.registry import (
    Credentials,
    ImageReference,
    Layer,
    Registry,
)
from ansible_collections.mec.relocation.tests.unit.plugins.module_utils.image.https import (
    certificate,
    serve,
)
from hypothesis import given
from hypothesis import strategies as st

USER, PASSWORD, TOKEN = "mec", "correct horse", "t0ken"
DOCKER = "application/vnd.docker.distribution.manifest.v2+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@dataclass
class Repository:
    """What the server holds and how it behaves."""

    url: str = ""
    ca: Path = Path()
    scheme: str = "Basic"
    realm: str = ""
    challenge: str = ""
    documents: dict[str, tuple[bytes, str]] = field(default_factory=dict)
    lies: dict[str, str] = field(default_factory=dict)
    refuses: tuple[int, str] | None = None
    logins: list[str] = field(default_factory=list)

    def put(self, name: str, kind: str, document: Any, *tags: str, media_type: str = DOCKER) -> str:
        content = json.dumps(document).encode()
        for reference in (digest_of(content), *tags):
            self.documents[f"/v2/{name}/{kind}/{reference}"] = (content, media_type)
        return digest_of(content)

    def put_image(self, name: str, tag: str, layers: int = 2) -> tuple[str, str]:
        config = self.put(
            name, "blobs", {"rootfs": {"diff_ids": [f"sha256:{n:064x}" for n in range(layers)]}}
        )
        manifest = {
            "mediaType": DOCKER,
            "config": {"digest": config, "size": 1},
            "layers": [{"digest": f"sha256:{n:064d}", "size": 100 + n} for n in range(layers)],
        }
        return self.put(name, "manifests", manifest, tag), config

    def registry(self, password: str | None = PASSWORD) -> Registry:
        login = None if password is None else Credentials(USER, password)
        return Registry(self.url, self.ca, login)


class Handler(http.server.BaseHTTPRequestHandler):
    repository: Repository
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        self.do_GET()

    def do_PUT(self) -> None:
        self.content = self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def take(self, path: str, query: dict[str, list[str]]) -> None:
        """What is pushed: an upload is begun, then a blob or a manifest is kept."""
        if self.repository.refuses is not None:
            status, why = self.repository.refuses
            return self.answer(status, json.dumps({"errors": [{"message": why}]}).encode())
        if self.command == "POST":
            return self.answer(202, headers={"Location": f"{path}1?_state=x"})
        if "/uploads/" in path:
            assert query["_state"] == ["x"]
            [digest] = query["digest"]
            assert digest == digest_of(self.content)
            path = path.partition("/uploads/")[0] + f"/{digest}"
        content_type = self.headers["Content-Type"]
        self.repository.documents[path] = (self.content, content_type)
        by_digest = f"{path.rpartition('/')[0]}/{digest_of(self.content)}"
        self.repository.documents[by_digest] = (self.content, content_type)
        return self.answer(201)

    def do_GET(self) -> None:
        url, login = urlsplit(self.path), self.headers.get("Authorization", "")
        basic = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        self.repository.logins.append(login)
        if url.path == "/token":
            if login != basic:
                return self.answer(401)
            assert parse_qs(url.query) == {"service": ["repo"], "scope": ["repository:a:pull"]}
            return self.answer(200, json.dumps({"token": TOKEN}).encode())
        wanted = basic if self.repository.scheme == "Basic" else f"Bearer {TOKEN}"
        if login != wanted:
            realm = self.repository.realm or f"{self.repository.url}/token"
            challenge = self.repository.challenge or (
                f'{self.repository.scheme} realm="{realm}",service="repo",scope="repository:a:pull"'
            )
            return self.answer(401, headers={"WWW-Authenticate": challenge})
        if self.command in ("POST", "PUT"):
            return self.take(url.path, parse_qs(url.query))
        if url.path not in self.repository.documents:
            return self.answer(500 if url.path.endswith("/broken") else 404)
        content, media_type = self.repository.documents[url.path]
        said = self.repository.lies.get(url.path, digest_of(content))
        headers = {"Content-Type": media_type, "Docker-Content-Digest": said}
        return self.answer(200, content, headers)

    def answer(
        self, status: int, content: bytes = b"", headers: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Repository]:
    found = Repository()
    found.ca, key = certificate(tmp_path, "repository")
    handler = type("BoundHandler", (Handler,), {"repository": found})
    with serve(handler, found.ca, key) as port:
        found.url = f"https://127.0.0.1:{port}"
        yield found


IMAGE = ImageReference("a", tag="1")


@pytest.mark.parametrize("scheme", ["Basic", "Bearer"])
def test_a_tag_becomes_digests_and_layers(repository: Repository, scheme: str) -> None:
    repository.scheme = scheme
    digest, config = repository.put_image("a", "1")
    registry = repository.registry()
    manifest = registry.manifest(IMAGE)
    assert (manifest.digest, manifest.config_digest) == (digest, config)
    assert manifest.layers == (Layer(f"sha256:{0:064d}", 100), Layer(f"sha256:{1:064d}", 101))
    assert registry.diff_ids(IMAGE, manifest) == (f"sha256:{0:064x}", f"sha256:{1:064x}")
    assert registry.manifest(ImageReference("a", digest=digest)) == manifest


def test_an_index_is_followed_to_the_platform(repository: Repository) -> None:
    amd64, _ = repository.put_image("a", "amd64")
    arm64, _ = repository.put_image("a", "arm64", layers=1)
    index = {
        "manifests": [
            {"digest": arm64, "platform": {"os": "linux", "architecture": "arm64"}},
            {"digest": amd64, "platform": {"os": "linux", "architecture": "amd64"}},
        ]
    }
    repository.put("a", "manifests", index, "1", media_type=OCI_INDEX)
    assert repository.registry().manifest(IMAGE).digest == amd64
    with pytest.raises(RelocationError, match=r"linux/riscv64, only for linux/arm64, linux/amd64"):
        repository.registry().manifest(IMAGE, "linux/riscv64")


def test_an_image_that_is_not_there(repository: Repository) -> None:
    with pytest.raises(RelocationError, match=r"no image a:1\. Push it"):
        repository.registry().manifest(IMAGE)


@pytest.mark.parametrize("scheme", ["Basic", "Bearer"])
def test_a_wrong_password(repository: Repository, scheme: str) -> None:
    repository.put_image("a", "1")
    repository.scheme = scheme
    with pytest.raises(RelocationError, match="refuses user 'mec'") as caught:
        repository.registry("wrong").manifest(IMAGE)
    assert "wrong" not in str(caught.value)


def test_no_login_where_one_is_asked_for(repository: Repository) -> None:
    with pytest.raises(RelocationError, match="refuses a client without login"):
        repository.registry(None).manifest(IMAGE)


def test_the_password_goes_nowhere_in_the_clear(repository: Repository) -> None:
    repository.scheme, repository.realm = "Bearer", "http://127.0.0.1:1/token"
    with pytest.raises(RelocationError, match="not https"):
        repository.registry().manifest(IMAGE)
    assert set(repository.logins) == {""}


def test_a_login_of_another_kind(repository: Repository) -> None:
    repository.scheme = "Negotiate"
    with pytest.raises(RelocationError, match="Negotiate"):
        repository.registry().manifest(IMAGE)


@pytest.mark.parametrize(
    "challenge",
    [
        "Bearer",
        "Bearer realm",
        "Bearer realm=",
        'Bearer realm="https://["',
        "Bearer realm=https://",
    ],
)
def test_a_challenge_that_cannot_be_read(repository: Repository, challenge: str) -> None:
    repository.challenge = challenge
    with pytest.raises(RelocationError, match=r"asks to sign in at .*not sent there"):
        repository.registry().manifest(IMAGE)
    assert set(repository.logins) == {""}


def test_another_ca(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.put_image("a", "1")
    other, _ = certificate(tmp_path, "other")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(repository.ca))
    registry = Registry(repository.url, other, Credentials(USER, PASSWORD))
    with pytest.raises(RelocationError, match="not trusted"):
        registry.manifest(IMAGE)
    assert repository.logins == []


def test_a_repository_that_is_down(repository: Repository) -> None:
    registry = Registry("https://127.0.0.1:1", repository.ca, None)
    with pytest.raises(RelocationError, match=r"127\.0\.0\.1:1 cannot be reached.*refused"):
        registry.manifest(IMAGE)


def test_a_repository_with_trouble_of_its_own(repository: Repository) -> None:
    with pytest.raises(RelocationError, match="answered 500"):
        repository.registry().manifest(ImageReference("a", tag="broken"))


def test_content_that_its_digest_denies(repository: Repository) -> None:
    digest, config = repository.put_image("a", "1")
    good = repository.registry().manifest(IMAGE)
    repository.lies["/v2/a/manifests/1"] = config
    with pytest.raises(RelocationError, match=f"{digest}, not {config}"):
        repository.registry().manifest(IMAGE)
    path = f"/v2/a/blobs/{config}"
    repository.documents[path] = (b'{"rootfs": {"diff_ids": []}}', DOCKER)
    repository.lies[path] = config
    with pytest.raises(RelocationError, match=f"not {config}"):
        repository.registry().diff_ids(IMAGE, good)


@pytest.mark.parametrize(
    "document",
    [
        [],
        {},
        {"config": {"digest": "sha256:short"}, "layers": []},
        {"config": {"digest": "sha256:" + "0" * 64}, "layers": [{"digest": "../x", "size": 1}]},
        {"config": {"digest": "sha256:" + "0" * 64}, "layers": [{}]},
    ],
)
def test_a_manifest_of_something_else(repository: Repository, document: Any) -> None:
    repository.put("a", "manifests", document, "1")
    with pytest.raises(RelocationError, match="a:1"):
        repository.registry().manifest(IMAGE)


def test_a_document_without_end(repository: Repository) -> None:
    repository.put("a", "manifests", {"x": "y" * 5_000_000}, "1")
    with pytest.raises(RelocationError, match="larger than"):
        repository.registry().manifest(IMAGE)


@pytest.mark.parametrize("url", ["http://127.0.0.1:5000", "127.0.0.1:5000", "https://"])
def test_an_address_without_tls(url: str, repository: Repository) -> None:
    with pytest.raises(RelocationError, match="not an https"):
        Registry(url, repository.ca)


def test_a_ca_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(RelocationError, match=r"ca\.crt"):
        Registry("https://127.0.0.1:5000", tmp_path / "ca.crt")


@pytest.mark.parametrize("content", [None, "", "[]", '{"username": "x"}'])
def test_credentials_that_cannot_be_read(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "repository.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(RelocationError, match=r"repository\.json"):
        Credentials.load(path)


def test_credentials_are_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "repository.json"
    path.write_text(json.dumps({"username": USER, "password": PASSWORD}))
    assert PASSWORD not in repr(Credentials.load(path))
    assert Credentials.load(path).password == PASSWORD


@pytest.mark.parametrize(
    "text",
    ["videoapp:1.0", "a/b-c/d__e.f:latest", "radicale:3.1", f"videoapp@sha256:{'0a' * 32}"],
)
def test_references_that_are_taken(text: str) -> None:
    assert str(ImageReference.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "videoapp",
        "videoapp:",
        ":1.0",
        "../videoapp:1.0",
        "a/../b:1",
        "a//b:1",
        "/a:1",
        "a/:1",
        "A:1",
        "a_-b:1",
        "a:../../etc",
        "a:1/2",
        "a:.1",
        "a:" + "1" * 129,
        "a" * 256 + ":1",
        "host:5000/a:1",
        "a:1\n",
        "a@sha256:0",
        f"a@sha256:{'0A' * 32}",
        f"a:1@sha256:{'0a' * 32}",
        "a:1?x=y",
        "a:1#x",
        "a%2e:1",
    ],
)
def test_references_that_are_refused(text: str) -> None:
    with pytest.raises(RelocationError, match="not an image"):
        ImageReference.parse(text)


@given(st.text(alphabet="aA0._-/:@%\n", max_size=12))
def test_what_is_taken_is_safe_in_a_path(text: str) -> None:
    try:
        image = ImageReference.parse(text)
    except RelocationError:
        return
    assert str(image) == text
    for part in (*image.name.split("/"), image.reference):
        assert part and not part.startswith(".") and "/" not in part


@pytest.mark.parametrize("scheme", ["Basic", "Bearer"])
@pytest.mark.parametrize("content", [b"a layer", b""])
def test_a_blob_is_sent_once(repository: Repository, scheme: str, content: bytes) -> None:
    repository.scheme = scheme
    registry = repository.registry()
    assert registry.push_blob(IMAGE, digest_of(content), io.BytesIO(content)) == len(content)
    assert repository.documents[f"/v2/a/blobs/{digest_of(content)}"][0] == content
    assert registry.push_blob(IMAGE, digest_of(content), io.BytesIO(content)) == 0


def test_a_manifest_is_pushed_and_found_by_its_digest(repository: Repository) -> None:
    repository.put_image("a", "1")
    registry = repository.registry()
    manifest = registry.manifest(IMAGE)
    digest, is_new = registry.push_manifest(ImageReference("a", tag="2"), manifest.document)
    assert is_new
    assert registry.push_manifest(ImageReference("a", tag="3"), manifest.document) == (
        digest,
        False,
    )
    found = ImageReference("a", digest=digest)
    assert registry.has_manifest(found)
    assert registry.manifest(found).layers == manifest.layers
    assert not registry.has_manifest(ImageReference("a", digest=f"sha256:{0:064x}"))


def test_a_push_that_is_refused_says_why(repository: Repository) -> None:
    repository.refuses = (500, "no space left on device")
    with pytest.raises(RelocationError, match=r"answered 500 .* for a:1: no space left on device"):
        repository.registry().push_blob(IMAGE, digest_of(b"x"), io.BytesIO(b"x"))
    with pytest.raises(RelocationError, match="to keep its manifest"):
        repository.registry().push_manifest(IMAGE, {"mediaType": DOCKER})


def test_a_wrong_password_is_named_when_pushing(repository: Repository) -> None:
    with pytest.raises(RelocationError, match="refuses user 'mec'"):
        repository.registry("wrong").push_blob(IMAGE, digest_of(b"x"), io.BytesIO(b"x"))
