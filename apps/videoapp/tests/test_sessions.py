"""Signing in and out, and what keeps others from doing it for somebody."""

from __future__ import annotations

import pytest
from httpx import Response
from starlette.testclient import TestClient
from videoapp import sessions
from videoapp.config import Settings


def sign_in(client: TestClient, password: str, user: str = "viewer", **headers: str) -> Response:
    return client.post("/api/session", json={"user": user, "password": password}, headers=headers)


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(
    signed_in: TestClient, password: str
) -> None:
    cookie = sign_in(signed_in, password).headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert "secure" not in cookie
    over_tls = signed_in.post(
        "/api/session",
        json={"user": "viewer", "password": password},
        headers={"X-Forwarded-Proto": "https"},
    )
    assert "; secure" in over_tls.headers["set-cookie"].lower()


def test_the_pv_does_not_hold_what_signs_in(
    signed_in: TestClient, settings: Settings, password: str
) -> None:
    token = signed_in.cookies["videoapp_session"]
    kept = b"".join(file.read_bytes() for file in settings.data_dir.iterdir())
    assert b"argon2id" in kept
    assert token.encode() not in kept
    assert password.encode() not in kept


@pytest.mark.parametrize("user", ["viewer", "nobody"])
def test_unknown_user_and_wrong_password_get_the_same_answer(
    signed_in: TestClient, user: str
) -> None:
    response = sign_in(signed_in, "wrong", user)
    assert response.status_code == 401
    assert response.json() == {"error": "user or password is wrong"}


def test_signing_out_ends_the_session_itself(signed_in: TestClient) -> None:
    token = signed_in.cookies["videoapp_session"]
    assert signed_in.delete("/api/session").status_code == 204
    replay = signed_in.get("/api/session", headers={"Cookie": f"videoapp_session={token}"})
    assert replay.status_code == 401


def test_guessing_is_throttled_for_one_address_only(signed_in: TestClient, password: str) -> None:
    address = {"X-Forwarded-For": "192.168.0.66"}
    for _ in range(sessions.ADDRESS_LIMIT):
        assert sign_in(signed_in, "wrong", **address).status_code == 401
    response = sign_in(signed_in, password, **address)
    assert response.status_code == 429
    assert 0 < int(response.headers["retry-after"]) <= sessions.WINDOW_S
    assert sign_in(signed_in, password, **{"X-Forwarded-For": "192.168.0.101"}).status_code == 200


def test_a_client_cannot_choose_the_address_that_is_throttled(signed_in: TestClient) -> None:
    for number in range(sessions.ADDRESS_LIMIT + 1):
        headers = {"X-Forwarded-For": f"10.0.0.{number}, 192.168.0.66"}
        last = sign_in(signed_in, "wrong", **headers)
    assert last.status_code == 429


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://elsewhere.test"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_other_sites_cannot_change_anything(
    signed_in: TestClient, password: str, headers: dict[str, str]
) -> None:
    assert sign_in(signed_in, password, **headers).status_code == 403
    assert signed_in.delete("/api/session", headers=headers).status_code == 403
    viewing = signed_in.post("/api/videos/aurora/viewings", json={}, headers=headers)
    assert viewing.status_code == 403
    write = {"viewing": 1, "seq": 1, "position_s": 1}
    saved = signed_in.post("/api/videos/aurora/position", json=write, headers=headers)
    assert saved.status_code == 403


def test_the_own_origin_is_welcome(signed_in: TestClient, password: str) -> None:
    headers = {"Origin": "http://testserver", "Sec-Fetch-Site": "same-origin"}
    assert sign_in(signed_in, password, **headers).status_code == 200


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        ("user=viewer", "application/x-www-form-urlencoded", 415),
        ("{", "application/json", 400),
        ("[]", "application/json", 400),
        ('{"user": "viewer"}', "application/json", 422),
        ('{"user": 1, "password": "x"}', "application/json", 422),
    ],
)
def test_unusable_bodies_are_refused(
    signed_in: TestClient, content: str, kind: str, status: int
) -> None:
    response = signed_in.post("/api/session", content=content, headers={"Content-Type": kind})
    assert response.status_code == status
