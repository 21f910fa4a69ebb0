"""The library and its positions, over HTTP."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient
from videoapp.app import create_app
from videoapp.config import Settings


def start(client: TestClient, video: str = "aurora") -> dict[str, Any]:
    response = client.post(f"/api/videos/{video}/viewings", json={})
    assert response.status_code == 201
    content: dict[str, Any] = response.json()
    return content


def save(client: TestClient, viewing: int, seq: int, position_s: object) -> Any:
    write = {"viewing": viewing, "seq": seq, "position_s": position_s}
    return client.post("/api/videos/aurora/position", json=write)


def test_the_position_survives_the_move_to_another_instance(
    signed_in: TestClient, settings: Settings, platform: dict[str, str]
) -> None:
    viewing = start(signed_in)
    assert viewing["position_s"] == 0
    assert save(signed_in, viewing["viewing"], 1, 42.5).status_code == 200
    settings.marker.unlink()
    with TestClient(create_app(settings), cookies=signed_in.cookies) as target:
        target.post("/-/activate", headers=platform)
        assert target.get("/api/session").json() == {"user": "viewer"}
        videos = {video["id"]: video for video in target.get("/api/videos").json()["videos"]}
        assert videos["aurora"]["position_s"] == 42.5
        assert videos["life"]["position_s"] == 0
        assert start(target)["position_s"] == 42.5


def test_a_late_write_does_not_overwrite_a_newer_one(signed_in: TestClient) -> None:
    first = start(signed_in)["viewing"]
    save(signed_in, first, 2, 20)
    assert save(signed_in, first, 1, 10).json()["position_s"] == 20
    second = start(signed_in)["viewing"]
    assert save(signed_in, first, 3, 30).json() == {"viewing": second, "seq": 0, "position_s": 20}
    assert save(signed_in, second, 1, 5).json()["position_s"] == 5


def test_a_position_ends_with_its_video(signed_in: TestClient) -> None:
    assert save(signed_in, start(signed_in)["viewing"], 1, 1e9).json()["position_s"] == 180


@pytest.mark.parametrize(
    ("viewing", "seq", "position_s"),
    [
        (0, 1, 1),
        (1, 0, 1),
        (1, 2**53, 1),
        (1, True, 1),
        (1, 1.5, 1),
        (1, 1, -1),
        (1, 1, "1"),
        (1, 1, None),
    ],
)
def test_impossible_writes_are_refused(
    signed_in: TestClient, viewing: Any, seq: Any, position_s: object
) -> None:
    start(signed_in)
    assert save(signed_in, viewing, seq, position_s).status_code == 422


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_are_none_are_refused(signed_in: TestClient, number: str) -> None:
    start(signed_in)
    response = signed_in.post(
        "/api/videos/aurora/position",
        content=f'{{"viewing": 1, "seq": 1, "position_s": {number}}}',
        headers={"Content-Type": "application/json"},
    )
    assert response.status_code == 422


def test_a_write_needs_a_viewing_and_a_video(signed_in: TestClient) -> None:
    assert save(signed_in, 1, 1, 1).status_code == 409
    assert signed_in.post("/api/videos/nothing/viewings", json={}).status_code == 404


@pytest.mark.parametrize("path", ["/api/videos", "/api/session"])
def test_without_a_session_there_is_nothing(signed_in: TestClient, path: str) -> None:
    signed_in.cookies.clear()
    assert signed_in.get(path).status_code == 401
    assert signed_in.post("/api/videos/aurora/viewings", json={}).status_code == 401
