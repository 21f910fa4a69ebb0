"""MEC 013 v2.2.1, the Location API: /location/v2."""

from __future__ import annotations

import time
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import Query, Request, Response
from mec_ue.geo import Position, distance_m
from pydantic import Field, create_model

from ..config import Latitude, Longitude
from ..messages import Location
from ..problem import Problem
from ..service import Service, Use
from .routing import change, find, received, router, subscribe, tell_place
from .subscriptions import BASES, Kind, Subscription
from .types import (
    Circle,
    Distance,
    LocationSubscription,
    Periodic,
    UserTracking,
    ZonalTraffic,
    ZoneStatus,
    timestamp,
)
from .world import World, location_info

_PREFIX = "/location/v2"
_MAX_NAMES = 100
# Durations begin where a client wants one; these subscriptions have none in the standard.
_ENDLESS = ("userTracking", "zoneStatus")

routes = router(_PREFIX)
Names = Annotated[list[str], Field(max_length=_MAX_NAMES)]


@routes.get("/queries/zones")
async def zones(service: Use) -> dict[str, Any]:
    """All zones."""
    found = [_zone(service, zone) for zone in service.config.zones]
    return {"zoneList": {"zone": found, "resourceURL": _url(service, "/queries/zones")}}


@routes.get("/queries/zones/{zone}")
async def zone(zone: str, service: Use) -> dict[str, Any]:
    """One zone."""
    return {"zoneInfo": _zone(service, _known_zone(service, zone))}


@routes.get("/queries/zones/{zone}/accessPoints")
async def access_points(
    zone: str,
    service: Use,
    interest_realm: Annotated[str | None, Query(alias="interestRealm")] = None,
) -> dict[str, Any]:
    """The access points of a zone, or those of an interest realm in it."""
    found = _access_points(service, _known_zone(service, zone))
    wanted = [
        point for point in found.values() if interest_realm in (None, point.get("interestRealm"))
    ]
    url = _url(service, f"/queries/zones/{zone}/accessPoints")
    return {"accessPointList": {"zoneId": zone, "accessPoint": wanted, "resourceURL": url}}


@routes.get("/queries/zones/{zone}/accessPoints/{name}")
async def access_point(zone: str, name: str, service: Use) -> dict[str, Any]:
    """One access point."""
    found = _access_points(service, _known_zone(service, zone)).get(name)
    if found is None:
        raise Problem(404, "there is no such access point in this zone")
    return {"accessPointInfo": found}


@routes.get("/queries/users")
async def users(
    service: Use,
    zone: Annotated[Names | None, Query(alias="zoneId")] = None,
    point: Annotated[Names | None, Query(alias="accessPointId")] = None,
    address: Annotated[Names | None, Query()] = None,
) -> dict[str, Any]:
    """The users in zones, at access points, or of addresses: those that are in reach of a cell."""
    world = service.notifications.world
    found = [
        _user(service, world, location)
        for location in service.mobility.locations()
        if location.cell is not None and location.access_point is not None
    ]
    wanted = [
        user
        for user in found
        if (not zone or user["zoneId"] in zone)
        and (not point or user["accessPointId"] in point)
        and (not address or user["address"] in address)
    ]
    return {"userList": {"user": wanted, "resourceURL": _url(service, "/queries/users")}}


@routes.get("/queries/distance")
async def distance(
    service: Use,
    address: Annotated[list[str], Query(min_length=1, max_length=2)],
    latitude: Annotated[Latitude | None, Query()] = None,
    longitude: Annotated[Longitude | None, Query()] = None,
    requester: str | None = None,
) -> dict[str, Any]:
    """How far a terminal is from another, or from a place."""
    del requester  # all who may ask may ask for all
    place = (latitude, longitude)
    one = _terminal(service, address[0])
    times = [one.time_s]
    if len(address) == 2 and place == (None, None):
        other = _terminal(service, address[1])
        times.append(other.time_s)
        away_m = distance_m(one.position, other.position)
    elif len(address) == 1 and latitude is not None and longitude is not None:
        away_m = distance_m(one.position, Position(latitude, longitude))
    else:
        raise Problem(400, "give two addresses, or one with latitude and longitude")
    found = {"distance": round(away_m), "accuracy": 0, "timestamp": timestamp(min(times))}
    return {"terminalDistance": found}


def _subscription_routes(kind: Kind, name: str, model: type[LocationSubscription]) -> None:
    """The five operations on a kind of subscription; `name` is that of its JSON object."""
    collection = BASES[kind].removeprefix(_PREFIX)
    fields: Any = {name: (model, ...)}
    envelope = create_model(f"{name}Envelope", **fields)

    async def content(service: Service, request: Request) -> tuple[dict[str, Any], float | None]:
        body = getattr(await received(request, envelope), name).content()
        if kind in _ENDLESS:
            return body, None
        limits = service.config.limits
        # Zero asks for the default, nothing for the maximum.
        wanted_s = body.get("duration", limits.duration_max_s) or limits.duration_default_s
        return body, time.time() + min(wanted_s, limits.duration_max_s)

    def shown(subscription: Subscription) -> dict[str, Any]:
        body = {**subscription.body, "resourceURL": subscription.url}
        if subscription.expires_s is not None:
            body["duration"] = max(1, round(subscription.expires_s - time.time()))
        return body

    async def list_all(service: Use) -> dict[str, Any]:
        found = [shown(subscription) for subscription in service.subscriptions.all(kind)]
        url = _url(service, collection)
        return {"notificationSubscriptionList": {name: found, "resourceURL": url}}

    async def create(service: Use, request: Request, response: Response) -> dict[str, Any]:
        body, expires_s = await content(service, request)
        callback = body["callbackReference"]["notifyURL"]
        subscription = await subscribe(service, kind, body, callback, expires_s)
        tell_place(response, subscription)
        return {name: shown(subscription)}

    async def read(number: str, service: Use, response: Response) -> dict[str, Any]:
        subscription = find(service, number, kind)
        tell_place(response, subscription)
        return {name: shown(subscription)}

    async def replace(
        number: str, service: Use, request: Request, response: Response
    ) -> dict[str, Any]:
        present = find(service, number, kind)
        body, expires_s = await content(service, request)
        callback = body["callbackReference"]["notifyURL"]
        changed = await change(service, request, present, body, callback, expires_s)
        tell_place(response, changed)
        return {name: shown(changed)}

    async def delete(number: str, service: Use) -> None:
        service.subscriptions.delete(find(service, number, kind))

    routes.add_api_route(collection, list_all, methods=["GET"])
    routes.add_api_route(collection, create, methods=["POST"], status_code=201)
    one = f"{collection}/{{number}}"
    routes.add_api_route(one, read, methods=["GET"])
    routes.add_api_route(one, replace, methods=["PUT"])
    routes.add_api_route(one, delete, methods=["DELETE"], status_code=204)


_subscription_routes("userTracking", "userTrackingSubscription", UserTracking)
_subscription_routes("zonalTraffic", "zonalTrafficSubscription", ZonalTraffic)
_subscription_routes("zoneStatus", "zoneStatusSubscription", ZoneStatus)
_subscription_routes("area/circle", "circleNotificationSubscription", Circle)
_subscription_routes("distance", "distanceNotificationSubscription", Distance)
_subscription_routes("periodic", "periodicNotificationSubscription", Periodic)


def _url(service: Service, path: str) -> str:
    return f"{service.config.url}{_PREFIX}{path}"


def _known_zone(service: Service, zone: str) -> str:
    if zone not in service.config.zones:
        raise Problem(404, "there is no such zone")
    return zone


def _zone(service: Service, zone: str) -> dict[str, Any]:
    points = _access_points(service, zone).values()
    return {
        "zoneId": zone,
        "numberOfAccessPoints": len(points),
        "numberOfUnserviceableAccessPoints": sum(
            point["operationStatus"] == "Unserviceable" for point in points
        ),
        "numberOfUsers": service.notifications.world.users_in_zone(zone),
        "resourceURL": _url(service, f"/queries/zones/{zone}"),
    }


def _access_points(service: Service, zone: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for cell in service.config.zones[zone]:
        for name, point in service.config.access_points(cell).items():
            found[name] = {
                "accessPointId": name,
                "connectionType": point.connection,
                "operationStatus": service.mobility.status(name),
                "numberOfUsers": service.notifications.world.users_at(name),
                "locationInfo": {"latitude": [point.lat], "longitude": [point.lon], "shape": 2},
                "resourceURL": _url(service, f"/queries/zones/{zone}/accessPoints/{name}"),
            }
            if point.interest_realm is not None:
                found[name]["interestRealm"] = point.interest_realm
    return found


def _user(service: Service, world: World, location: Location) -> dict[str, Any]:
    address = world.address(location.ue)
    return {
        "address": address,
        "accessPointId": location.access_point,
        "zoneId": world.zone(location.cell),
        "resourceURL": _url(service, f"/queries/users?address={quote(address, safe='')}"),
        "timestamp": timestamp(location.time_s),
        "locationInfo": location_info(location),
    }


def _terminal(service: Service, address: str) -> Location:
    ue = service.notifications.world.ue(address)
    location = None if ue is None else service.mobility.location(ue)
    if location is None:
        raise Problem(404, "nothing is known of this address")
    return location
