"""An instance in a temporary folder, in standby."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from videoapp.app import create_app
from videoapp.config import Settings

CATALOG = Path(__file__).parent.parent / "media" / "videos.json"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Folders of an instance whose PV is empty."""
    for folder in ("data", "state", "share"):
        (tmp_path / folder).mkdir()
    (tmp_path / "share" / "videos.json").write_bytes(CATALOG.read_bytes())
    return Settings(
        data_dir=tmp_path / "data",
        state_dir=tmp_path / "state",
        share_dir=tmp_path / "share",
        run_dir=tmp_path / "run",
        first_user="viewer",
        first_password=secrets.token_urlsafe(),
        activation_token=secrets.token_urlsafe(),
    )


@pytest.fixture
def password(settings: Settings) -> str:
    """The first user's password."""
    assert settings.first_password
    return settings.first_password


@pytest.fixture
def platform(settings: Settings) -> dict[str, str]:
    """What the platform says about itself."""
    return {"Authorization": f"Bearer {settings.activation_token}"}


@pytest.fixture
def client(settings: Settings) -> Iterator[TestClient]:
    """Requests to the instance, in standby."""
    with TestClient(create_app(settings)) as client:
        yield client


@pytest.fixture
def signed_in(client: TestClient, password: str, platform: dict[str, str]) -> TestClient:
    """Requests of a signed-in user to the instance, activated."""
    assert client.post("/-/activate", headers=platform).status_code == 200
    sign_in = client.post("/api/session", json={"user": "viewer", "password": password})
    assert sign_in.status_code == 200
    return client
