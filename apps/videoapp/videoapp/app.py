"""The service behind nginx, put together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from . import platform, sessions, videos
from .catalog import read_catalog
from .config import Settings, read_settings
from .instance import Instance, Standby
from .web import on_error, on_standby


def create_app(settings: Settings | None = None) -> Starlette:
    """The service, with settings from the environment by default. It begins in standby."""
    settings = settings or read_settings()
    instance = Instance(settings)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        instance.resume()
        if not instance.active:
            await run_in_threadpool(instance.rehearse)
        yield
        instance.close()

    app = Starlette(
        routes=[*platform.routes, *sessions.routes, *videos.routes],
        exception_handlers={HTTPException: on_error, Standby: on_standby},
        lifespan=lifespan,
    )
    app.state.instance = instance
    app.state.catalog = read_catalog(settings.share_dir / "videos.json")
    app.state.sign_in = sessions.SignIn()
    return app
