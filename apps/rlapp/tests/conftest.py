"""A service in a temporary folder, whose runs are played and not run."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from played import TOKEN, PlayedRunner, config_in
from rlapp.app import create_app
from rlapp.config import Config
from rlapp.service import Service, build
from subscriber import Subscriber, listening


@pytest.fixture(scope="session")
def page_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page, with its libraries, as `prepare` puts it together."""
    folder = tmp_path_factory.mktemp("page")
    subprocess.run([Path(__file__).parents[1] / "prepare", "page", folder], check=True)
    return folder / "page"


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A configuration with all of its files in a temporary folder."""
    return config_in(tmp_path)


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
