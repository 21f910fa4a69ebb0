# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A client of the image repository: the part of the OCI distribution API that relocation needs.

Source: OCI Distribution Specification 1.1; RFC 7617 (Basic) and RFC 6750 (Bearer) for the login,
with tokens as the Distribution registry and GitLab ask for them ("Token Authentication
Specification" of the former). The password is sent over TLS only: to the repository, or to the
token service that it names. Every document is checked against the digest that it was asked for by.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlencode, urljoin, urlsplit, urlunsplit
from urllib.request import parse_http_list, parse_keqv_list

from ..ground.config import Repository
from ..ground.errors import RelocationError

try:
    import requests
except ImportError as error:
    _IMPORT_ERROR: ImportError | None = error
else:
    _IMPORT_ERROR = None

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_NAME = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_NAME_LENGTH = 255

_INDEX_TYPES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_MANIFEST_TYPES = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
# The distribution specification lets a repository refuse larger manifests; configs are as small.
_DOCUMENT_BYTES = 4 * 1024 * 1024
_TIMEOUT_S = (5, 30)


@dataclass(frozen=True)
class ImageReference:
    """An image as users name it: ``videoapp:1.0`` or ``videoapp@sha256:...``."""

    name: str
    tag: str | None = None
    digest: str | None = None

    @classmethod
    def parse(cls, text: str) -> ImageReference:
        """Check a reference against the grammar of the distribution specification.

        Raises:
            RelocationError: it is not ``name:tag`` or ``name@sha256:...``.
        """
        name, at, digest = text.partition("@")
        colon, tag = "", ""
        if not at:
            name, colon, tag = text.partition(":")
        if (
            len(name) <= _NAME_LENGTH
            and _NAME.fullmatch(name)
            and (not at or _DIGEST.fullmatch(digest))
            and (at or (colon and _TAG.fullmatch(tag)))
        ):
            return cls(name, tag=tag or None, digest=digest or None)
        raise RelocationError(
            f"{text!r} is not an image in the testbed's repository.",
            "Write name:tag or name@sha256:<64 hexadecimal digits>, without a host, "
            "the name in lower-case letters, digits and single separators.",
        )

    @property
    def reference(self) -> str:
        """What the distribution API calls the reference: the tag or the digest."""
        return self.digest or self.tag or ""

    def __str__(self) -> str:
        return f"{self.name}@{self.digest}" if self.digest else f"{self.name}:{self.tag}"


@dataclass(frozen=True)
class Layer:
    """A layer as the repository stores it: ``size_bytes`` counts it compressed."""

    digest: str
    size_bytes: int


@dataclass(frozen=True)
class Manifest:
    """What an image consists of, for one platform; `document` is the manifest as it came."""

    digest: str
    config_digest: str
    layers: tuple[Layer, ...]
    document: Mapping[str, Any] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class Credentials:
    """User name and password of the repository."""

    username: str
    password: str

    @classmethod
    def load(cls, path: Path) -> Credentials:
        """Read ``{"username": ..., "password": ...}``.

        Raises:
            RelocationError: the file is missing or is something else.
        """
        try:
            data = json.loads(path.read_text())
            return cls(str(data["username"]), str(data["password"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RelocationError(
                f"The repository's credentials {path} cannot be read: {type(error).__name__}.",
                "Apply the role me_host to this host again.",
            ) from error

    def __repr__(self) -> str:
        return f"Credentials({self.username!r}, ...)"


class Registry:
    """One image repository.

    Args:
        url: ``https://host:port``.
        ca: the CA that its certificate must come from.
        credentials: what to answer a challenge with; None: sign in to nothing.
    """

    def __init__(self, url: str, ca: Path, credentials: Credentials | None = None) -> None:
        if _IMPORT_ERROR is not None:
            raise RelocationError(
                f"The Python library requests is missing ({_IMPORT_ERROR}).",
                "Install python3-requests (the role me_host does).",
            )
        parts = urlsplit(url)
        if parts.scheme != "https" or not parts.hostname:
            raise RelocationError(
                f"The repository's address {url!r} is not an https:// URL.",
                "Correct mec_repository.",
            )
        if not ca.is_file():
            raise RelocationError(
                f"The CA file {ca} of the repository {url} is missing.",
                "Apply the role me_host to this host again.",
            )
        self.url = url.rstrip("/")
        self.name = parts.netloc
        self.credentials = credentials
        self._session = requests.Session()
        self._session.verify = str(ca)
        # The environment must not choose another CA (REQUESTS_CA_BUNDLE), a proxy or a netrc login.
        self._session.trust_env = False

    @classmethod
    def of(cls, repository: Repository) -> Registry:
        """The repository that an ME host is configured for, with its login."""
        return cls(repository.url, repository.ca, Credentials.load(repository.credentials))

    def manifest(self, image: ImageReference, platform: str = "linux/amd64") -> Manifest:
        """What `image` consists of; an index is followed to the manifest of `platform`.

        Raises:
            RelocationError: the repository cannot be reached, refuses the login, does not have the
                image (for this platform), or sends content that its digest denies.
        """
        digest, document = self._document(image, "manifests", image.reference)
        if document.get("mediaType") in _INDEX_TYPES or "manifests" in document:
            digest, document = self._document(
                image, "manifests", _of_platform(image, document, platform)
            )
        try:
            return Manifest(
                digest=digest,
                config_digest=_checked_digest(document["config"]),
                layers=tuple(
                    Layer(_checked_digest(layer), int(layer["size"]))
                    for layer in document["layers"]
                ),
                document=document,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise RelocationError(
                f"The manifest of {image} in {self.name} is not one of an image: {error!r}.",
                "Push the image again.",
            ) from error

    def diff_ids(self, image: ImageReference, manifest: Manifest) -> tuple[str, ...]:
        """The digests of the layers' uncompressed content, lowest first (from the image config)."""
        config = self.config(image, manifest)
        try:
            found = tuple(str(diff_id) for diff_id in config["rootfs"]["diff_ids"])
        except (KeyError, TypeError) as error:
            raise RelocationError(
                f"The config of {image} in {self.name} lists no layers.", "Push the image again."
            ) from error
        if len(found) != len(manifest.layers):
            raise RelocationError(
                f"The config of {image} in {self.name} lists {len(found)} layers, "
                f"its manifest {len(manifest.layers)}.",
                "Push the image again.",
            )
        return found

    def config(self, image: ImageReference, manifest: Manifest) -> dict[str, Any]:
        """The image's config: what a container of it runs, and the layers' digests."""
        return self._document(image, "blobs", manifest.config_digest)[1]

    def has_manifest(self, image: ImageReference) -> bool:
        """Whether the repository has a manifest for this tag or digest."""
        return self._has(image, "manifests", image.reference)

    def check_upload(self, image: ImageReference) -> None:
        """Begin an upload and take it back: raises with the repository's reason for refusing.

        A token may be good for pushing and not for deleting. The repository then drops the empty
        upload by itself, after a week.
        """
        self._send("DELETE", self._begin_upload(image))

    def push_blob(self, image: ImageReference, digest: str, content: IO[bytes]) -> int:
        """Make a blob present under the image's name; returns the bytes that were sent.

        Raises:
            RelocationError: the repository cannot be reached or does not take the blob.
        """
        if self._has(image, "blobs", digest):
            return 0
        place = urlsplit(self._begin_upload(image))
        query = "&".join(part for part in (place.query, urlencode({"digest": digest})) if part)
        size_bytes = content.seek(0, io.SEEK_END)
        content.seek(0)
        ended = self._send(
            "PUT",
            urlunsplit(place._replace(query=query)),
            # An empty body still needs its length, which requests does not tell of an empty file.
            content if size_bytes else b"",
            {"Content-Type": "application/octet-stream", "Content-Length": str(size_bytes)},
        )
        self._expect(ended, 201, image, f"to keep {size_bytes} bytes")
        return size_bytes

    def push_manifest(self, image: ImageReference, document: Mapping[str, Any]) -> tuple[str, bool]:
        """Let the image's tag mean a manifest; its digest, and whether the repository had it not.

        Raises:
            RelocationError: the repository cannot be reached or does not take the manifest.
        """
        content = json.dumps(document, separators=(",", ":")).encode()
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        is_new = not self.has_manifest(ImageReference(image.name, digest=digest))
        kept = self._send(
            "PUT",
            f"{self.url}/v2/{image.name}/manifests/{image.reference}",
            content,
            {"Content-Type": str(document["mediaType"])},
        )
        self._expect(kept, 201, image, "to keep its manifest")
        return digest, is_new

    def _begin_upload(self, image: ImageReference) -> str:
        """Where a blob may be put now; the login goes along, so only at the repository itself."""
        began = self._send("POST", f"{self.url}/v2/{image.name}/blobs/uploads/")
        self._expect(began, 202, image, "to begin an upload")
        place = urljoin(began.url, began.headers.get("Location", ""))
        if _origin(place) != _origin(self.url):
            raise RelocationError(
                f"The repository {self.name} wants {image} to be sent to {place!r}, "
                f"which is not {self.url}.",
                "The login is not sent there; correct the repository's configuration.",
            )
        return place

    def _document(
        self, image: ImageReference, kind: str, reference: str
    ) -> tuple[str, dict[str, Any]]:
        """A JSON document and its digest, which is checked where one was asked for or is told."""
        with self._get(image, kind, reference) as response:
            try:
                content = _read(response, image)
            except requests.RequestException as error:
                raise self._unreachable(error) from error
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        wanted = reference
        if not _DIGEST.fullmatch(reference):
            wanted = response.headers.get("Docker-Content-Digest", digest)
        if digest != wanted:
            raise RelocationError(
                f"{self.name} sent content for {image} whose digest is {digest}, not {wanted}.",
                "The repository's storage is damaged or something alters the traffic; "
                "push the image again.",
            )
        try:
            document = json.loads(content)
        except ValueError:
            document = None
        if not isinstance(document, dict):
            raise RelocationError(
                f"{self.name} sent something for {image} that is no JSON object.",
                "Check that the address is an image repository's.",
            )
        return digest, document

    def _get(self, image: ImageReference, kind: str, reference: str) -> requests.Response:
        response = self._ask("GET", image, kind, reference, stream=True)
        self._check(response, image, kind, reference)
        return response

    def _has(self, image: ImageReference, kind: str, reference: str) -> bool:
        response = self._ask("HEAD", image, kind, reference)
        if response.status_code == 404:
            return False
        self._check(response, image, kind, reference)
        return True

    def _ask(
        self, method: str, image: ImageReference, kind: str, reference: str, *, stream: bool = False
    ) -> requests.Response:
        accept = ", ".join(_INDEX_TYPES + _MANIFEST_TYPES) if kind == "manifests" else "*/*"
        url = f"{self.url}/v2/{image.name}/{kind}/{reference}"
        return self._send(method, url, headers={"Accept": accept}, stream=stream)

    def _send(
        self,
        method: str,
        url: str,
        body: IO[bytes] | bytes | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        stream: bool = False,
    ) -> requests.Response:
        """One request, sent once more when the repository asks to sign in."""
        for attempt in (1, 2):
            if body is not None and not isinstance(body, bytes):
                body.seek(0)
            try:
                response = self._session.request(
                    method, url, data=body, headers=headers, timeout=_TIMEOUT_S, stream=stream
                )
            except requests.RequestException as error:
                if attempt == 1 and body is not None and self._renewed():
                    continue
                raise self._unreachable(error) from error
            if attempt == 2 or response.status_code != 401 or self.credentials is None:
                return response
            # A token may be good for reading only, so this may be the second login.
            self._answer(response, self.credentials)
        raise AssertionError

    def _renewed(self) -> bool:
        """Get a token like the last one, if that is good for nothing any more.

        A repository that refuses the token of an upload closes the connection while the blob is
        still being sent. Its answer is lost with that, so it is asked for once more.
        """
        spent = self._session.auth
        if self.credentials is None or not isinstance(spent, _Bearer):
            return False
        try:
            response = self._session.get(f"{self.url}/v2/", timeout=_TIMEOUT_S)
        except requests.RequestException:
            return False
        if response.status_code != 401:
            return False
        self._session.auth = self._token(self.credentials, spent.challenge)
        return True

    def _expect(
        self, response: requests.Response, status: int, image: ImageReference, what: str
    ) -> None:
        if response.status_code == status:
            return
        if response.status_code in (401, 403):
            raise self._refused(response)
        raise RelocationError(
            f"The repository {self.name} answered {response.status_code} when asked {what} for "
            f"{image}: {_reasons(response)}.",
            "Look at the repository's log, and at its free disk space.",
        )

    def _answer(self, response: requests.Response, credentials: Credentials) -> None:
        """Sign in as the repository's challenge asks."""
        scheme, challenge = _challenge(response)
        response.close()
        if scheme.lower() == "basic":
            self._session.auth = (credentials.username, credentials.password)
        elif scheme.lower() == "bearer":
            self._session.auth = self._token(credentials, challenge)
        else:
            raise RelocationError(
                f"The repository {self.name} asks for a login of the kind {scheme or 'none'!r}.",
                "It must offer Basic or Bearer.",
            )

    def _token(self, credentials: Credentials, challenge: Mapping[str, str]) -> _Bearer:
        realm = challenge.get("realm", "")
        origin = _origin(realm)
        if origin is None or origin[0] != "https":
            raise RelocationError(
                f"The repository {self.name} asks to sign in at {realm!r}, which is not https.",
                "The password is not sent there; correct the repository's configuration.",
            )
        service = f"token service {urlsplit(realm).netloc} of the repository {self.name}"
        try:
            response = self._session.get(
                realm,
                params={key: challenge[key] for key in ("service", "scope") if key in challenge},
                auth=(credentials.username, credentials.password),
                timeout=_TIMEOUT_S,
                # What it is redirected to was not named by the repository.
                allow_redirects=False,
            )
        except requests.RequestException as error:
            raise self._unreachable(error, service) from error
        if response.status_code in (401, 403):
            raise self._refused(response)
        try:
            answer = response.json() if response.status_code == 200 else {}
            token = answer.get("token") or answer.get("access_token")
        except (ValueError, AttributeError):
            token = None
        if not token or not isinstance(token, str):
            raise RelocationError(
                f"The {service} answered {response.status_code} and gave no token.",
                "Look at its log.",
            )
        return _Bearer(token, challenge)

    def _check(
        self, response: requests.Response, image: ImageReference, kind: str, reference: str
    ) -> None:
        status = response.status_code
        if status == 200:
            return
        response.close()
        if status in (401, 403):
            raise self._refused(response)
        if status == 404 and kind == "manifests":
            raise RelocationError(
                f"The repository {self.name} has no image {image}.",
                "Push it there first (the testbed pushes mec_images), or correct the name.",
            )
        if status == 404:
            raise RelocationError(
                f"The repository {self.name} lacks {reference}, a part of {image}.",
                "Push the image again.",
            )
        raise RelocationError(
            f"The repository {self.name} answered {status} when asked for {image}.",
            "Look at the repository's log.",
        )

    def _refused(self, response: requests.Response) -> RelocationError:
        """Why a login did not help (RFC 6750, 3.1)."""
        credentials, challenge = self.credentials, _challenge(response)[1]
        who = f"user {credentials.username!r}" if credentials else "a client without login"
        if credentials and challenge.get("error") == "insufficient_scope":
            return RelocationError(
                f"The repository {self.name} does not give {who} {challenge.get('scope')!r}.",
                "Give this access to the user or to its deploy token, or correct the image's name: "
                "in GitLab it begins with its project's.",
            )
        if credentials and challenge.get("error") == "invalid_token":
            return RelocationError(
                f"The repository {self.name} does not accept the token that its token service "
                f"gave {who}.",
                "Compare the clocks of the two, and the key and issuer in the repository's "
                "configuration.",
            )
        return RelocationError(
            f"The repository {self.name} refuses {who}.",
            "Its password has changed: apply the roles repository and me_host again.",
        )

    def _unreachable(self, error: Exception, what: str = "") -> RelocationError:
        what = what or f"repository {self.name}"
        cause = error.args[0] if error.args else error
        reason = getattr(cause, "reason", cause)
        if "CERTIFICATE_VERIFY_FAILED" in str(reason):
            return RelocationError(
                f"The certificate of the {what} is not trusted: {reason}.",
                "Apply the roles pki, repository and me_host again.",
            )
        return RelocationError(
            f"The {what} cannot be reached: {reason}.",
            "Check that it runs, and that this host is on the backbone.",
        )


class _Bearer:
    """Puts a token into requests (RFC 6750, 2.1); requests takes it off when it is redirected.

    `challenge` is what the token was the answer to.
    """

    def __init__(self, token: str, challenge: Mapping[str, str]) -> None:
        self._token = token
        self.challenge = challenge

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def _challenge(response: requests.Response) -> tuple[str, dict[str, str]]:
    """Kind and parameters of the login that an answer asks for (RFC 7235, 4.1)."""
    scheme, _, rest = response.headers.get("WWW-Authenticate", "").partition(" ")
    try:
        parameters = parse_keqv_list(parse_http_list(rest))
    except (ValueError, IndexError):
        parameters = {}
    return scheme, {name.lower(): value for name, value in parameters.items()}


def _origin(url: str) -> tuple[str, str, int] | None:
    """What a login is good for: scheme, host and port; None for what is no http address."""
    try:
        parts = urlsplit(url)
        port = parts.port or {"https": 443, "http": 80}[parts.scheme]
    except (ValueError, KeyError):
        return None
    return (parts.scheme, parts.hostname, port) if parts.hostname else None


def _of_platform(image: ImageReference, index: Mapping[str, Any], platform: str) -> str:
    """The digest of the index's manifest for `platform`."""
    offered = []
    for entry in index.get("manifests", []):
        of = entry.get("platform", {})
        offered.append(f"{of.get('os')}/{of.get('architecture')}")
        if offered[-1] == platform:
            return _checked_digest(entry)
    raise RelocationError(
        f"Image {image} is not there for {platform}, only for {', '.join(offered) or 'nothing'}.",
        f"Build and push it for {platform}.",
    )


def _checked_digest(descriptor: Mapping[str, Any]) -> str:
    digest = str(descriptor["digest"])
    if not _DIGEST.fullmatch(digest):
        raise ValueError(f"{digest!r} is not a sha256 digest")
    return digest


def _reasons(response: requests.Response) -> str:
    """What the repository says of an error (distribution specification, "Error Codes")."""
    try:
        errors = response.json()["errors"]
        return "; ".join(f"{e.get('message')} {_detail(e.get('detail'))}".strip() for e in errors)
    except (ValueError, KeyError, TypeError, AttributeError):
        return "it gave no reason"


def _detail(detail: object) -> str:
    """The detail of an error; what it has of the system's error numbers in words."""
    found = detail
    while isinstance(found, Mapping):
        if isinstance(found.get("Err"), int):
            return f"({os.strerror(found['Err'])})"
        found = found.get("Enclosed")
    return str(detail or "")


def _read(response: requests.Response, image: ImageReference) -> bytes:
    content = bytearray()
    for chunk in response.iter_content(64 * 1024):
        content += chunk
        if len(content) > _DOCUMENT_BYTES:
            raise RelocationError(
                f"A document of image {image} is larger than {_DOCUMENT_BYTES} bytes.",
                "It is none of an ordinary image; push the image again.",
            )
    return bytes(content)
