# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the record of a relocation says of its verification, by the steps of two hosts."""

from __future__ import annotations

import io
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, Generic

import pytest
from ansible_collections.mec.relocation.plugins.module_utils.ground.app import App
from ansible_collections.mec.relocation.plugins.module_utils.ground.errors import RelocationError
from ansible_collections.mec.relocation.plugins.module_utils.host.agent import Agent
from ansible_collections.mec.relocation.plugins.module_utils.host.lock import Lock
from ansible_collections.mec.relocation.plugins.module_utils.host.me_host import MeHost
from ansible_collections.mec.relocation.plugins.module_utils.host.owner import State
from ansible_collections.mec.relocation.plugins.module_utils.host.state import AppState
from ansible_collections.mec.relocation.plugins.module_utils.platform.health import Health
from ansible_collections.mec.relocation.plugins.module_utils.platform.instance import Instance
from ansible_collections.mec.relocation.plugins.module_utils.relocation import (
    relocate as relocation,
)
from ansible_collections.mec.relocation.plugins.module_utils.wire import steps
from ansible_collections.mec.relocation.plugins.module_utils.wire.channel import _message
from ansible_collections.mec.relocation.plugins.module_utils.wire.steps import (
    Answer,
    Step,
    answers,
)
from ansible_collections.mec.relocation.tests.unit.plugins.module_utils.hosts import host_config

APP = App.from_dict({"name": "notes", "image": "notes:1", "port": 80, "volume": "/data"})
INSTANCE = Instance("notes-1", "notes-1", "172.17.0.2", "sha256:1", "sha256:1", running=True)


class Here(MeHost):
    """An ME host on this machine, whose platform is a note of whether there is an instance."""

    def __init__(self, place: Path, name: str, instance: Instance | None) -> None:
        config = host_config(place, name)
        super().__init__(config, self)  # type: ignore[arg-type]
        self.instance = instance
        self.volume = config.pv_root / "notes"
        self.volume.mkdir(parents=True)
        (self.volume / "file").write_text("content")
        os.utime(self.volume / "file", (1, 1))
        os.utime(self.volume, (1, 1))
        AppState(config.state_dir, "notes").declare(APP)

    def find(self, _app: str) -> Instance | None:
        return self.instance

    def set_restarts(self, _app: str, _restarts: bool) -> None:
        """Nothing: nobody restarts it."""

    def post_mortem(self, _app: str) -> str | None:
        """Nothing: it has not ended."""
        return None

    def kill(self, _app: str) -> None:
        """Nothing: it is played."""


class There:
    """A channel to an agent of this process."""

    name = "worker2"

    def __init__(self, agent: Agent) -> None:
        self.agent = agent

    def begin(self, step: Step[Answer]) -> Answered[Answer]:
        return self.stream(step, lambda _out: None)

    def stream(self, step: Step[Answer], write: Callable[[IO[bytes]], None]) -> Answered[Answer]:
        requests = io.BytesIO()
        requests.write(_message(1, step))
        write(requests)
        requests.write(b'{"id": 2, "step": "hello", "arguments": {}}\n')
        requests.seek(0)
        out = io.BytesIO()
        self.agent.serve(requests, out)
        answered, hello = map(json.loads, out.getvalue().splitlines())
        # The channel can be used for what comes next.
        assert hello["result"]["name"] == self.name
        return Answered(step, answered)


class Answered(Generic[Answer]):
    """The reply of the agent."""

    def __init__(self, step: Step[Answer], answered: dict[str, Any]) -> None:
        self.step = step
        self.answered = answered

    def result(self, _timeout_s: float = 0.0) -> Answer:
        if "error" in self.answered:
            raise RelocationError(self.answered["error"])
        return answers(self.step, self.answered["result"])


RECORD = {"app": "notes", "id": "h1", "outcome": "completed", "error": None}


class Hosts:
    """Source and target of a relocation that is completed."""

    def __init__(self, place: Path) -> None:
        self.source = Here(place, "worker1", None)
        self.target = Here(place, "worker2", INSTANCE)
        self.channel = There(Agent(self.target))
        # What is written from now on has another time.
        time.sleep(0.01)

    def verified(self, record: dict[str, Any]) -> dict[str, Any]:
        return relocation._verified(self.source, self.channel, record)


@pytest.fixture
def hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hosts:
    monkeypatch.setattr(Health, "_ask", lambda *_arguments: 200)
    return Hosts(tmp_path)


def activate(hosts: Hosts) -> None:
    told = hosts.channel.begin(steps.Lock("notes", "h1")).result()
    offer = steps.Offer("notes", told["newest"] + 1, "h1", "worker1")
    assert hosts.channel.begin(offer).result()["answer"] == "accepted"
    ask = steps.Activate("notes", told["newest"] + 1, 1.0)
    assert hosts.channel.begin(ask).result()["answer"] == "took"


def test_a_volume_that_has_arrived_is_verified(hosts: Hosts) -> None:
    activate(hosts)
    (hosts.target.volume / "new").write_text("by the app")
    told = hosts.verified(RECORD)
    assert told["error"] is None
    assert told["verification"]["verified"] is True
    assert (told["verification"]["files"], told["verification"]["changed_since"]) == (2, 2)


def test_a_difference_is_an_error_beside_others(hosts: Hosts) -> None:
    (hosts.target.volume / "file").write_text("another")
    time.sleep(0.01)
    activate(hosts)
    told = hosts.verified({**RECORD, "error": "Relocated, but not tidied up."})
    assert told["outcome"] == "completed"
    assert told["verification"]["verified"] is False
    assert told["error"].startswith(
        "Relocated, but not tidied up. Relocated, but the volume on worker2 differs from the "
        "source's: file: another time, content (1 in all). The source's is still there: /"
    )


def test_what_cannot_be_compared_is_an_error(hosts: Hosts) -> None:
    told = hosts.verified(RECORD)
    assert told["verification"]["verified"] is False
    assert told["error"] == (
        "Relocated, but the volume was not verified: App 'notes' was not activated on this channel."
    )
    activate(hosts)
    hosts.source.instance = INSTANCE
    assert "on worker1 has not ended" in hosts.verified(RECORD)["error"]


def test_a_volume_is_compared_while_its_host_looks_after_the_app(hosts: Hosts) -> None:
    activate(hosts)
    hosts.channel.begin(steps.Unlock("notes", keep_lease=False)).result()
    with Lock(AppState(hosts.target.config.state_dir, "notes").folder, "notes").held("h2", "agent"):
        assert hosts.verified(RECORD)["verification"]["verified"] is True


def test_a_volume_of_an_app_that_has_left_is_not_compared(hosts: Hosts) -> None:
    activate(hosts)
    kept = AppState(hosts.target.config.state_dir, "notes")
    kept.write(kept.note()._replace(state=State.RETIRED))
    assert "'notes' has left worker2 meanwhile" in hosts.verified(RECORD)["error"]
