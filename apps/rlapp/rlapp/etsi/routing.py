"""What the three interfaces share: subscribing, and addressing what is subscribed."""

from __future__ import annotations

import json
import time
from typing import Any, NoReturn, TypeVar

from fastapi import APIRouter, Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

from ..guard import full_client, json_only
from ..problem import Problem
from ..service import Service
from .delivery import Refused
from .subscriptions import Kind, Subscription, TooMany
from .types import TimeStamp

Model = TypeVar("Model", bound=BaseModel)


def _refuse_number(written: str) -> NoReturn:
    raise ValueError(f"{written} is no number in JSON")


async def received(request: Request, model: type[Model]) -> Model:
    """The body of a request, as the model has it (400)."""
    try:
        content = json.loads(await request.body(), parse_constant=_refuse_number)
    except (ValueError, RecursionError) as error:
        raise Problem(400, "the body is not JSON") from error
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise RequestValidationError(error.errors(include_url=False)) from error


def router(prefix: str) -> APIRouter:
    """Routes that are open to full clients alone."""
    return APIRouter(prefix=prefix, dependencies=[Depends(full_client), Depends(json_only)])


async def subscribe(
    service: Service,
    kind: Kind,
    body: dict[str, Any],
    callback: str,
    expires_s: float | None,
) -> Subscription:
    """Keep a new subscription (400, 403, 429)."""
    await _check_callback(service, callback)
    with service.store.transaction():
        try:
            subscription = service.subscriptions.create(kind, body, expires_s)
        except TooMany as error:
            raise Problem(429, "no more subscriptions are kept; delete one") from error
        service.notifications.subscribed(subscription)
    return subscription


async def change(
    service: Service,
    request: Request,
    subscription: Subscription,
    body: dict[str, Any],
    callback: str,
    expires_s: float | None,
) -> Subscription:
    """Put another body in a subscription's place (400, 403, 412)."""
    await _check_callback(service, callback)
    # It may have been deleted or changed during that.
    subscription = find(service, subscription.id, subscription.kind)
    require_match(request, subscription.etag)
    with service.store.transaction():
        changed = service.subscriptions.replace(subscription, body, expires_s)
        service.notifications.subscribed(changed)
    return changed


def find(service: Service, number: str, *kinds: Kind) -> Subscription:
    """The subscription that a path names (404)."""
    subscription = service.subscriptions.find(number, *kinds)
    if subscription is None:
        raise Problem(404, "there is no such subscription")
    return subscription


def require_match(request: Request, etag: str) -> None:
    """Refuse to change what was changed by somebody else meanwhile (412)."""
    wanted = request.headers.get("if-match")
    if wanted is None or wanted.strip() == "*":
        return
    if etag not in [tag.strip() for tag in wanted.split(",")]:
        raise Problem(412, "it was changed since it was read; read it again")


def tell_place(response: Response, subscription: Subscription) -> None:
    """Headers of a subscription: where it is, and which state of it this is."""
    response.headers["Location"] = subscription.url
    response.headers["ETag"] = subscription.etag


def deadline_s(service: Service, deadline: TimeStamp | None) -> float:
    """When a subscription ends: when its client wants, or at the latest that is allowed (400)."""
    latest_s = time.time() + service.config.limits.duration_max_s
    if deadline is None:
        return latest_s
    if deadline.seconds <= time.time():
        raise Problem(400, "expiryDeadline is over")
    return min(float(deadline.seconds), latest_s)


async def _check_callback(service: Service, callback: str) -> None:
    try:
        await service.deliveries.check(callback)
    except Refused as error:
        raise Problem(error.status, str(error)) from error
