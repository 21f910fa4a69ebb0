"""A service in a temporary folder, whose runs are played and not run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from played import PASSWORD, TOKEN, UE_TOKEN, PlayedRunner
from rlapp.app import create_app
from rlapp.config import Config
from rlapp.service import Service, build
from subscriber import Subscriber, listening


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Two cells in zones of their own, a third in the zone of the first; two UEs, two apps."""
    for name, secret in {"password": PASSWORD, "token": TOKEN, "ue": UE_TOKEN}.items():
        (tmp_path / name).write_text(secret + "\n")
    return Config.model_validate(
        {
            "url": "https://rlapp.mec.test",
            "state_dir": tmp_path / "state",
            "password_file": tmp_path / "password",
            "tokens": {
                "machine": {"file": tmp_path / "token"},
                "ue1": {"file": tmp_path / "ue", "ue": "ue1"},
            },
            "cells": {
                "cell1": _cell("worker1", "zone1", 4.600, 1),
                "cell2": _cell("worker2", "zone2", 4.620, 2),
                "cell3": _cell("worker1", "zone1", 4.590, 3),
            },
            "ues": {
                "ue1": {
                    "address": "acr:ue1",
                    "ipv4": ["192.168.0.101", "192.168.100.101"],
                    "apps": ["videoapp"],
                },
                "ue2": {"address": "acr:ue2", "apps": ["other"]},
            },
            "apps": {"videoapp": {"port": 8080}, "other": {"port": 80}},
            "handoffs": {"project": tmp_path, "results": tmp_path / "results"},
            "callbacks": {"networks": ["127.0.0.0/8"], "first_wait_s": 0.05},
        }
    )


def _cell(me_host: str, zone: str, lat: float, number: int) -> dict[str, Any]:
    return {
        "me_host": me_host,
        "zone": zone,
        "lat": lat,
        "lon": -74.08,
        "range_m": 1000,
        "cell_id": f"{number:028b}",
    }


@pytest.fixture
def runner(config: Config) -> PlayedRunner:
    """What plays the handoffs."""
    return PlayedRunner(config.handoffs.results_dir)


@pytest.fixture
def service(config: Config, runner: PlayedRunner) -> Service:
    """A service, not started."""
    return build(config, runner)


@pytest.fixture
def stranger(service: Service) -> Iterator[TestClient]:
    """Somebody who has not signed in."""
    with TestClient(create_app(service), base_url="https://rlapp.mec.test") as client:
        yield client


@pytest.fixture
def client(stranger: TestClient) -> TestClient:
    """A machine with a token."""
    stranger.headers["Authorization"] = f"Bearer {TOKEN}"
    return stranger


@pytest.fixture
def client_of() -> Callable[[Service], TestClient]:
    """Makes a machine with a token, of another service."""

    def make(service: Service) -> TestClient:
        return TestClient(create_app(service), headers={"Authorization": f"Bearer {TOKEN}"})

    return make


@pytest.fixture
def subscriber() -> Iterator[Subscriber]:
    """Somebody who is told."""
    with listening() as found:
        yield found
