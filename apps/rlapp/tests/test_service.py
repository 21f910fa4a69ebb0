"""The service as a process: it is followed, killed, and goes on."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from played import report
from rlapp.config import Config, ConfigError, read_config
from rlapp.events import Events
from rlapp.messages import HandoffMessage, Location
from rlapp.mobility import Mobility, Silent
from rlapp.service import Service, build
from rlapp.store import Store
from running import environment, process, write_config


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A configuration file."""
    return write_config(tmp_path)


def test_a_killed_service_has_lost_nothing_and_events_go_on(file: Path) -> None:
    with process(file) as (client, running):
        for number in range(20):
            client.post("/api/locations", json=report(4.6 + number / 1e4))
        seen = client.get("/api/state").json()
        with client.stream("GET", "/api/events", params={"after": 0}) as stream:
            first = [line for line, _ in zip(stream.iter_lines(), range(30), strict=False)]
        assert any(line.startswith("event: location") for line in first)
        running.send_signal(signal.SIGKILL)
    with process(file) as (client, running):
        again = client.get("/api/state").json()
        assert again["locations"] == seen["locations"] and again["event"] == seen["event"]
        client.post("/api/locations", json=report(4.6))
        with client.stream(
            "GET", "/api/events", headers={"Last-Event-ID": str(seen["event"] - 1)}
        ) as stream:
            ids = []
            for line in stream.iter_lines():
                if line.startswith("id: "):
                    ids.append(int(line[4:]))
                if len(ids) == 2:
                    break
        assert ids == [seen["event"], seen["event"] + 1]
        running.send_signal(signal.SIGTERM)
        running.wait(timeout=20)
        log = (file.parent / "log").read_text()
        assert running.returncode == -signal.SIGTERM, log
        for line in log.splitlines():
            assert json.loads(line)["level"] in ("info", "warning")


def test_the_link_is_printed(file: Path) -> None:
    command = [sys.executable, "-m", "rlapp", "link", str(file)]
    printed = subprocess.run(command, env=environment(), capture_output=True, text=True, check=True)
    link = printed.stdout.strip().removeprefix("https://rlapp.mec.test")
    with process(file) as (client, _):
        assert client.get(link).status_code == 303
        assert client.get(link).status_code == 401


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("{", "while parsing"),
        ("[]", "the file"),
        ("url: ftp://x", "url:"),
        ("cells: {}", "cells:"),
        ("surprise: 1", "surprise:"),
    ],
)
def test_a_wrong_configuration_is_explained(tmp_path: Path, wrong: str, told: str) -> None:
    (tmp_path / "c.yml").write_text(wrong)
    with pytest.raises(ConfigError, match=told):
        read_config(tmp_path / "c.yml")


def test_names_of_a_configuration_belong_together(config: Config) -> None:
    content = config.model_dump()
    content["ues"]["ue2"]["address"] = "acr:ue1"
    with pytest.raises(ValueError, match="same address is given twice"):
        Config.model_validate(content)
    content["ues"]["ue2"] |= {"address": "acr:ue2", "apps": ["unknown"]}
    with pytest.raises(ValueError, match="names no app: unknown"):
        Config.model_validate(content)


def test_old_events_are_forgotten(tmp_path: Path) -> None:
    store = Store(tmp_path / "db")
    events = Events(store, kept=100)
    for number in range(1000):
        events.publish("log", number=number)
    assert store.count("SELECT count(*) FROM events") == 100
    assert events.newest == 1000
    store.close()


def test_a_follower_is_woken(tmp_path: Path) -> None:
    async def follow() -> list[int]:
        events = Events(Store(tmp_path / "db"), kept=100)
        seen: list[int] = []

        async def read() -> None:
            seen.extend([event.id async for event in events.follow(0, 60) if event])

        reader = asyncio.create_task(read())
        for _ in range(3):
            await asyncio.sleep(0.01)
            events.publish("log")
        await asyncio.sleep(0.05)
        events.close()
        await asyncio.wait_for(reader, 1)
        return seen

    assert asyncio.run(follow()) == [1, 2, 3]


def test_a_follower_hears_that_the_service_lives(tmp_path: Path) -> None:
    async def follow() -> list[int | None]:
        events = Events(Store(tmp_path / "db"), kept=100)
        events.publish("log")
        seen: list[int | None] = []
        async for event in events.follow(0, 0.01):
            seen.append(event and event.id)
            if len(seen) == 3:
                break
        return seen

    assert asyncio.run(follow()) == [1, None, None]


class AlwaysCell2(Silent):
    """A predictor."""

    def observe(self, location: Location) -> list[HandoffMessage]:
        """The UE goes to cell 2."""
        return [HandoffMessage(location.ue, "cell2", "IN_PREPARATION", location.cell)]

    def summary(self) -> dict[str, Any]:
        """It is always right."""
        return {"hits": 1}


def test_a_prediction_and_late_reports(config: Config, service: Service) -> None:
    mobility = Mobility(config, service.store, service.events, service.notifications, AlwaysCell2())
    here = Location("ue1", 1000.0, 4.6, -74.08)
    assert [message.source_cell for message in mobility.report(here)] == ["cell1"]
    late = Location("ue1", 999.0, 4.62, -74.08)
    assert mobility.report(late) == [] and mobility.locations()[0].cell == "cell1"
    anew = Location("ue1", 10.0, 0.0, 0.0)
    mobility.report(anew)
    assert mobility.locations()[0].cell is None
    mobility.move("ue2", "cell2")
    assert [location.cell for location in mobility.locations()] == [None, "cell2"]


def test_a_service_can_be_built_on_what_it_left(config: Config) -> None:
    build(config).store.close()
    assert build(config).events.newest == 0
