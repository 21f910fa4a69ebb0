"""RLapp's own interface: for its page, for UEs, and for who wants to hand a UE off."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.responses import RedirectResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from . import metrics
from .access import LINK_S, SESSION_S, Client, TooManyAttempts, sign_in_url
from .config import Latitude, Longitude, Name
from .drives import DriveState, Told, UnknownTrace
from .guard import COOKIE, Known, full_client, json_only, known_client, require_same_origin
from .handoffs import NotThere, QueueFull
from .messages import HandoffMessage, HoStatus, Location
from .mobility import OPERATION_STATUS
from .problem import Problem
from .service import Service, Use

Key = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._:-]{1,100}$")]
Signal = Annotated[float, Field(ge=-300, le=100, allow_inf_nan=False)]
TraceName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
Number = Annotated[int, Field(gt=0, lt=2**53)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Password(_Body):
    """What a person signs in with."""

    password: Annotated[str, StringConstraints(max_length=200)]


class LocationReport(_Body):
    """What a UE reports of itself."""

    ue: Name
    time: AwareDatetime
    lat: Latitude
    lon: Longitude
    speed_mps: Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False)] | None = None
    heading_deg: Annotated[float, Field(ge=0, le=360, allow_inf_nan=False)] | None = None
    cell: Name | None = None
    signal_dbm: Annotated[dict[Name, Signal], Field(max_length=64)] = {}


class HandoffRequest(_Body):
    """A handoff message. `key` makes sure that one that is sent twice is one handoff."""

    ue: Name
    target_cell: Name
    ho_status: HoStatus | None = None
    source_cell: Name | None = None
    key: Key | None = None


class DriveOrder(_Body):
    """Which of its traces a UE is to drive, and how; without one it is to stand."""

    trace: TraceName | None = None
    speed_mps: Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)] | None = None
    loop: bool = False
    reverse: bool = False


class DriveReport(_Body):
    """What a UE tells of its drive, and the traces that it has."""

    state: DriveState
    number: Annotated[int, Field(ge=0, lt=2**53)]
    traces: Annotated[list[TraceName], Field(max_length=100)] = []
    error: Annotated[str, StringConstraints(max_length=500)] | None = None


class AccessPointStatus(_Body):
    """Whether an access point can be used."""

    status: Annotated[str, StringConstraints(pattern=f"^({'|'.join(OPERATION_STATUS)})$")]


# How much of what has happened a page is given to begin with.
_PAST = {"log": 300, "location": 1000, "phase": 100}
# A browser does not notice by itself that the way to here is gone.
_ALIVE_S = 2.0

public = APIRouter(dependencies=[Depends(json_only)])
reports = APIRouter(dependencies=[Depends(json_only), Depends(known_client)])
private = APIRouter(dependencies=[Depends(full_client)])


async def _stream_slot(service: Use) -> AsyncIterator[None]:
    """Bound how many follow the events at the same time (429)."""
    if service.events.readers >= service.config.limits.streams:
        raise Problem(429, "too many follow the events already")
    service.events.readers += 1
    try:
        yield
    finally:
        service.events.readers -= 1


async def _still_known(request: Request, service: Service) -> bool:
    """Whether who began to follow may go on: sessions end."""
    try:
        await known_client(request, service)
    except Problem:
        return False
    return True


@public.get("/healthz", include_in_schema=False)
async def health() -> dict[str, str]:
    """Whether the service serves; that is all a stranger learns."""
    return {"status": "ok"}


@public.post("/api/session", status_code=204)
async def sign_in(request: Request, response: Response, body: Password, service: Use) -> None:
    """Sign in with the password."""
    require_same_origin(request)
    try:
        session = service.access.sign_in(body.password)
    except TooManyAttempts as error:
        raise Problem(429, "too many attempts; wait a minute", {"Retry-After": "60"}) from error
    if session is None:
        service.log.warning("a sign-in with a wrong password")
        raise Problem(401, "that is not the password")
    _give_session(response, service, session)


@public.get("/sign-in/{code}", include_in_schema=False)
async def follow_link(request: Request, code: str, service: Use) -> Response:
    """Sign in with a link that works once."""
    session = service.access.follow_link(code)
    if session is None:
        if service.files is not None and "text/html" in request.headers.get("accept", ""):
            return RedirectResponse("/sign-in#used", 303)
        raise Problem(401, "this link was used already, or is too old")
    answer = RedirectResponse("/", 303, {"Referrer-Policy": "no-referrer"})
    _give_session(answer, service, session)
    return answer


@private.post("/api/links", status_code=201, dependencies=[Depends(json_only)])
async def link(service: Use) -> dict[str, Any]:
    """A link that signs in once, for somebody's browser."""
    return {"url": sign_in_url(service.config, service.store), "valid_s": LINK_S}


@private.get("/api/session", status_code=204)
async def signed_in() -> None:
    """Whether there is a session, or a token (401)."""


@private.delete("/api/session", status_code=204)
async def sign_out(request: Request, response: Response, service: Use) -> None:
    """End the session."""
    service.access.sign_out(request.cookies.get(COOKIE, ""))
    response.delete_cookie(COOKIE)


@private.get("/api/state")
async def state(service: Use) -> dict[str, Any]:
    """All that a page shows, and the number of the last event that is in it."""
    config, mobility = service.config, service.mobility
    return {
        "event": service.events.newest,
        "cells": {
            name: {
                **cell.model_dump(exclude={"access_points"}),
                "access_points": {
                    point: {**place.model_dump(), "status": mobility.status(point)}
                    for point, place in config.access_points(name).items()
                },
            }
            for name, cell in config.cells.items()
        },
        "ues": {name: ue.model_dump() for name, ue in config.ues.items()},
        "apps": list(config.apps),
        "locations": [asdict(location) for location in mobility.locations()],
        "instances": service.handoffs.instances(),
        "handoffs": service.handoffs.handoffs(50),
        "relocations": service.handoffs.relocations(100),
        "drives": {ue: service.drives.of(ue) for ue in config.ues},
        "prediction": mobility.prediction(),
        "past": {
            kind: [
                {"id": event.id, **json.loads(event.data)}
                for event in service.events.last(kind, limit)
            ]
            for kind, limit in _PAST.items()
        },
        "tiles": config.tiles and config.tiles.model_dump(),
        "time_s": time.time(),
    }


@private.get(
    "/api/events", response_class=EventSourceResponse, dependencies=[Depends(_stream_slot)]
)
async def events(
    request: Request,
    service: Use,
    last_event_id: Annotated[str | None, Header(pattern=r"^\d{1,15}$")] = None,
    after: Annotated[int | None, Query(ge=0, lt=2**53)] = None,
) -> AsyncIterator[ServerSentEvent]:
    """What happens from now on, or after the event that was seen last."""
    number = int(last_event_id) if last_event_id else after
    if number is None:
        number = service.events.newest
    elif service.events.forgotten(number):
        # Whoever follows begins anew: with the state, and from the number that is in it.
        yield ServerSentEvent(raw_data="{}", event="anew")
        return
    async for event in service.events.follow(number, _ALIVE_S):
        if not await _still_known(request, service):
            return
        if event is None:
            yield ServerSentEvent(raw_data="{}", event="alive")
        else:
            yield ServerSentEvent(raw_data=event.data, event=event.type, id=str(event.id))


@private.get("/api/handoffs")
async def handoffs(
    service: Use, limit: Annotated[int, Query(gt=0, le=1000)] = 100
) -> list[dict[str, Any]]:
    """The newest handoffs."""
    return service.handoffs.handoffs(limit)


@private.get("/api/handoffs/{number}")
async def handoff(number: Number, service: Use) -> dict[str, Any]:
    """One handoff."""
    try:
        return service.handoffs.handoff(number)
    except NotThere as error:
        raise Problem(404, "there is no such handoff") from error


@private.post("/api/handoffs/{number}/cancel")
async def cancel(number: Number, service: Use) -> dict[str, Any]:
    """Cancel a handoff that waits or runs."""
    try:
        return service.handoffs.cancel(number)
    except NotThere as error:
        raise Problem(404, "there is no such handoff, or it has ended") from error


@private.get("/api/relocations")
async def relocations(
    service: Use, limit: Annotated[int, Query(gt=0, le=1000)] = 100
) -> list[dict[str, Any]]:
    """The newest relocation records."""
    return service.handoffs.relocations(limit)


@private.post("/api/survey")
async def survey(service: Use) -> list[dict[str, Any]]:
    """Ask the ME hosts what runs where."""
    await service.handoffs.survey()
    return service.handoffs.instances()


@private.put("/api/access-points/{name}", status_code=204, dependencies=[Depends(json_only)])
async def access_point(name: Name, body: AccessPointStatus, service: Use) -> None:
    """Tell whether an access point can be used."""
    if not any(name in service.config.access_points(cell) for cell in service.config.cells):
        raise Problem(404, "there is no such access point")
    service.mobility.set_status(name, body.status)


@private.get("/metrics", include_in_schema=False)
async def prometheus(service: Use) -> Response:
    """Metrics in the text format of Prometheus."""
    return Response(metrics.render(service), media_type=metrics.CONTENT_TYPE)


@private.put("/api/ues/{ue}/order", status_code=202, dependencies=[Depends(json_only)])
async def order(ue: Name, body: DriveOrder, service: Use) -> dict[str, Any]:
    """Have a UE drive a trace, or stand."""
    _require_known(service, ue)
    try:
        return asdict(service.drives.order(ue, **body.model_dump()))
    except UnknownTrace as error:
        raise Problem(409, f"{ue} has not told of a trace {body.trace}") from error


@reports.get("/api/ues/{ue}/order", response_model=None)
async def next_order(
    ue: Name,
    client: Known,
    service: Use,
    after: Annotated[int, Query(ge=0, lt=2**53)] = 0,
    wait_s: Annotated[float, Query(ge=0, le=30)] = 0,
) -> dict[str, Any] | Response:
    """The newest order, if it is another than `after`; 204 where none comes within `wait_s`."""
    _may_report(client, ue)
    _require_known(service, ue)
    found = await service.drives.newer(ue, after, wait_s)
    return Response(status_code=204) if found is None else asdict(found)


@reports.post("/api/ues/{ue}/drive", status_code=204)
async def tell_drive(ue: Name, body: DriveReport, client: Known, service: Use) -> None:
    """Take what a UE tells of its drive."""
    _may_report(client, ue)
    _require_known(service, ue)
    service.drives.tell(ue, Told(**body.model_dump()))


@reports.post("/api/locations")
async def locate(body: LocationReport, client: Known, service: Use) -> dict[str, Any]:
    """Take a UE's location; returns the handoffs that were started because of it."""
    _may_report(client, body.ue)
    _require_known(service, body.ue, body.cell, *body.signal_dbm)
    fields = body.model_dump(exclude={"time"})
    messages = service.mobility.report(Location(time_s=body.time.timestamp(), **fields))
    return {"handoffs": [_submit(service, message, "prediction") for message in messages]}


@reports.post("/api/handoffs", status_code=202)
async def hand_off(body: HandoffRequest, client: Known, service: Use) -> dict[str, Any]:
    """Accept a handoff message."""
    _may_report(client, body.ue)
    _require_known(service, body.ue, body.target_cell, body.source_cell)
    message = HandoffMessage(**body.model_dump(exclude={"key"}))
    # Keys are each client's own: nobody can take another's.
    key = None if body.key is None else f"{client.name}/{body.key}"
    return _submit(service, message, client.name, key)


def _submit(
    service: Service, message: HandoffMessage, origin: str, key: str | None = None
) -> dict[str, Any]:
    try:
        return service.handoffs.submit(message, origin, key)
    except QueueFull as error:
        raise Problem(429, "too many handoffs wait already", {"Retry-After": "10"}) from error


def _may_report(client: Client, ue: str) -> None:
    if client.ue not in (None, ue):
        raise Problem(403, f"this token may only report {client.ue}")


def _require_known(service: Service, ue: str, *cells: str | None) -> None:
    if ue not in service.config.ues:
        raise Problem(404, f"there is no UE {ue}")
    for cell in cells:
        if cell is not None and cell not in service.config.cells:
            raise Problem(404, f"there is no cell {cell}")


def _give_session(response: Response, service: Service, session: str) -> None:
    response.set_cookie(
        COOKIE,
        session,
        max_age=SESSION_S,
        httponly=True,
        secure=service.config.url.startswith("https:"),
        # A link in a mail or terminal may lead here; what changes something is checked besides.
        samesite="lax",
    )
