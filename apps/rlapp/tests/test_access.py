"""Who may use what."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from played import PASSWORD, UE_TOKEN, report
from rlapp.access import new_link, secret_of
from rlapp.service import Service

OPEN = {"/healthz", "/api/session", "/sign-in/{code}"}


def test_nothing_is_readable_or_started_without_signing_in(stranger: TestClient) -> None:
    """Every route that there is, asked with every method that it has."""
    asked = 0
    for routes in _routers():
        for route in routes:
            assert isinstance(route, APIRoute)
            if route.path in OPEN:
                continue
            for method in route.methods:
                path = route.path.replace("{number}", "1").replace("{name}", "x")
                answer = stranger.request(method, path.replace("{zone}", "zone1"))
                assert answer.status_code == 401, (method, path)
                assert answer.json()["status"] == 401
                asked += 1
    assert asked > 60


def _routers() -> list[list[object]]:
    from rlapp import api
    from rlapp.etsi import amsi, location, rni

    return [
        list(router.routes)
        for router in (
            api.reports,
            api.private,
            location.routes,
            amsi.routes,
            rni.routes,
            rni.received_routes,
        )
    ]


def test_the_password_gives_a_session_until_it_is_ended(stranger: TestClient) -> None:
    wrong = stranger.post("/api/session", json={"password": "wrong"})
    assert wrong.status_code == 401
    right = stranger.post("/api/session", json={"password": PASSWORD})
    assert right.status_code == 204
    cookie = right.headers["set-cookie"].lower()
    assert "httponly" in cookie and "secure" in cookie and "samesite=lax" in cookie
    assert stranger.get("/api/state").status_code == 200
    assert stranger.delete("/api/session").status_code == 204
    assert stranger.get("/api/state").status_code == 401


def test_guessing_is_slowed_down(stranger: TestClient) -> None:
    answers = [
        stranger.post("/api/session", json={"password": str(number)}).status_code
        for number in range(12)
    ]
    assert answers[:10] == [401] * 10 and answers[10:] == [429] * 2


def test_a_session_is_not_for_other_sites(stranger: TestClient) -> None:
    stranger.post("/api/session", json={"password": PASSWORD})
    message = {"ue": "ue1", "target_cell": "cell2"}
    for headers in ({"Origin": "https://elsewhere.test"}, {"Sec-Fetch-Site": "cross-site"}):
        assert stranger.post("/api/handoffs", json=message, headers=headers).status_code == 403
    assert stranger.get("/api/handoffs").json() == []


def test_a_link_signs_in_once(stranger: TestClient, service: Service) -> None:
    code = new_link(service.store)
    first = stranger.get(f"/sign-in/{code}", follow_redirects=False)
    assert first.status_code == 303 and first.headers["location"] == "/"
    assert stranger.get("/api/state").status_code == 200
    stranger.cookies.clear()
    assert stranger.get(f"/sign-in/{code}", follow_redirects=False).status_code == 401
    assert stranger.get("/api/state").status_code == 401


def test_a_machine_gets_a_link_for_somebody(client: TestClient) -> None:
    answer = client.post("/api/links", json={})
    assert answer.status_code == 201
    del client.headers["Authorization"]
    assert client.get("/api/state").status_code == 401
    path = urlsplit(answer.json()["url"]).path
    assert client.get(path, follow_redirects=False).status_code == 303
    assert client.get("/api/state").status_code == 200


def test_a_ue_reports_itself_and_nothing_else(stranger: TestClient) -> None:
    stranger.headers["Authorization"] = f"Bearer {UE_TOKEN}"
    assert stranger.post("/api/locations", json=report()).status_code == 200
    assert stranger.post("/api/locations", json=report(ue="ue2")).status_code == 403
    message = {"ue": "ue2", "target_cell": "cell2"}
    assert stranger.post("/api/handoffs", json=message).status_code == 403
    for path in ("/api/state", "/metrics", "/location/v2/queries/zones", "/api/events"):
        assert stranger.get(path).status_code == 403


def test_secrets_are_made_for_their_owner_alone(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        made = secret_of(tmp_path / "new")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o600
    assert len(made) >= 16 and secret_of(tmp_path / "new") == made
    (tmp_path / "short").write_text("secret\n")
    with pytest.raises(ValueError, match="16 characters"):
        secret_of(tmp_path / "short")
