"""MEC 021 and MEC 012: services, subscriptions, and what a relocation makes them tell."""

from __future__ import annotations

import time
from typing import Any

import pytest
from etsi_files import Checked, named
from fastapi.testclient import TestClient
from played import PlayedRunner, report
from subscriber import Subscriber
from test_handoffs import ended, hand_off

SERVICE = {
    "serviceConsumerId": {"appInstanceId": "videoapp-worker1"},
    "deviceInformation": [
        {
            "serviceConsumerId": {"appInstanceId": "videoapp-worker1"},
            "associateId": {"type": "UE_IPv4_ADDRESS", "value": "192.168.0.101"},
        }
    ],
    "expiryTime": 0,
}
ALL = [f"INTERHOST_MOVEOUT_{what}" for what in ("TRIGGERED", "COMPLETED", "FAILED")]


@pytest.fixture
def amsi(client: TestClient) -> Checked:
    """MEC 021."""
    return Checked(client, "/amsi/v1")


@pytest.fixture
def rni(client: TestClient) -> Checked:
    """MEC 012."""
    return Checked(client, "/rni/v2")


def test_the_life_of_a_service(amsi: Checked) -> None:
    created = amsi.post("/app_mobility_services", json=SERVICE)
    assert created.status_code == 201
    path = f"/app_mobility_services/{created.json()['appMobilityServiceId']}"
    assert created.headers["location"].endswith(path)
    assert amsi.get(path).json() == created.json()
    assert amsi.put(path, json=SERVICE, headers={"If-Match": '"x"'}).status_code == 412
    changed = amsi.put(path, json={"serviceConsumerId": {"mepId": "m"}})
    assert changed.json()["serviceConsumerId"] == {"mepId": "m"}
    assert amsi.post(f"{path}/deregister_task").status_code == 204
    assert amsi.post(f"{path}/deregister_task").status_code == 404
    assert amsi.get(path).status_code == 404
    again = amsi.post("/app_mobility_services", json={**SERVICE, "expiryTime": 1}).json()
    path = f"/app_mobility_services/{again['appMobilityServiceId']}"
    assert amsi.delete(path).status_code == 204


def test_services_are_filtered(amsi: Checked) -> None:
    amsi.post("/app_mobility_services", json=SERVICE)
    amsi.post("/app_mobility_services", json={"serviceConsumerId": {"appInstanceId": "b"}})

    def count(query: str) -> int:
        return len(amsi.get(f"/app_mobility_services?{query}").json())

    assert count("") == 2
    assert count("filter=(eq,serviceConsumerId/appInstanceId,b)") == 1
    assert count("filter=(in,serviceConsumerId/appInstanceId,b,videoapp-worker1)") == 2
    assert count("filter=(cont,deviceInformation/associateId/value,'192.168')") == 1
    assert count("filter=(neq,serviceConsumerId/appInstanceId,b);(gte,expiryTime,0)") == 1
    assert count("filter=(gt,expiryTime,0)") == 0
    for wrong in ("(eq,a)", "eq", "(no,a,b)", "(eq,a,b,c)", "(gt,expiryTime,x)", "(" * 3000):
        answer = amsi.get("/app_mobility_services", params={"filter": wrong})
        assert answer.status_code == 400, wrong
    full, short = (
        amsi.get(f"/app_mobility_services?filter=(gte,expiryTime,0)&{query}").json()[0]
        for query in ("fields=deviceInformation", "exclude_fields=deviceInformation")
    )
    assert "deviceInformation" in full and "deviceInformation" not in short
    assert amsi.get("/app_mobility_services?fields=a&exclude_fields=b").status_code == 400


def test_the_life_of_a_subscription(amsi: Checked, subscriber: Subscriber) -> None:
    body: dict[str, Any] = {
        "subscriptionType": "MobilityProcedureSubscription",
        "callbackReference": subscriber.url,
        "filterCriteria": {"appInstanceId": "videoapp"},
    }
    created = amsi.post("/subscriptions/", json=body)
    assert created.status_code == 201
    shown = created.json()
    assert shown["filterCriteria"]["mobilityStatus"] == ["INTERHOST_MOVEOUT_TRIGGERED"]
    path = shown["_links"]["self"]["href"].partition("/amsi/v1")[2]
    listed = amsi.get("/subscriptions/?subscriptionType=mobility_proc").json()
    assert listed["subscription"] == [{**shown["_links"]["self"], "subscriptionType": 1}]
    other = amsi.get("/subscriptions/?subscriptionType=adj_app_info").json()
    assert other["subscription"] == []
    for wrong in ("", "?subscriptionType=x"):
        assert amsi.get(f"/subscriptions/{wrong}").status_code == 400
    assert amsi.get(path).json() == shown
    assert amsi.put(path, json=shown).status_code == 200
    adjacent = {**body, "subscriptionType": "AdjacentAppInfoSubscription", "filterCriteria": {}}
    assert amsi.put(path, json=adjacent).status_code == 422
    assert amsi.delete(path).status_code == 204
    assert amsi.get(path).status_code == 404


@pytest.mark.parametrize("outcome", ["completed", "aborted", "uncertain"])
def test_a_relocation_is_told_as_its_record_has_it(
    client: TestClient,
    runner: PlayedRunner,
    amsi: Checked,
    subscriber: Subscriber,
    outcome: str,
) -> None:
    for criteria in (
        {"mobilityStatus": ALL},
        {"appInstanceId": "other", "mobilityStatus": ALL},
        {"associateId": [{"type": "UE_IPv4_ADDRESS", "value": "10.1.1.1"}], "mobilityStatus": ALL},
    ):
        body = {
            "subscriptionType": "MobilityProcedureSubscription",
            "callbackReference": subscriber.url,
            "filterCriteria": criteria,
        }
        assert amsi.post("/subscriptions/", json=body).status_code == 201
    runner.outcome = outcome
    ended(client, hand_off(client))
    # An uncertain one has neither been completed nor failed so far.
    wanted = {"completed": ALL[:2], "aborted": [ALL[0], ALL[2]], "uncertain": ALL[:1]}[outcome]
    bodies = subscriber.next(len(wanted))
    assert [body["mobilityStatus"] for body in bodies] == wanted
    assert {"type": "UE_IPv4_ADDRESS", "value": "192.168.0.101"} in bodies[0]["associateId"]
    if outcome == "completed":
        interface = {"ipAddresses": [{"host": "172.17.0.2", "port": 8080}]}
        assert bodies[1]["targetAppInfo"]["commInterface"] == [interface]


def test_adjacent_instances(client: TestClient, amsi: Checked, subscriber: Subscriber) -> None:
    body = {
        "subscriptionType": "AdjacentAppInfoSubscription",
        "callbackReference": subscriber.url,
        "filterCriteria": {"appInstanceId": "videoapp"},
    }
    assert amsi.post("/subscriptions/", json=body).status_code == 201
    assert client.post("/api/survey").status_code == 200
    (notification,) = subscriber.next()
    assert notification["adjacentAppInfo"][0]["appInstanceId"] == "videoapp-worker1"
    found = amsi.get("/queries/adjacent_app_instances?filter=(eq,appDId,videoapp)").json()
    assert [item["mecHostInformation"]["hostName"] for item in found] == ["worker1"]
    short = amsi.get("/queries/adjacent_app_instances?exclude_fields=mecHostInformation").json()
    assert all("mecHostInformation" not in item for item in short)


def cell_change(subscriber: Subscriber, **criteria: Any) -> dict[str, Any]:
    """A subscription to cell changes."""
    return {
        "subscriptionType": "CellChangeSubscription",
        "callbackReference": subscriber.url,
        "filterCriteriaAssocHo": criteria,
    }


def ecgi(number: int) -> dict[str, Any]:
    """The identity of a cell."""
    return {"plmn": {"mcc": "001", "mnc": "01"}, "cellId": f"{number:028b}"}


def test_cell_changes_are_told(client: TestClient, rni: Checked, subscriber: Subscriber) -> None:
    created = rni.post("/subscriptions", json=cell_change(subscriber))
    assert created.json()["filterCriteriaAssocHo"]["hoStatus"] == [3]
    every = cell_change(subscriber, hoStatus=[1, 2, 3, 4, 5], ecgi=[ecgi(2)])
    rni.put(created.json()["_links"]["self"]["href"].partition("/rni/v2")[2], json=every)
    rni.post("/subscriptions", json=cell_change(subscriber, ecgi=[ecgi(3)]))
    client.post("/api/locations", json=report())
    ended(client, hand_off(client, ho_status="IN_PREPARATION"))
    ended(client, hand_off(client, ho_status="IN_EXECUTION"))
    bodies = subscriber.next(3)
    for body in bodies:
        named("/rni/v2", "CellChangeNotification", body)
    assert [body["hoStatus"] for body in bodies] == [1, 2, 3]
    assert bodies[2]["srcEcgi"] == ecgi(1) and bodies[2]["trgEcgi"] == [ecgi(2)]


def test_the_life_of_a_cell_change_subscription(rni: Checked, subscriber: Subscriber) -> None:
    created = rni.post("/subscriptions", json=cell_change(subscriber)).json()
    path = created["_links"]["self"]["href"].partition("/rni/v2")[2]
    links = rni.get("/subscriptions").json()["_links"]["subscription"]
    assert [link["href"] for link in links] == [created["_links"]["self"]["href"]]
    empty = rni.get("/subscriptions?subscription_type=rab_est").json()
    assert empty["_links"]["subscription"] == []
    assert rni.get("/subscriptions?subscription_type=x").status_code == 400
    assert rni.get(path).json() == created
    other = {**cell_change(subscriber), "subscriptionType": "RabEstSubscription"}
    assert rni.post("/subscriptions", json=other).status_code == 422
    assert rni.delete(path).status_code == 204
    assert rni.get(path).status_code == 404


def test_subscriptions_expire_and_say_so(rni: Checked, subscriber: Subscriber) -> None:
    soon = {"seconds": int(time.time()) + 2, "nanoSeconds": 0}
    body = {**cell_change(subscriber), "expiryDeadline": soon}
    assert rni.post("/subscriptions", json=body).json()["expiryDeadline"] == soon
    (notification,) = subscriber.next()
    named("/rni/v2", "ExpiryNotification", notification)
    assert rni.get("/subscriptions").json()["_links"]["subscription"] == []
    over = {**body, "expiryDeadline": {"seconds": 1, "nanoSeconds": 0}}
    assert rni.post("/subscriptions", json=over).status_code == 400


def test_a_networks_notification_is_a_handoff_message(client: TestClient) -> None:
    client.post("/api/locations", json=report())
    body: dict[str, Any] = {
        "notificationType": "CellChangeNotification",
        "associateId": [{"type": 1, "value": "192.168.0.101"}],
        "hoStatus": 2,
        "srcEcgi": ecgi(1),
        "trgEcgi": [ecgi(2)],
        "timeStamp": {"seconds": 1_700_000_000, "nanoSeconds": 5},
    }
    named("/rni/v2", "CellChangeNotification", body)
    for _ in range(2):
        assert client.post("/api/notifications/cell-change", json=body).status_code == 204
    (handoff,) = client.get("/api/handoffs").json()
    done = ended(client, handoff)
    assert (done["ue"], done["target_cell"], done["state"]) == ("ue1", "cell2", "completed")
    for name, value, status in (
        ("associateId", [{"type": 1, "value": "10.9.9.9"}], 404),
        ("trgEcgi", [ecgi(99)], 404),
        ("trgEcgi", [ecgi(2), ecgi(3)], 400),
        ("hoStatus", 6, 400),
    ):
        answer = client.post("/api/notifications/cell-change", json={**body, name: value})
        assert answer.status_code == status, answer.text
