"""Notifications are delivered in order, tried again, and kept until they are."""

from __future__ import annotations

from collections.abc import Callable

from fastapi.testclient import TestClient
from played import PlayedRunner, report
from rlapp.config import Config
from rlapp.service import Service, build
from subscriber import Subscriber
from test_handoffs import until


def track(client: TestClient, url: str) -> None:
    """Subscribe to the ways of ue1."""
    body = {"callbackReference": {"notifyURL": url}, "address": "acr:ue1"}
    answer = client.post(
        "/location/v2/subscriptions/userTracking", json={"userTrackingSubscription": body}
    )
    assert answer.status_code == 201, answer.text


def waiting(service: Service) -> int:
    """How many are still to be delivered."""
    return service.store.count("SELECT count(*) FROM deliveries")


def test_it_is_tried_again_and_the_order_is_kept(
    client: TestClient, subscriber: Subscriber
) -> None:
    subscriber.answers = [500, 503, 429]
    track(client, subscriber.url)
    for lat in (4.6, 4.59):
        client.post("/api/locations", json=report(lat))
    events = [body["zonalPresenceNotification"] for body in subscriber.next(2)]
    assert [event["userEventType"] for event in events] == ["Entering", "Transferring"]


def test_it_is_given_up(client: TestClient, service: Service, subscriber: Subscriber) -> None:
    subscriber.answers = [500] * 6
    track(client, subscriber.url)
    client.post("/api/locations", json=report())
    until(lambda: subscriber.answers == [] and waiting(service) == 0)
    logged = [event.data for event in service.events.after(0) if event.type == "log"]
    assert any("given up" in line for line in logged)


def test_redirects_are_not_followed(
    client: TestClient, service: Service, subscriber: Subscriber
) -> None:
    subscriber.answers = [302]
    track(client, subscriber.url)
    client.post("/api/locations", json=report())
    until(lambda: subscriber.answers == [] and waiting(service) == 0)
    assert subscriber.bodies == []


def test_a_name_is_resolved_and_sent_as_host(client: TestClient, subscriber: Subscriber) -> None:
    url = subscriber.url.replace("127.0.0.1", "localhost")
    track(client, url)
    client.post("/api/locations", json=report())
    subscriber.next()
    assert subscriber.hosts == [url.split("/")[2]]


def test_a_network_that_is_not_allowed_any_more_is_not_called(
    config: Config, runner: PlayedRunner, client_of: Callable[[Service], TestClient]
) -> None:
    service = build(
        config.model_copy(
            update={"callbacks": config.callbacks.model_copy(update={"networks": []})}
        ),
        runner,
    )
    service.deliveries.send("s", "http://127.0.0.1:9/", {})
    with client_of(service):
        until(lambda: waiting(service) == 0)


def test_what_was_not_delivered_is_after_a_restart(
    config: Config,
    runner: PlayedRunner,
    client_of: Callable[[Service], TestClient],
    subscriber: Subscriber,
) -> None:
    before = build(config, runner)
    before.deliveries.send("s", subscriber.url, {"kept": True})
    before.store.close()
    with client_of(build(config, runner)):
        assert subscriber.next() == [{"kept": True}]
