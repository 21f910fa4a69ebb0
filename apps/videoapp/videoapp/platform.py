"""What the platform asks an instance: is it healthy, who is it, now serve (standby contract)."""

from __future__ import annotations

import secrets
import sqlite3

from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .store import StoreError, UserError
from .web import answer, instance_of, through_gateway


def _require_platform(request: Request) -> None:
    if through_gateway(request):
        raise HTTPException(403, "for the platform only")


def _require_token(request: Request) -> None:
    """Refuse who does not say the token that this instance was made with (RFC 6750, 2.1)."""
    token = instance_of(request).settings.activation_token
    scheme, _, said = request.headers.get("authorization", "").partition(" ")
    if (
        scheme.lower() != "bearer"
        or not token
        or not secrets.compare_digest(said.strip().encode(), token.encode())
    ):
        raise HTTPException(403, "for the platform only")


async def health(request: Request) -> Response:
    """GET /healthz: 200 when the PV is open and answers; 503 in standby and when it does not."""
    store = instance_of(request).store
    try:
        await run_in_threadpool(store.check)
    except sqlite3.Error as error:
        raise HTTPException(503, f"the PV does not answer: {error}") from error
    return answer({"state": "active"})


async def activate(request: Request) -> Response:
    """POST /-/activate: open the PV and serve; a second time changes nothing."""
    _require_platform(request)
    _require_token(request)
    instance = instance_of(request)
    try:
        await run_in_threadpool(instance.activate)
    except (StoreError, UserError, ValueError, OSError) as error:
        raise HTTPException(500, f"cannot activate: {error}") from error
    response = answer({"instance": instance.name, "state": "active"})
    response.background = BackgroundTask(instance.remember)
    return response


async def who_answers(request: Request) -> Response:
    """GET /-/instance: the name and the state of the instance."""
    _require_platform(request)
    instance = instance_of(request)
    return answer({"instance": instance.name, "state": "active" if instance.active else "standby"})


routes = [
    Route("/healthz", health, methods=["GET"]),
    Route("/-/activate", activate, methods=["POST"]),
    Route("/-/instance", who_answers, methods=["GET"]),
]
