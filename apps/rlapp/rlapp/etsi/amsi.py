"""MEC 021 v2.1.1, the Application Mobility Service API: /amsi/v1."""

from __future__ import annotations

import json
import secrets
import time
from typing import Annotated, Any, Literal

from fastapi import Query, Request, Response
from pydantic import Field, RootModel

from ..problem import Problem
from ..service import Service, Use
from ..store import dumps
from . import expiring
from .filters import matching, selected
from .routing import find, received, require_match, router
from .subscriptions import Kind, etag
from .types import AdjacentAppInfo, MobilityProcedure, Registration

_PREFIX = "/amsi/v1"
_KINDS: dict[str, Kind] = {
    "MobilityProcedureSubscription": "mobility_proc",
    "AdjacentAppInfoSubscription": "adj_app_info",
}
_NUMBERS = {"mobility_proc": 1, "adj_app_info": 2}

routes = router(_PREFIX)
Selector = Annotated[str | None, Query(max_length=2000)]


class AnySubscription(
    RootModel[
        Annotated[MobilityProcedure | AdjacentAppInfo, Field(discriminator="subscriptionType")]
    ]
):
    """One of the two kinds."""


@routes.get("/app_mobility_services")
async def list_services(
    service: Use,
    filter: Selector = None,  # noqa: A002 ETSI's name
    all_fields: Selector = None,
    fields: Selector = None,
    exclude_fields: Selector = None,
    exclude_default: Selector = None,
) -> list[dict[str, Any]]:
    """The registered services that the filter lets pass."""
    del all_fields, exclude_default  # nothing is left out by default
    rows = service.store.rows(
        "SELECT id, body FROM services WHERE expires_s IS NULL OR expires_s > ? ORDER BY id",
        (time.time(),),
    )
    found = matching([_shown(row) for row in rows], filter)
    return [selected(item, ("deviceInformation",), fields, exclude_fields) for item in found]


@routes.post("/app_mobility_services", status_code=201)
async def register(service: Use, request: Request, response: Response) -> dict[str, Any]:
    """Register a service."""
    body = await received(request, Registration)
    if service.store.count("SELECT count(*) FROM services") >= service.config.limits.subscriptions:
        raise Problem(429, "no more services are kept; deregister one")
    number = secrets.token_hex(8)
    service.store.execute(
        "INSERT INTO services VALUES (?, ?, ?)", (number, dumps(body.content()), _expires_s(body))
    )
    response.headers["Location"] = f"{service.config.url}{_PREFIX}/app_mobility_services/{number}"
    return _tell(service, number, response)


@routes.get("/app_mobility_services/{number}")
async def read_service(number: str, service: Use, response: Response) -> dict[str, Any]:
    """One service."""
    return _tell(service, number, response)


@routes.put("/app_mobility_services/{number}")
async def replace_service(
    number: str, service: Use, request: Request, response: Response
) -> dict[str, Any]:
    """Put another registration in its place."""
    body = await received(request, Registration)
    require_match(request, etag(json.loads(_registered(service, number)["body"])))
    service.store.execute(
        "UPDATE services SET body = ?, expires_s = ? WHERE id = ?",
        (dumps(body.content()), _expires_s(body), number),
    )
    return _tell(service, number, response)


@routes.delete("/app_mobility_services/{number}", status_code=204)
@routes.post("/app_mobility_services/{number}/deregister_task", status_code=204)
async def deregister(number: str, service: Use) -> None:
    """Forget a service."""
    _registered(service, number)
    service.store.execute("DELETE FROM services WHERE id = ?", (number,))


@routes.get("/subscriptions/")
async def list_subscriptions(
    service: Use,
    kind: Annotated[Literal["mobility_proc", "adj_app_info"], Query(alias="subscriptionType")],
) -> dict[str, Any]:
    """Links to the subscriptions of a kind."""
    return {
        "_links": {"self": {"href": f"{service.config.url}{_PREFIX}/subscriptions/"}},
        "subscription": [
            {"href": subscription.url, "subscriptionType": _NUMBERS[kind]}
            for subscription in service.subscriptions.all(kind)
        ],
    }


@routes.post("/subscriptions/", status_code=201)
async def create_subscription(service: Use, request: Request, response: Response) -> dict[str, Any]:
    """Subscribe."""
    body = (await received(request, AnySubscription)).root
    return await expiring.create(service, _KINDS[body.subscriptionType], body, response)


@routes.get("/subscriptions/{number}")
async def read_subscription(number: str, service: Use, response: Response) -> dict[str, Any]:
    """One subscription."""
    return expiring.shown(find(service, number, "mobility_proc", "adj_app_info"), response)


@routes.put("/subscriptions/{number}")
async def replace_subscription(
    number: str, service: Use, request: Request, response: Response
) -> dict[str, Any]:
    """Put another subscription in its place, of the same kind."""
    present = find(service, number, "mobility_proc", "adj_app_info")
    body = (await received(request, AnySubscription)).root
    if _KINDS[body.subscriptionType] != present.kind:
        raise Problem(422, "a subscription cannot become one of another kind")
    return await expiring.replace(service, request, present, body, response)


@routes.delete("/subscriptions/{number}", status_code=204)
async def delete_subscription(number: str, service: Use) -> None:
    """Unsubscribe."""
    service.subscriptions.delete(find(service, number, "mobility_proc", "adj_app_info"))


@routes.get("/queries/adjacent_app_instances")
async def adjacent_app_instances(
    service: Use,
    filter: Selector = None,  # noqa: A002 ETSI's name
    all_fields: Selector = None,
    fields: Selector = None,
    exclude_fields: Selector = None,
    exclude_default: Selector = None,
) -> list[dict[str, Any]]:
    """The instances of all apps on all hosts that the filter lets pass."""
    del all_fields, exclude_default  # nothing is left out by default
    world = service.notifications.world
    instances = [
        {
            "appInstanceId": row["name"],
            "appDId": row["app"],
            "appInstanceCommLink": [world.interface(row["app"], row["address"])],
            "mecHostInformation": {
                "hostName": row["me_host"],
                "hostId": {"name": row["me_host"]},
            },
        }
        for row in world.instances()
    ]
    found = matching(instances, filter)
    return [selected(item, ("mecHostInformation",), fields, exclude_fields) for item in found]


def _expires_s(body: Registration) -> float | None:
    """When a registration ends; zero is never."""
    return time.time() + body.expiryTime if body.expiryTime else None


def _registered(service: Service, number: str) -> dict[str, Any]:
    row = service.store.row(
        "SELECT id, body FROM services WHERE id = ? AND (expires_s IS NULL OR expires_s > ?)",
        (number, time.time()),
    )
    if row is None:
        raise Problem(404, "there is no such application mobility service")
    return row


def _tell(service: Service, number: str, response: Response) -> dict[str, Any]:
    row = _registered(service, number)
    response.headers["ETag"] = etag(json.loads(row["body"]))
    return _shown(row)


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    return {"appMobilityServiceId": row["id"], **json.loads(row["body"])}
