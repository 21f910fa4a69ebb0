"""The standby contract: nothing of the PV before the activation, everything after it."""

from __future__ import annotations

import dataclasses

import pytest
from starlette.testclient import TestClient
from videoapp.app import create_app
from videoapp.config import Settings


@pytest.mark.parametrize("path", ["/healthz", "/api/videos", "/api/session"])
def test_standby_answers_503_and_does_not_touch_the_pv(
    client: TestClient, settings: Settings, path: str
) -> None:
    response = client.get(path, headers={"Cookie": "videoapp_session=x"})
    assert response.status_code == 503
    assert int(response.headers["retry-after"]) > 0
    assert list(settings.data_dir.iterdir()) == []


def test_activation_serves_and_does_no_harm_twice(
    client: TestClient, platform: dict[str, str]
) -> None:
    for _ in range(2):
        assert client.post("/-/activate", headers=platform).status_code == 200
        assert client.get("/healthz").status_code == 200
    assert client.get("/-/instance").json()["state"] == "active"


@pytest.mark.parametrize(("method", "path"), [("POST", "/-/activate"), ("GET", "/-/instance")])
def test_the_platform_s_paths_are_closed_to_the_gateway(
    client: TestClient, platform: dict[str, str], method: str, path: str
) -> None:
    headers = {**platform, "X-Forwarded-For": "192.168.0.101"}
    response = client.request(method, path, headers=headers)
    assert response.status_code == 403
    assert client.get("/healthz").status_code == 503


@pytest.mark.parametrize(
    "said",
    [None, "", "Bearer", "Bearer ", "Bearer of-another-instance", "Basic {token}", "{token}"],
)
def test_nobody_activates_without_the_token_of_the_instance(
    client: TestClient, settings: Settings, said: str | None
) -> None:
    headers = (
        {} if said is None else {"Authorization": said.format(token=settings.activation_token)}
    )
    assert client.post("/-/activate", headers=headers).status_code == 403
    assert client.get("/healthz").status_code == 503
    assert list(settings.data_dir.iterdir()) == []


def test_an_instance_that_was_given_no_token_is_activated_by_nobody(settings: Settings) -> None:
    with TestClient(create_app(dataclasses.replace(settings, activation_token=None))) as client:
        for said in ("Bearer ", "Bearer None"):
            refused = client.post("/-/activate", headers={"Authorization": said})
            assert refused.status_code == 403


def test_an_instance_without_a_usable_pv_stays_in_standby(
    settings: Settings, platform: dict[str, str]
) -> None:
    settings.database.write_bytes(b"this is not a database" * 100)
    with TestClient(create_app(settings)) as client:
        response = client.post("/-/activate", headers=platform)
        assert response.status_code == 500
        assert str(settings.database) in response.json()["error"]
        assert client.get("/healthz").status_code == 503
    assert not settings.marker.exists()


def test_a_restart_serves_again_without_being_asked(
    settings: Settings, platform: dict[str, str]
) -> None:
    with TestClient(create_app(settings)) as client:
        client.post("/-/activate", headers=platform)
    with TestClient(create_app(settings)) as client:
        assert client.get("/healthz").status_code == 200


def test_the_first_user_is_only_made_on_an_empty_pv(
    settings: Settings, password: str, platform: dict[str, str]
) -> None:
    with TestClient(create_app(settings)) as client:
        client.post("/-/activate", headers=platform)
    settings.marker.unlink()
    other = dataclasses.replace(settings, first_user="other")
    with TestClient(create_app(other)) as client:
        client.post("/-/activate", headers=platform)
        assert client.app.state.instance.store.users() == ["viewer"]  # type: ignore[attr-defined]
        body = {"user": "viewer", "password": password}
        assert client.post("/api/session", json=body).status_code == 200
