"""Errors as ProblemDetails (RFC 9457), also those that the framework finds."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException as StarletteHTTPException

_FIELDS_MAX = 10
# ETSI's file of MEC 021 describes errors as plain JSON, those of MEC 012 and 013 as RFC 9457 does.
_PLAIN = "/amsi/v1/"


class Problem(HTTPException):
    """A request that cannot be answered as it was meant; `detail` says why."""

    def __init__(self, status: int, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(status, detail, headers)


def _answer(
    request: Request, status: int, detail: str, headers: Mapping[str, str] | None = None
) -> Response:
    content: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    kept = {"Cache-Control": "no-store", **(headers or {})}
    plain = request.url.path.startswith(_PLAIN)
    media_type = "application/json" if plain else "application/problem+json"
    return JSONResponse(content, status, kept, media_type=media_type)


async def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, StarletteHTTPException)  # noqa: S101 registered for it alone
    return _answer(request, error.status_code, str(error.detail), error.headers)


async def _on_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 registered for it alone
    wrong = error.errors()
    # What was sent is not repeated: it may be anything.
    told = [f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in wrong[:_FIELDS_MAX]]
    return _answer(request, 400, "; ".join(told)[:2000].encode("ascii", "replace").decode())


async def _on_failure(request: Request, _error: Exception) -> Response:
    return _answer(request, 500, "this is an error of RLapp; its log says more")


def answer_with_problems(app: FastAPI) -> None:
    """Have all errors of an app answered in this way."""
    app.add_exception_handler(StarletteHTTPException, _on_http)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(Exception, _on_failure)
