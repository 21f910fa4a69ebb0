"""The page: who may have its files, and what browsers may do with them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import RedirectResponse

from .config import Config
from .files import CONSOLE, SIGN_IN, Files
from .guard import COOKIE, full_client
from .problem import Problem
from .service import Use


def security_headers(config: Config) -> dict[str, str]:
    """The headers of every answer; only what is configured may be loaded from elsewhere."""
    images = ["'self'", "data:"]
    if config.tiles is not None:
        # A browser's policy knows hosts below a domain as *, the map its servers as {s}.
        images.append(config.tiles.origin.replace("{s}", "*"))
    policy = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": " ".join(images),
        "connect-src": "'self'",
        "frame-ancestors": "'none'",
        "base-uri": "'none'",
        "form-action": "'self'",
    }
    headers = {
        "Cache-Control": "no-store",
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }
    if config.url.startswith("https:"):
        headers["Strict-Transport-Security"] = "max-age=31536000"
    return headers


async def _files(service: Use) -> Files:
    if service.files is None:
        raise Problem(404, "this RLapp serves no page")
    return service.files


Page = Annotated[Files, Depends(_files)]
public = APIRouter(include_in_schema=False)
private = APIRouter(include_in_schema=False, dependencies=[Depends(full_client)])


@public.get("/")
async def console(request: Request, page: Page, service: Use) -> Response:
    """The page; whoever is not signed in is sent to do that."""
    if service.access.by_session(request.cookies.get(COOKIE, "")) is None:
        return RedirectResponse("/sign-in", 303)
    return page.answer(CONSOLE, request)


@public.get("/sign-in")
async def sign_in(request: Request, page: Page) -> Response:
    """The page that a stranger sees."""
    return page.answer(SIGN_IN, request)


@public.get("/open/{name}")
async def public_file(name: str, request: Request, page: Page) -> Response:
    """What that page consists of."""
    return page.answer(name, request, public=True)


@private.get("/page/{name}")
async def file(name: str, request: Request, page: Page) -> Response:
    """What the page consists of."""
    return page.answer(name, request)
