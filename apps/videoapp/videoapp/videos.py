"""The library, and how far it has been watched."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .catalog import Video
from .store import Position
from .web import answer, instance_of, json_body, require_same_origin, seconds, signed_in, whole


def _video(request: Request) -> Video:
    video = request.app.state.catalog.get(request.path_params["video"])
    if video is None:
        raise HTTPException(404, "there is no such video")
    assert isinstance(video, Video)  # noqa: S101 the catalog holds nothing else
    return video


def _described(video: Video, position: Position | None) -> dict[str, Any]:
    return {
        **asdict(video),
        "stream": f"/media/{video.id}/stream.m3u8",
        "poster": f"/media/{video.id}/poster.jpg",
        "position_s": position.position_s if position else 0.0,
    }


async def library(request: Request) -> Response:
    """GET /api/videos: all videos, each with the user's position."""
    user = await signed_in(request)
    positions = await run_in_threadpool(instance_of(request).store.positions, user)
    videos = request.app.state.catalog.values()
    return answer({"user": user, "videos": [_described(v, positions.get(v.id)) for v in videos]})


async def start_viewing(request: Request) -> Response:
    """POST /api/videos/{video}/viewings: a player opens; returns its number and the position."""
    require_same_origin(request)
    user, video = await signed_in(request), _video(request)
    position = await run_in_threadpool(instance_of(request).store.start_viewing, user, video.id)
    return answer({**_described(video, position), "viewing": position.viewing, "user": user}, 201)


async def save_position(request: Request) -> Response:
    """POST /api/videos/{video}/position {viewing, seq, position_s}.

    Answers when it is on the disk, with the position that is kept: that of a newer write where
    this one is late. (POST, not PUT: it is all that a page can send while it is closed.)
    """
    require_same_origin(request)
    user, video = await signed_in(request), _video(request)
    content = await json_body(request)
    written = Position(
        viewing=whole(content, "viewing"),
        seq=whole(content, "seq"),
        position_s=min(seconds(content, "position_s"), video.duration_s),
    )
    store = instance_of(request).store
    kept = await run_in_threadpool(store.save_position, user, video.id, written)
    if kept is None:
        raise HTTPException(409, "start a viewing first")
    return answer(asdict(kept))


routes = [
    Route("/api/videos", library, methods=["GET"]),
    Route("/api/videos/{video}/viewings", start_viewing, methods=["POST"]),
    Route("/api/videos/{video}/position", save_position, methods=["POST"]),
]
