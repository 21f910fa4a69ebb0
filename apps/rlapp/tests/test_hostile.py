"""Input that is meant to hurt: refused with a clear error, and the service goes on."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from played import report
from rlapp.service import Service

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["../../etc/passwd", "{{ lookup('pipe', 'id') }}", "a\0b", "\ud800", "%2e"]),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
HEADERS = {"Content-Type": "application/json"}
FIELDS = ["ue", "time", "lat", "lon", "cell", "signal_dbm", "speed_mps"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"lat": float("nan")},
        {"lon": float("inf")},
        {"lat": 90.1},
        {"lon": -180.1},
        {"lat": 10**400},
        {"lat": "north"},
        {"time": "yesterday"},
        {"time": "2026-01-02T03:04:05"},
        {"signal_dbm": {"cell1": float("-inf")}},
        {"signal_dbm": {f"cell{number}": -80.0 for number in range(100)}},
        {"speed_mps": -1},
        {"ue": "../ue1"},
        {"more": 1},
    ],
)
def test_a_wrong_report_is_refused(
    client: TestClient, service: Service, wrong: dict[str, Any]
) -> None:
    body = json.dumps({**report(), **wrong})
    answer = client.post("/api/locations", content=body, headers=HEADERS)
    assert answer.status_code == 400, answer.text
    assert answer.json()["status"] == 400 and answer.json()["detail"]
    assert service.mobility.locations() == []


@pytest.mark.parametrize(
    "message",
    [
        {"ue": "ue9", "target_cell": "cell2"},
        {"ue": "ue1", "target_cell": "cell9"},
        {"ue": "ue1", "target_cell": "cell2", "source_cell": "cell9"},
    ],
)
def test_unknown_names_are_not_found(client: TestClient, message: dict[str, Any]) -> None:
    assert client.post("/api/handoffs", json=message).status_code == 404
    assert client.get("/api/handoffs").json() == []


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(field=st.sampled_from(FIELDS), value=JSON)
def test_whatever_a_field_is(client: TestClient, field: str, value: Any) -> None:
    body = json.dumps({**report(), field: value})
    answer = client.post("/api/locations", content=body, headers=HEADERS)
    assert answer.status_code in (200, 400, 404), answer.text


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
@pytest.mark.parametrize(
    "path",
    [
        "/api/handoffs",
        "/api/notifications/cell-change",
        "/location/v2/subscriptions/area/circle",
        "/amsi/v1/subscriptions/",
        "/rni/v2/subscriptions",
    ],
)
def test_whatever_a_body_is(client: TestClient, path: str, body: bytes) -> None:
    answer = client.post(path, content=body, headers=HEADERS)
    assert answer.status_code == 400 or (not body and answer.status_code in (400, 415)), answer.text


def test_the_size_of_a_body_is_bounded(client: TestClient) -> None:
    large = b"[" * 100_000
    assert client.post("/api/locations", content=large, headers=HEADERS).status_code == 413
    chunks = (b"[" * 10_000 for _ in range(10))
    assert client.post("/api/locations", content=chunks, headers=HEADERS).status_code == 413
    deep = b"[" * 60_000
    for path in ("/api/locations", "/rni/v2/subscriptions"):
        assert client.post(path, content=deep, headers=HEADERS).status_code == 400


def test_the_number_of_subscriptions_is_bounded(client: TestClient) -> None:
    body = {"callbackReference": {"notifyURL": "http://127.0.0.1/"}, "address": "acr:ue1"}
    path = "/location/v2/subscriptions/userTracking"
    answers = [
        client.post(path, json={"userTrackingSubscription": body}).status_code for _ in range(502)
    ]
    assert answers == [201] * 500 + [429] * 2
    assert client.post("/api/locations", json=report()).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/location/v2/queries/zones/..%2f..%2fetc%2fpasswd",
        "/location/v2/subscriptions/periodic/..",
        "/amsi/v1/app_mobility_services/%00",
        "/rni/v2/subscriptions/' OR 1=1 --",
        "/api/handoffs/0x1",
        "/api/handoffs/99999999999999999999",
        "/api/../../etc/passwd",
        "/nowhere",
    ],
)
def test_tricks_with_paths_find_nothing(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code in (400, 404), answer.text
    assert answer.json()["title"]


def test_the_frameworks_own_errors_are_problems_too(client: TestClient) -> None:
    for answer, status in (
        (client.get("/nowhere"), 404),
        (client.patch("/api/handoffs"), 405),
        (client.post("/api/handoffs", content="a=b"), 415),
        (client.post("/rni/v2/subscriptions", content="<a/>"), 415),
        (client.get("/location/v2/queries/zones", headers={"Accept": "text/xml"}), 406),
    ):
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == status
