"""Signing in and out."""

from __future__ import annotations

import math

import anyio
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .passwords import password_matches
from .store import SESSION_S
from .throttle import Throttle
from .web import (
    COOKIE,
    answer,
    client_address,
    instance_of,
    json_body,
    require_same_origin,
    signed_in,
    text,
    token_of,
)

WINDOW_S = 300.0
# An address guesses less often than all of them together; neither locks a user out for long.
ADDRESS_LIMIT = 10
USER_LIMIT = 50


class SignIn:
    """Checks passwords: seldom for one address or user, and two at a time."""

    def __init__(self) -> None:
        self._addresses = Throttle(ADDRESS_LIMIT, WINDOW_S)
        self._users = Throttle(USER_LIMIT, WINDOW_S)
        self._hashing: anyio.CapacityLimiter | None = None

    async def check(self, password_hash: str | None, user: str, password: str, peer: str) -> None:
        """Return when the password is right (401, 429)."""
        attempts = ((self._addresses, peer), (self._users, user))
        wait_s = max(throttle.wait_s(key) for throttle, key in attempts)
        if wait_s > 0:
            retry_after = {"Retry-After": str(math.ceil(wait_s))}
            raise HTTPException(429, "too many attempts, try again later", retry_after)
        for throttle, key in attempts:
            throttle.count(key)
        self._hashing = self._hashing or anyio.CapacityLimiter(2)
        if not await anyio.to_thread.run_sync(
            password_matches, password_hash, password, limiter=self._hashing
        ):
            raise HTTPException(401, "user or password is wrong")
        for throttle, key in attempts:
            throttle.refund(key)


async def sign_in(request: Request) -> Response:
    """POST /api/session {user, password}."""
    require_same_origin(request)
    content = await json_body(request)
    user, password = text(content, "user"), text(content, "password")
    store = instance_of(request).store
    password_hash = await run_in_threadpool(store.password_hash, user)
    await request.app.state.sign_in.check(password_hash, user, password, client_address(request))
    token = await run_in_threadpool(store.start_session, user)
    response = answer({"user": user})
    response.set_cookie(
        COOKIE,
        token,
        max_age=int(SESSION_S),
        secure=request.headers.get("x-forwarded-proto") == "https",
        httponly=True,
        samesite="lax",
    )
    return response


async def who(request: Request) -> Response:
    """GET /api/session: who is signed in. nginx asks the same before it hands out a video."""
    return answer({"user": await signed_in(request)})


async def sign_out(request: Request) -> Response:
    """DELETE /api/session."""
    require_same_origin(request)
    await run_in_threadpool(instance_of(request).store.end_session, token_of(request))
    response = Response(status_code=204)
    response.delete_cookie(COOKIE, httponly=True, samesite="lax")
    return response


routes = [
    Route("/api/session", sign_in, methods=["POST"]),
    Route("/api/session", who, methods=["GET"]),
    Route("/api/session", sign_out, methods=["DELETE"]),
]
