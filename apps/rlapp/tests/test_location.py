"""MEC 013: queries, subscriptions and notifications, held against ETSI's file."""

from __future__ import annotations

import time
from typing import Any

import pytest
from etsi_files import Checked, validate
from fastapi.testclient import TestClient
from played import report
from subscriber import Subscriber

PREFIX = "/location/v2"
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "userTracking": ("userTrackingSubscription", {"address": "acr:ue1"}),
    "zonalTraffic": ("zonalTrafficSubscription", {"zoneId": "zone1", "duration": 0}),
    "zoneStatus": (
        "zoneStatusSubscription",
        {"zoneId": "zone1", "numberOfUsersZoneThreshold": 1, "operationStatus": ["Unserviceable"]},
    ),
    "area/circle": (
        "circleNotificationSubscription",
        {
            "address": ["acr:ue1"],
            "latitude": 4.6,
            "longitude": -74.08,
            "radius": 100,
            "trackingAccuracy": 10.0,
            "enteringLeavingCriteria": "Entering",
            "checkImmediate": False,
            "frequency": 0,
        },
    ),
    "distance": (
        "distanceNotificationSubscription",
        {
            "monitoredAddress": ["acr:ue1"],
            "referenceAddress": ["acr:ue2"],
            "distance": 100.0,
            "trackingAccuracy": 10.0,
            "criteria": "AnyWithinDistance",
            "checkImmediate": False,
            "frequency": 0,
        },
    ),
    "periodic": (
        "periodicNotificationSubscription",
        {"address": ["acr:ue1", "acr:nobody"], "requestedAccuracy": 10, "frequency": 1},
    ),
}


@pytest.fixture
def api(client: TestClient) -> Checked:
    """A client whose answers are checked."""
    return Checked(client, PREFIX)


def move(client: TestClient, lat: float, **more: Any) -> None:
    """Have a UE report where it is."""
    assert client.post("/api/locations", json=report(lat, **more)).status_code == 200


def subscribe(api: Checked, kind: str, subscriber: Subscriber, **more: Any) -> dict[str, Any]:
    """Subscribe; returns the subscription."""
    name, body = KINDS[kind]
    reference = {"notifyURL": subscriber.url, "callbackData": "mine"}
    answer = api.post(
        f"/subscriptions/{kind}", json={name: {**body, "callbackReference": reference, **more}}
    )
    assert answer.status_code == 201, answer.text
    created: dict[str, Any] = answer.json()[name]
    assert answer.headers["location"] == created["resourceURL"]
    return created


def told(subscriber: Subscriber, name: str, count: int = 1) -> list[dict[str, Any]]:
    """The next notifications, each of its type in ETSI's file."""
    type_name = name[0].upper() + name[1:]
    bodies = subscriber.next(count)
    for body in bodies:
        validate(PREFIX, {"$ref": f"#/components/schemas/{type_name}"}, body[name])
        assert body[name]["callbackData"] == "mine"
        assert body[name]["link"][0]["href"].startswith("https://rlapp.mec.test/location/v2/")
    return [body[name] for body in bodies]


def test_queries(client: TestClient, api: Checked) -> None:
    move(client, 4.6, speed_mps=10.0, heading_deg=359.6)
    move(client, 4.62, ue="ue2")
    zones = api.get("/queries/zones").json()["zoneList"]["zone"]
    assert [(zone["zoneId"], zone["numberOfUsers"]) for zone in zones] == [
        ("zone1", 1),
        ("zone2", 1),
    ]
    assert api.get("/queries/zones/zone1").json()["zoneInfo"]["numberOfAccessPoints"] == 2
    assert api.get("/queries/zones/nowhere").status_code == 404
    points = api.get("/queries/zones/zone1/accessPoints").json()["accessPointList"]
    assert [point["accessPointId"] for point in points["accessPoint"]] == ["cell1", "cell3"]
    none = api.get("/queries/zones/zone1/accessPoints?interestRealm=x").json()
    assert none["accessPointList"]["accessPoint"] == []
    assert api.get("/queries/zones/zone1/accessPoints/cell1").status_code == 200
    assert api.get("/queries/zones/zone1/accessPoints/cell2").status_code == 404

    def addresses(query: str) -> list[str]:
        users = api.get(f"/queries/users{query}").json()["userList"]["user"]
        return [user["address"] for user in users]

    assert addresses("") == ["acr:ue1", "acr:ue2"]
    assert addresses("?zoneId=zone2&zoneId=zone3") == ["acr:ue2"]
    assert addresses("?accessPointId=cell1") == ["acr:ue1"]
    assert addresses("?address=acr:ue2&zoneId=zone1") == []

    def distance(query: str) -> Any:
        return api.get(f"/queries/distance?{query}").json()["terminalDistance"]["distance"]

    assert distance("address=acr:ue1&address=acr:ue2") == 2224
    assert distance("address=acr:ue1&latitude=4.6&longitude=-74.08") == 0
    for wrong in ("", "address=acr:ue1", "address=acr:ue1&latitude=nan&longitude=0"):
        assert api.get(f"/queries/distance?{wrong}").status_code == 400
    assert api.get("/queries/distance?address=x&latitude=0&longitude=0").status_code == 404


@pytest.mark.parametrize("kind", KINDS)
def test_the_life_of_a_subscription(api: Checked, subscriber: Subscriber, kind: str) -> None:
    name = KINDS[kind][0]
    created = subscribe(api, kind, subscriber, clientCorrelator="c1")
    path = created["resourceURL"].removeprefix("https://rlapp.mec.test" + PREFIX)
    listed = api.get(f"/subscriptions/{kind}").json()["notificationSubscriptionList"]
    assert [item["resourceURL"] for item in listed[name]] == [created["resourceURL"]]
    read = api.get(path)
    assert read.json()[name]["clientCorrelator"] == "c1"
    reference = {"notifyURL": subscriber.url}
    changed = {name: {**KINDS[kind][1], "callbackReference": reference, "clientCorrelator": "c2"}}
    assert api.put(path, json=changed, headers={"If-Match": '"other"'}).status_code == 412
    answer = api.put(path, json=changed, headers={"If-Match": read.headers["etag"]})
    assert answer.json()[name]["clientCorrelator"] == "c2"
    assert api.delete(path).status_code == 204
    for gone in (api.get(path), api.put(path, json=changed), api.delete(path)):
        assert gone.status_code == 404


def test_users_are_tracked_between_access_points(
    client: TestClient, api: Checked, subscriber: Subscriber
) -> None:
    subscribe(api, "userTracking", subscriber)
    move(client, 4.6)
    (entered,) = told(subscriber, "zonalPresenceNotification")
    assert (entered["userEventType"], entered["currentAccessPointId"]) == ("Entering", "cell1")
    move(client, 4.59)
    (moved,) = told(subscriber, "zonalPresenceNotification")
    assert moved["userEventType"] == "Transferring"
    assert (moved["previousAccessPointId"], moved["currentAccessPointId"]) == ("cell1", "cell3")
    move(client, 4.62)
    left, entered = told(subscriber, "zonalPresenceNotification", 2)
    assert (left["userEventType"], left["zoneId"]) == ("Leaving", "zone1")
    assert (entered["userEventType"], entered["zoneId"]) == ("Entering", "zone2")


def test_zonal_traffic_is_filtered(
    client: TestClient, api: Checked, subscriber: Subscriber
) -> None:
    subscribe(api, "zonalTraffic", subscriber, userEventCriteria=["Leaving"])
    move(client, 4.6)
    move(client, 4.62)
    (left,) = told(subscriber, "zonalPresenceNotification")
    assert (left["userEventType"], left["currentAccessPointId"]) == ("Leaving", "cell1")


def test_a_zone_tells_when_it_is_crowded_or_broken(
    client: TestClient, api: Checked, subscriber: Subscriber
) -> None:
    subscribe(api, "zoneStatus", subscriber)
    move(client, 4.6)
    move(client, 4.6, ue="ue2")
    (crowded,) = told(subscriber, "zoneStatusNotification")
    assert crowded["numberOfUsersInZone"] == 2
    client.put("/api/access-points/cell1", json={"status": "Unserviceable"})
    (broken,) = told(subscriber, "zoneStatusNotification")
    assert (broken["accessPointId"], broken["operationStatus"]) == ("cell1", "Unserviceable")
    zone = api.get("/queries/zones/zone1").json()["zoneInfo"]
    assert zone["numberOfUnserviceableAccessPoints"] == 1


@pytest.mark.parametrize(("criteria", "lat"), [("Entering", 4.6), ("Leaving", 4.61)])
def test_circles(
    client: TestClient, api: Checked, subscriber: Subscriber, criteria: str, lat: float
) -> None:
    move(client, 4.61 if criteria == "Entering" else 4.6)
    more = {"enteringLeavingCriteria": criteria, "count": 1}
    subscribe(api, "area/circle", subscriber, **more)
    move(client, lat)
    (crossed,) = told(subscriber, "subscriptionNotification")
    assert crossed["enteringLeavingCriteria"] == criteria
    assert crossed["isFinalNotification"] is True
    assert crossed["terminalLocation"][0]["currentLocation"]["latitude"] == [lat]


def test_what_is_so_already_is_told_immediately(
    client: TestClient, api: Checked, subscriber: Subscriber
) -> None:
    move(client, 4.6)
    move(client, 4.6, ue="ue2")
    subscribe(api, "area/circle", subscriber, checkImmediate=True)
    told(subscriber, "subscriptionNotification")
    subscribe(api, "distance", subscriber, checkImmediate=True)
    told(subscriber, "subscriptionNotification")


def test_distances(client: TestClient, api: Checked, subscriber: Subscriber) -> None:
    move(client, 4.6)
    subscribe(api, "distance", subscriber)
    move(client, 4.61, ue="ue2")
    move(client, 4.6005, ue="ue2")
    (close,) = told(subscriber, "subscriptionNotification")
    assert close["distanceCriteria"] == "AnyWithinDistance"
    assert [item["address"] for item in close["terminalLocation"]] == ["acr:ue1"]


def test_places_are_told_periodically_until_the_end(
    client: TestClient, api: Checked, subscriber: Subscriber
) -> None:
    move(client, 4.6)
    subscribe(api, "periodic", subscriber, duration=3)
    first = told(subscriber, "subscriptionNotification")[0]
    states = [item["locationRetrievalStatus"] for item in first["terminalLocation"]]
    assert states == ["Retrieved", "NotRetrieved"]
    told(subscriber, "subscriptionNotification")
    time.sleep(2)
    listed = api.get("/subscriptions/periodic").json()["notificationSubscriptionList"]
    assert listed["periodicNotificationSubscription"] == []


def test_callbacks_go_to_allowed_networks_alone(api: Checked) -> None:
    for url, status in {
        "http://10.0.0.1/x": 403,
        "http://169.254.169.254/latest": 403,
        "http://[::ffff:10.0.0.1]/": 403,
        "http://[::1]/": 403,
        "http://0x0a000001/": 403,
        "file:///etc/passwd": 400,
        "ftp://127.0.0.1/": 400,
        "http://user:secret@127.0.0.1/": 400,
        "http://127.0.0.1:99999/": 400,
        "http://127.0.0.1\\@10.0.0.1/": 400,
        "not a url": 400,
        "http://": 400,
    }.items():
        body = {"callbackReference": {"notifyURL": url}, "address": "acr:ue1"}
        answer = api.post("/subscriptions/userTracking", json={"userTrackingSubscription": body})
        assert answer.status_code == status, (url, answer.text)
