"""The command that manages users."""

from __future__ import annotations

import io

import pytest
from videoapp import user
from videoapp.config import ConfigError, Settings, read_settings
from videoapp.passwords import password_matches
from videoapp.store import Store, StoreError


@pytest.fixture
def active(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The instance that serves, as the command's environment describes it."""
    monkeypatch.setenv("VIDEOAPP_DATA_DIR", str(settings.data_dir))
    monkeypatch.setenv("VIDEOAPP_STATE_DIR", str(settings.state_dir))
    settings.marker.touch()
    return settings


def test_a_made_password_is_told_once_and_works(active: Settings) -> None:
    password = user.run(["add", "ann"])
    assert user.run(["list"]) == "ann"
    store = Store(active.database)
    assert password_matches(store.password_hash("ann"), password)
    assert not password_matches(store.password_hash("ann"), password + "x")
    store.close()


def test_a_given_password_is_not_told(active: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("a good password\n"))
    assert user.run(["add", "ann", "--stdin"]) == ""
    store = Store(active.database)
    assert password_matches(store.password_hash("ann"), "a good password")
    store.close()


def test_a_short_password_is_refused(active: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("short\n"))
    with pytest.raises(ValueError, match="8 to 256"):
        user.run(["add", "ann", "--stdin"])
    assert user.run(["list"]) == ""
    assert active.database.exists()


def test_the_pv_of_a_standby_is_left_alone(active: Settings) -> None:
    active.marker.unlink()
    with pytest.raises(StoreError, match="standby"):
        user.run(["add", "ann"])
    assert not active.database.exists()


@pytest.mark.parametrize(
    "environ", [{"VIDEOAPP_USER": "ann"}, {"VIDEOAPP_PORT": "0"}, {"VIDEOAPP_PORT": "http"}]
)
def test_a_half_described_instance_does_not_start(environ: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="VIDEOAPP_"):
        read_settings(environ)
