"""Subscriptions whose bodies say when they end: those of MEC 012 and MEC 021."""

from __future__ import annotations

from typing import Any

from fastapi import Request, Response

from ..service import Service
from .routing import change, deadline_s, subscribe, tell_place
from .subscriptions import Kind, Subscription
from .types import AdjacentAppInfo, CellChangeSubscription, MobilityProcedure, timestamp

Body = AdjacentAppInfo | CellChangeSubscription | MobilityProcedure


async def create(service: Service, kind: Kind, body: Body, response: Response) -> dict[str, Any]:
    """Keep a new one, and show it (as `subscribe`)."""
    ends_s = deadline_s(service, body.expiryDeadline)
    return shown(
        await subscribe(service, kind, _kept(body), body.callbackReference, ends_s), response
    )


async def replace(
    service: Service, request: Request, present: Subscription, body: Body, response: Response
) -> dict[str, Any]:
    """Put another body in its place, and show it (as `change`)."""
    ends_s = deadline_s(service, body.expiryDeadline)
    return shown(
        await change(service, request, present, _kept(body), body.callbackReference, ends_s),
        response,
    )


def shown(subscription: Subscription, response: Response) -> dict[str, Any]:
    """One as its client sees it; the headers say where it is."""
    assert subscription.expires_s is not None  # noqa: S101 all of these have an end
    tell_place(response, subscription)
    return {
        **subscription.body,
        "expiryDeadline": timestamp(subscription.expires_s),
        "_links": {"self": {"href": subscription.url}},
    }


def _kept(body: Body) -> dict[str, Any]:
    content = body.content()
    content.pop("expiryDeadline", None)
    return content
