# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Debian's registry as a process of this machine, and a service that gives tokens for it.

The registry is the real one. The token service answers as GitLab's ``/jwt/auth`` does (and as the
distribution specification has it): a signed JWT with the part of the asked access that the user
has, 401 for a wrong password, and no word of how long the token is good for.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.server
import json
import re
import shutil
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from ansible_collections.mec.relocation.plugins.module_utils.image.registry import (
    Credentials,
    Registry,
)
from ansible_collections.mec.relocation.tests.unit.plugins.module_utils.image.https import (
    certificate,
    serve,
)
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

USER, PASSWORD = "mec", "correct horse"
SERVICE, ISSUER = "container_registry", "gitlab-issuer"
PULL, PUSH = {"pull"}, {"pull", "push"}
LEEWAY_S = 60


def _base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


@dataclass
class TokenService:
    """Who may do what, for how long, and what was asked.

    Attributes:
        key: what tokens are signed with.
        allowed: the user's access, by the name of the image.
        lifetime_s: how long a token is good for; the registry bears with it `LEEWAY_S` more.
        asked: the scopes of each request, in the order in which they came.
        logins: the Authorization header of each request.
        answer: what is said in place of a token: status, headers and content.
        called: what the token is called in an answer.
    """

    key: ec.EllipticCurvePrivateKey
    allowed: dict[str, set[str]] = field(default_factory=dict)
    lifetime_s: float = 300
    asked: list[str] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)
    answer: tuple[int, dict[str, str], bytes] | None = None
    called: str = "token"

    def token(self, scopes: list[str]) -> str:
        """A token as the registry checks it, for what is asked and allowed."""
        access = []
        for scope in scopes:
            kind, name, actions = scope.split(":")
            granted = set(actions.split(",")) & self.allowed.get(name, set())
            access.append({"type": kind, "name": name, "actions": sorted(granted)})
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "sub": USER,
            "aud": SERVICE,
            "iat": now,
            "nbf": now - 600,
            "exp": int(now + self.lifetime_s),
            "jti": str(uuid.uuid4()),
            "access": [entry for entry in access if entry["actions"]],
        }
        header = {"typ": "JWT", "alg": "ES256", "kid": self._key_id()}
        signed = ".".join(_base64url(json.dumps(part).encode()) for part in (header, claims))
        r, s = decode_dss_signature(self.key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{signed}.{_base64url(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"

    def _key_id(self) -> str:
        """The key's name as the registry knows it: base 32 of a part of its hash, in fours."""
        public = self.key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        digits = base64.b32encode(hashlib.sha256(public).digest()[:30]).decode()
        return ":".join(digits[start : start + 4] for start in range(0, len(digits), 4))


class _Handler(http.server.BaseHTTPRequestHandler):
    service: TokenService
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        service, query = self.service, parse_qs(urlsplit(self.path).query)
        login = self.headers.get("Authorization", "")
        service.logins.append(login)
        if service.answer is not None:
            return self._answer(*service.answer)
        if login != "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode():
            denied = {"errors": [{"code": "UNAUTHORIZED", "message": "HTTP Basic: Access denied"}]}
            return self._answer(401, {}, json.dumps(denied).encode())
        assert query["service"] == [SERVICE]
        scopes = query.get("scope", [])
        service.asked += scopes
        answer = {service.called: service.token(scopes)}
        return self._answer(200, {}, json.dumps(answer).encode())

    def _answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@dataclass
class TokenRegistry:
    """The registry, its token service, and what a client needs to know of them."""

    url: str
    ca: Path
    tokens: TokenService

    def client(self, password: str | None = PASSWORD) -> Registry:
        login = None if password is None else Credentials(USER, password)
        return Registry(self.url, self.ca, login)


def _port(process: subprocess.Popen[str]) -> int:
    """Where the registry listens, once it says so; what it says afterwards is passed over."""
    assert process.stderr is not None
    log = []
    for line in process.stderr:
        log.append(line)
        if found := re.search(r"listening on 127\.0\.0\.1:(\d+), tls", line):
            threading.Thread(target=process.stderr.read, daemon=True).start()
            return int(found[1])
    raise AssertionError("the registry did not start:\n" + "".join(log))


@contextlib.contextmanager
def registry(
    folder: Path, certificate: Path, key: Path, auth: dict[str, dict[str, str]], host: str = ""
) -> Iterator[str]:
    """Debian's registry with a login of some kind, as long as the block runs; gives its address.

    `host` is what it believes its own address to be; empty: what its clients call it.
    """
    program = shutil.which("docker-registry")
    assert program, "docker-registry is missing: testbed/packages tests, and .mec/bin on the PATH"
    config = {
        "version": 0.1,
        "log": {"accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(folder / "storage")}},
        "http": {
            "addr": "127.0.0.1:0",
            "host": host,
            "tls": {"certificate": str(certificate), "key": str(key)},
        },
        "auth": auth,
    }
    (folder / "registry.yml").write_text(json.dumps(config))
    with subprocess.Popen(
        [program, "serve", folder / "registry.yml"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield f"127.0.0.1:{_port(process)}"
        finally:
            process.terminate()


@contextlib.contextmanager
def token_registry(
    folder: Path,
    *,
    realm: str = "https://localhost:{port}/jwt/auth",
    realm_ca: str = "repository",
    host: str = "",
) -> Iterator[TokenRegistry]:
    """A registry that asks for tokens, as long as the block runs.

    Args:
        folder: where its files may be.
        realm: where it sends its clients for tokens; another host than its own, as far as TLS and
            HTTP can tell.
        realm_ca: whose certificate is shown there.
        host: as in `registry`.
    """
    ca, key = certificate(folder, "repository")
    at_realm = (ca, key) if realm_ca == "repository" else certificate(folder, realm_ca)
    trusted, signing = certificate(folder, "tokens")
    loaded = serialization.load_pem_private_key(signing.read_bytes(), None)
    assert isinstance(loaded, ec.EllipticCurvePrivateKey)
    tokens = TokenService(loaded)
    handler = type("BoundHandler", (_Handler,), {"service": tokens})
    with serve(handler, *at_realm) as port:
        auth = {
            "realm": realm.format(port=port),
            "service": SERVICE,
            "issuer": ISSUER,
            "rootcertbundle": str(trusted),
        }
        with registry(folder, ca, key, {"token": auth}, host) as address:
            yield TokenRegistry(f"https://{address}", ca, tokens)
