"""What every request has to pass: who sends it, from where, and in what form."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request

from .access import Client
from .problem import Problem
from .service import Use

# All of them are coroutines: the framework runs plain functions in threads, and the store is the
# event loop's.

COOKIE = "rlapp_session"
_READING = ("GET", "HEAD", "OPTIONS")


async def known_client(request: Request, service: Use) -> Client:
    """Who sends the request: a token's owner, or the operator by the session's cookie (401)."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token:
        client = service.access.by_token(token.strip())
    else:
        client = service.access.by_session(request.cookies.get(COOKIE, ""))
        if client is not None and request.method not in _READING:
            require_same_origin(request)
    if client is None:
        raise Problem(401, "sign in first, or send a token", {"WWW-Authenticate": "Bearer"})
    return client


async def full_client(client: Annotated[Client, Depends(known_client)]) -> Client:
    """A client that may use all of the service: no UE (403)."""
    if client.ue is not None:
        raise Problem(403, f"this token may only report {client.ue}")
    return client


def require_same_origin(request: Request) -> None:
    """Refuse what another site made a browser send (403).

    Browsers tell where a request was made (Fetch Metadata, RFC 6454 Origin).
    """
    site = request.headers.get("sec-fetch-site", "same-origin")
    origin = request.headers.get("origin")
    foreign = origin is not None and urlsplit(origin).netloc != request.headers.get("host")
    if site not in ("same-origin", "none") or foreign:
        raise Problem(403, "requests from other sites are refused")


async def json_only(request: Request) -> None:
    """Refuse bodies that are not JSON (415), and clients that do not read it (406)."""
    headers = request.headers
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    has_body = "transfer-encoding" in headers or headers.get("content-length", "0") != "0"
    if has_body and kind != "application/json":
        raise Problem(415, "send application/json")
    accepted = [
        part.partition(";")[0].strip().lower() for part in headers.get("accept", "*/*").split(",")
    ]
    if not {"*/*", "application/*", "application/json"} & set(accepted):
        raise Problem(406, "the answer is application/json")


Known = Annotated[Client, Depends(known_client)]
Full = Annotated[Client, Depends(full_client)]
