"""Orders to UEs: kept, waited for, and each UE's own."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from fastapi.testclient import TestClient
from played import TOKEN, UE_TOKEN
from rlapp import drives
from rlapp.config import Config
from rlapp.service import Service, build
from running import PATIENCE_S

AS_UE1 = {"Authorization": f"Bearer {UE_TOKEN}"}
TOLD = {"state": "ready", "number": 0, "traces": ["loop.geojson"]}


def tell(client: TestClient, **more: Any) -> int:
    """UE 1 tells of itself; returns the status of the answer."""
    answer = client.post("/api/ues/ue1/drive", json={**TOLD, **more}, headers=AS_UE1)
    return answer.status_code


def order(client: TestClient, **wanted: Any) -> Any:
    """Order UE 1 to drive."""
    answer = client.put("/api/ues/ue1/order", json=wanted)
    assert answer.status_code == 202, answer.text
    return answer.json()


def drive_of(client: TestClient) -> Any:
    """What the page knows of it."""
    return client.get("/api/state").json()["drives"]["ue1"]


def test_a_ue_drives_what_it_has_told_of(client: TestClient) -> None:
    refused = client.put("/api/ues/ue1/order", json={"trace": "loop.geojson"})
    assert refused.status_code == 409 and "has not told" in refused.json()["detail"]
    assert tell(client) == 204
    given = order(client, trace="loop.geojson", speed_mps=10, loop=True)
    asked = client.get("/api/ues/ue1/order?after=0", headers=AS_UE1)
    assert asked.json() == given
    assert given == {
        "number": 1,
        "trace": "loop.geojson",
        "speed_mps": 10,
        "loop": True,
        "reverse": False,
    }
    assert client.get("/api/ues/ue1/order?after=1", headers=AS_UE1).status_code == 204
    assert order(client)["trace"] is None


def test_who_waits_is_told_at_once(client: TestClient) -> None:
    tell(client)
    found: list[Any] = []

    def wait() -> None:
        found.append(client.get("/api/ues/ue1/order?wait_s=20", headers=AS_UE1).json())

    began_s = time.monotonic()
    waiting = threading.Thread(target=wait)
    waiting.start()
    while not drive_of(client)["here"]:
        assert time.monotonic() < began_s + 10
    order(client, trace="loop.geojson")
    waiting.join()
    assert found[0]["trace"] == "loop.geojson" and time.monotonic() < began_s + 10


def test_whoever_asks_no_more_is_not_there(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.get("/api/ues/ue1/order", headers=AS_UE1)
    assert drive_of(client)["here"]
    monkeypatch.setattr(drives, "_ABSENT_AFTER_S", 0.05)
    deadline_s = time.monotonic() + PATIENCE_S
    while drive_of(client)["here"]:
        assert time.monotonic() < deadline_s


@pytest.mark.parametrize("state", ["arrived", "failed"])
def test_an_order_that_is_done_with_is_not_driven_again(client: TestClient, state: str) -> None:
    tell(client)
    order(client, trace="loop.geojson")
    tell(client, state="driving", number=1)
    assert drive_of(client)["order"]["trace"] == "loop.geojson"
    tell(client, state=state, number=1)
    assert drive_of(client)["order"] == {
        "number": 1,
        "trace": None,
        "speed_mps": None,
        "loop": False,
        "reverse": False,
    }
    order(client, trace="loop.geojson")
    tell(client, state=state, number=1)
    assert drive_of(client)["order"]["trace"] == "loop.geojson", "that was about an older one"


def test_orders_outlive_the_service(config: Config, client: TestClient) -> None:
    tell(client)
    order(client, trace="loop.geojson")
    again = build(config).drives.of("ue1")
    assert again["order"]["trace"] == "loop.geojson"
    assert again["told"]["traces"] == ["loop.geojson"] and not again["here"]


def test_a_ue_orders_nothing_and_hears_of_no_other(client: TestClient, service: Service) -> None:
    tell(client)
    assert client.put("/api/ues/ue1/order", json={}, headers=AS_UE1).status_code == 403
    assert client.get("/api/ues/ue2/order", headers=AS_UE1).status_code == 403
    assert client.post("/api/ues/ue2/drive", json=TOLD, headers=AS_UE1).status_code == 403
    assert client.get("/api/ues/ue9/order").status_code == 404
    assert service.drives.of("ue2")["told"]["traces"] == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"state": "flying"},
        {"number": -1},
        {"traces": ["../../etc/passwd"]},
        {"traces": ["a"] * 101},
        {"error": "x" * 501},
        {"more": 1},
    ],
)
def test_what_makes_no_sense_is_refused(client: TestClient, wrong: dict[str, Any]) -> None:
    assert tell(client, **wrong) == 400
    for bad in ({"trace": "a/b"}, {"speed_mps": 0}, {"speed_mps": 1e400}, {"wait": 1}):
        body = str(bad).replace("'", '"').replace("inf", "1e400")
        answer = client.put(
            "/api/ues/ue1/order", content=body, headers={"Content-Type": "application/json"}
        )
        assert answer.status_code == 400, answer.text
    assert client.get("/api/ues/ue1/order?wait_s=31", headers=AS_UE1).status_code == 400
    assert TOKEN not in client.get("/api/state").text
