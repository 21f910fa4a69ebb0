"""Errors as ProblemDetails (RFC 9457), also those that the framework finds."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException as StarletteHTTPException

_FIELDS_MAX = 10


class Problem(HTTPException):
    """A request that cannot be answered as it was meant; `detail` says why."""

    def __init__(self, status: int, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(status, detail, headers)


def problem(status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    """The answer to such a request."""
    content: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    kept = {"Cache-Control": "no-store", **(headers or {})}
    return JSONResponse(content, status, kept, media_type="application/problem+json")


async def _on_http(_request: Request, error: Exception) -> Response:
    assert isinstance(error, StarletteHTTPException)  # noqa: S101 registered for it alone
    return problem(error.status_code, str(error.detail), dict(error.headers or {}))


async def _on_invalid(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 registered for it alone
    wrong = error.errors()
    # What was sent is not repeated: it may be anything.
    told = [f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in wrong[:_FIELDS_MAX]]
    return problem(400, "; ".join(told)[:2000].encode("ascii", "replace").decode())


async def _on_failure(_request: Request, _error: Exception) -> Response:
    return problem(500, "this is an error of RLapp; its log says more")


def answer_with_problems(app: FastAPI) -> None:
    """Have all errors of an app answered in this way."""
    app.add_exception_handler(StarletteHTTPException, _on_http)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(Exception, _on_failure)
