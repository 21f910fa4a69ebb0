"""MEC 012 v2.1.1, the Radio Network Information API: cell changes, at /rni/v2."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel

from ..guard import Full, json_only
from ..handoffs import QueueFull
from ..messages import HandoffMessage
from ..problem import Problem
from ..service import Use
from . import expiring
from .routing import find, received, router
from .types import HO_STATUS, CellChangeNotification, CellChangeSubscription
from .world import IPV4_RADIO

_PREFIX = "/rni/v2"
_OTHER_SUBSCRIPTIONS = frozenset(
    f"{name}Subscription"
    for name in (
        "CaReconf",
        "MeasRepUe",
        "MeasTa",
        "NrMeasRepUe",
        "RabEst",
        "RabMod",
        "RabRel",
        "S1Bearer",
    )
)

routes = router(_PREFIX)
# Where a network is told to send its own notifications.
received_routes = APIRouter(prefix="/api", dependencies=[Depends(json_only)])


class _Named(BaseModel):
    subscriptionType: str  # noqa: N815 ETSI's name


@routes.get("/subscriptions")
async def list_subscriptions(
    service: Use,
    kind: Annotated[
        Literal[
            "cell_change",
            "rab_est",
            "rab_mod",
            "rab_rel",
            "meas_rep_ue",
            "nr_meas_rep_ue",
            "timing_advance_ue",
            "ca_reconf",
            "s1_bearer",
        ],
        Query(alias="subscription_type"),
    ] = "cell_change",
) -> dict[str, Any]:
    """Links to the subscriptions; there are none but those to cell changes."""
    found = service.subscriptions.all("cell_change") if kind == "cell_change" else []
    links = [
        {"href": subscription.url, "subscriptionType": "CellChangeSubscription"}
        for subscription in found
    ]
    own = {"href": f"{service.config.url}{_PREFIX}/subscriptions"}
    return {"_links": {"self": own, "subscription": links}}


@routes.post("/subscriptions", status_code=201)
async def create_subscription(service: Use, request: Request, response: Response) -> dict[str, Any]:
    """Subscribe to cell changes."""
    body = await _cell_change(request)
    return await expiring.create(service, "cell_change", body, response)


@routes.get("/subscriptions/{number}")
async def read_subscription(number: str, service: Use, response: Response) -> dict[str, Any]:
    """One subscription."""
    return expiring.shown(find(service, number, "cell_change"), response)


@routes.put("/subscriptions/{number}")
async def replace_subscription(
    number: str, service: Use, request: Request, response: Response
) -> dict[str, Any]:
    """Put another subscription in its place."""
    present = find(service, number, "cell_change")
    body = await _cell_change(request)
    return await expiring.replace(service, request, present, body, response)


@routes.delete("/subscriptions/{number}", status_code=204)
async def delete_subscription(number: str, service: Use) -> None:
    """Unsubscribe."""
    service.subscriptions.delete(find(service, number, "cell_change"))


@received_routes.post("/notifications/cell-change", status_code=204)
async def cell_changes(service: Use, client: Full, request: Request) -> None:
    """Take a network's notification as a handoff message.

    Of several target cells, which a handoff in preparation may have, the first that is known here
    is prepared: an app is prepared in one place.
    """
    body = await received(request, CellChangeNotification)
    world = service.notifications.world
    named = [item.value for item in body.associateId if item.type == IPV4_RADIO and item.value]
    ue = next((found for found in map(world.ue_of_ipv4, named) if found), None)
    if ue is None:
        raise Problem(404, "no associateId is the IPv4 address of a known UE")
    targets = [world.cell(ecgi.content()) for ecgi in body.trgEcgi]
    target = next((cell for cell in targets if cell), None)
    if target is None:
        raise Problem(404, "no trgEcgi is a known cell")
    status = HO_STATUS[body.hoStatus - 1]
    if status in ("IN_EXECUTION", "COMPLETED") and len(targets) > 1:
        raise Problem(400, f"a handoff that is {status} has one target cell")
    at = body.timeStamp
    key = None
    if at is not None:
        key = f"{client.name}/cell-change/{ue}/{status}/{at.seconds}.{at.nanoSeconds}"
    message = HandoffMessage(ue, target, status, world.cell(body.srcEcgi.content()))
    try:
        service.handoffs.submit(message, client.name, key)
    except QueueFull as error:
        raise Problem(429, "too many handoffs wait already", {"Retry-After": "10"}) from error


async def _cell_change(request: Request) -> CellChangeSubscription:
    named = await received(request, _Named)
    if named.subscriptionType in _OTHER_SUBSCRIPTIONS:
        raise Problem(422, "only CellChangeSubscription is offered here")
    return await received(request, CellChangeSubscription)
