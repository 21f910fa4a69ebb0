"""The web application, put together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Response

from . import api, page
from .etsi import amsi, location, rni
from .problem import answer_with_problems
from .service import Service


def create_app(service: Service) -> FastAPI:
    """The application of a service, which lives as long as the application does."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await service.start()
        yield
        await service.stop()

    app = FastAPI(
        title="RLapp",
        lifespan=lifespan,
        openapi_url=None,  # ETSI's files describe what others use
        redirect_slashes=False,
        max_body_size=service.config.limits.body_bytes,
    )
    app.state.service = service
    answer_with_problems(app)
    for routes in (
        api.public,
        api.reports,
        api.private,
        page.public,
        page.private,
        location.routes,
        amsi.routes,
        rni.routes,
        rni.received_routes,
    ):
        app.include_router(routes)

    fixed = page.security_headers(service.config)

    @app.middleware("http")
    async def headers(
        request: Request, answer: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        response = await answer(request)
        for name, value in fixed.items():
            response.headers.setdefault(name, value)
        return response

    return app
