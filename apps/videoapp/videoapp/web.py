"""What requests have in common: JSON bodies, errors, who is signed in, where they come from."""

from __future__ import annotations

import json
import sys
from typing import Any
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from .instance import Instance

COOKIE = "videoapp_session"
RETRY_AFTER_S = 1
_NO_STORE = {"Cache-Control": "no-store"}


def answer(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> JSONResponse:
    """A JSON answer that nobody keeps."""
    return JSONResponse(content, status, {**_NO_STORE, **(headers or {})})


async def on_error(_request: Request, error: Exception) -> Response:
    """Answer an HTTPException as JSON."""
    assert isinstance(error, HTTPException)  # noqa: S101 registered for it alone
    return answer({"error": error.detail}, error.status_code, dict(error.headers or {}))


async def on_standby(_request: Request, _error: Exception) -> Response:
    """Answer what needs the PV while the instance is in standby."""
    return answer({"error": "in standby"}, 503, {"Retry-After": str(RETRY_AFTER_S)})


def instance_of(request: Request) -> Instance:
    """The instance that answers."""
    instance = request.app.state.instance
    assert isinstance(instance, Instance)  # noqa: S101 put there by create_app
    return instance


def through_gateway(request: Request) -> bool:
    """Whether a gateway forwarded the request: it names its client, the platform does not."""
    return "x-forwarded-for" in request.headers


def client_address(request: Request) -> str:
    """The client's address: the one that the nearest gateway added."""
    return request.headers.get("x-forwarded-for", "direct").rpartition(",")[2].strip()


def require_same_origin(request: Request) -> None:
    """Refuse what another site made a browser send (403).

    Browsers tell where a request was made (Fetch Metadata, RFC 6454 Origin); other clients have no
    cookies that somebody else could make them send.
    """
    site = request.headers.get("sec-fetch-site", "same-origin")
    origin = request.headers.get("origin")
    foreign = origin is not None and urlsplit(origin).netloc != request.headers.get("host")
    if site != "same-origin" or foreign:
        raise HTTPException(403, "requests from other sites are refused")


async def json_body(request: Request) -> dict[str, Any]:
    """The JSON object in the request's body (415, 400); forms of other sites cannot send one."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise HTTPException(415, "send application/json")
    try:
        content = json.loads(await request.body())
    except ValueError as error:
        raise HTTPException(400, "the body is not JSON") from error
    if not isinstance(content, dict):
        raise HTTPException(400, "the body is not a JSON object")
    return content


def text(content: dict[str, Any], key: str) -> str:
    """A field that must be a string (422)."""
    value = content.get(key)
    if not isinstance(value, str) or not value:
        raise HTTPException(422, f"{key} must be a string that is not empty")
    return value


def whole(content: dict[str, Any], key: str) -> int:
    """A field that must be a positive integer which JavaScript can count to (422)."""
    value = content.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 2**53:
        raise HTTPException(422, f"{key} must be a positive integer")
    return value


def seconds(content: dict[str, Any], key: str) -> float:
    """A field that must be a time of zero or more seconds (422)."""
    value = content.get(key)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    # Compared before it is converted: JSON's integers may be too large for a float.
    if value is None or not number or not 0 <= value <= sys.float_info.max:
        raise HTTPException(422, f"{key} must be a number of seconds, 0 or more")
    return float(value)


def token_of(request: Request) -> str:
    """The session's token; empty when the request carries none."""
    return request.cookies.get(COOKIE, "")


async def signed_in(request: Request) -> str:
    """The user whose session the request belongs to (401)."""
    user = await run_in_threadpool(instance_of(request).store.session_user, token_of(request))
    if user is None:
        raise HTTPException(401, "sign in first")
    return user
