# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Several ME hosts in one process: their notes, locks and steps are real, their engines played."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import os
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Generic

import pytest
from ansible_collections.mec.relocation.plugins.module_utils.ground.app import App
from ansible_collections.mec.relocation.plugins.module_utils.ground.config import HostConfig
from ansible_collections.mec.relocation.plugins.module_utils.ground.errors import RelocationError
from ansible_collections.mec.relocation.plugins.module_utils.host import me_host as me_host_module
from ansible_collections.mec.relocation.plugins.module_utils.host.agent import Agent
from ansible_collections.mec.relocation.plugins.module_utils.host.me_host import MeHost
from ansible_collections.mec.relocation.plugins.module_utils.host.owner import Note
from ansible_collections.mec.relocation.plugins.module_utils.host.state import AppState
from ansible_collections.mec.relocation.plugins.module_utils.platform.instance import Instance
from ansible_collections.mec.relocation.plugins.module_utils.wire import channel, steps
from ansible_collections.mec.relocation.plugins.module_utils.wire.channel import ChannelLost
from ansible_collections.mec.relocation.plugins.module_utils.wire.steps import Answer, Step
from ansible_collections.mec.relocation.tests.unit.plugins.module_utils.hosts import host_config

APP = App.from_dict({"name": "notes", "image": "notes:1", "port": 80, "volume": "/data"})
IMAGE = "sha256:1"


class Engine:
    """The engine of a host; `failing`: what it does not do, and why."""

    def __init__(self) -> None:
        self.instances: dict[str, Instance] = {}
        self.frozen: set[str] = set()
        self.ill: set[str] = set()
        self.restarts: dict[str, bool] = {}
        self.did: list[str] = []
        self.failing: dict[str, Exception] = {}
        self._numbers = itertools.count(1)

    def serves(self, app: str) -> bool:
        found = self.instances.get(app)
        return found is not None and found.running and app not in self.frozen | self.ill

    def find(self, app: str) -> Instance | None:
        return self.instances.get(app)

    def image_id(self, image: str) -> str:
        return image

    def create(self, app: App, image_id: str, base_image_id: str, *, first: bool) -> Instance:
        self._do("create", first)
        name = f"{app.name}-{next(self._numbers)}"
        made = Instance(name, name, "127.0.0.1", image_id, base_image_id, False)
        self.instances[app.name] = made
        return made

    def start(self, app: str) -> None:
        self._do("start", app)
        self._run(app, running=True)

    def make_ready(self, app: str) -> None:
        self._do("make_ready", app)

    def pids(self, app: str) -> list[int]:
        found = self.instances.get(app)
        return [os.getpid()] if found is not None and found.running else []

    def freeze(self, app: str) -> None:
        self._do("freeze", app)
        self.frozen.add(app)

    def thaw(self, app: str) -> None:
        self._do("thaw", app)
        self.frozen.discard(app)

    def kill(self, app: str) -> None:
        self._do("kill", app)
        self.frozen.discard(app)
        if app in self.instances:
            self._run(app, running=False)

    def set_restarts(self, app: str, restarts: bool) -> None:
        self._do("set_restarts", restarts)
        self.restarts[app] = restarts

    def remove(self, app: str) -> None:
        self._do("remove", app)
        self.instances.pop(app, None)

    def post_mortem(self, app: str) -> str | None:
        found = self.instances.get(app)
        return None if found is None or found.running else "exit code 137, and its log is empty"

    def storage(self) -> list[Path]:
        return []

    def _run(self, app: str, *, running: bool) -> None:
        self.instances[app] = dataclasses.replace(self.instances[app], running=running)

    def _do(self, what: str, how: object) -> None:
        self.did.append(f"{what} {how}")
        if what in self.failing:
            raise self.failing[what]


class Gateway:
    """The gateway of a host: where it sends requests."""

    def __init__(self) -> None:
        self.where: dict[str, str] = {}

    def locations(self) -> dict[str, str]:
        return self.where

    def check(self, app: str, host: str) -> None:
        """Nothing: it can send requests everywhere."""

    def forward(self, app: str, host: str, _owner: str = "") -> None:
        self.where[app] = host

    def remove(self, app: str) -> None:
        self.where.pop(app, None)

    def release(self, app: str, owner: str = "") -> None:
        """Nothing: it holds none."""

    def persist(self) -> None:
        """Nothing: it lives as long as the test."""


class Health:
    """The health of an instance, as its engine has it."""

    def __init__(self, world: World, app: App, address: str) -> None:
        self._engine = world.hosts[address].engine
        self._app = app.name

    def serves(self) -> bool:
        return self._engine.serves(self._app)

    def wait_until_ready(self, _deadline: float) -> None:
        """Nothing: a played instance is ready when it runs."""

    def wait_until_serves(self, _deadline: float) -> None:
        if not self.serves():
            raise RelocationError(f"{self._app} does not serve.")


class PlayedHost:
    """One host of a world."""

    def __init__(self, config: HostConfig) -> None:
        self.config = config
        self.engine = Engine()
        self.gateway = Gateway()
        self.up = True
        config.pv_root.mkdir(parents=True)

    @property
    def kept(self) -> AppState:
        return AppState(self.config.state_dir, APP.name)

    @property
    def volume(self) -> Path:
        return self.config.pv_root / APP.name

    def me_host(self) -> MeHost:
        """What one process of it has."""
        made = MeHost(self.config, self.engine)  # type: ignore[arg-type]
        made.gateway = self.gateway  # type: ignore[assignment]
        made.pull = lambda image: {"image_id": IMAGE, "bytes": 0}  # noqa: ARG005
        return made

    def has(self, note: Note, *, content: str = "", runs: bool = False) -> None:
        """Let it have a note, and what goes with it."""
        self.kept.declare(APP)
        self.kept.write(note)
        self.kept.mark_current()
        if content:
            self.volume.mkdir(exist_ok=True)
            (self.volume / "file").write_text(content)
        if runs:
            self.engine.create(APP, IMAGE, IMAGE, first=False)
            self.engine.start(APP.name)
        self.engine.did.clear()

    def boots(self) -> None:
        """Begin again: no process of before is left."""
        (self.kept.folder / "current").unlink(missing_ok=True)
        for app in self.engine.instances:
            self.engine._run(app, running=False)
        self.engine.frozen.clear()


class World:
    """Some hosts, and the lines between them."""

    def __init__(self, place: Path, *names: str) -> None:
        self.hosts = {}
        for name in names:
            config = host_config(place, name, *(other for other in names if other != name))
            self.hosts[name] = PlayedHost(dataclasses.replace(config, address=name))
        self.lines: list[Line] = []

    def __getitem__(self, name: str) -> PlayedHost:
        return self.hosts[name]

    @property
    def serving(self) -> list[str]:
        """The hosts on which the app serves."""
        return [name for name, host in self.hosts.items() if host.engine.serves(APP.name)]

    def channel(self, config: HostConfig, peer: str, *, shared: bool = True) -> Line:
        assert config.name != peer and isinstance(shared, bool)
        line = Line(self.hosts[peer])
        self.lines.append(line)
        return line

    def close(self) -> None:
        """End the agents of all lines."""
        for line in self.lines:
            line.close()

    def plays(self, module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
        """Have a module find its host and its lines here."""
        hosts = self.hosts
        for name, played in (
            ("MeHost", lambda config: hosts[config.name].me_host()),
            ("Channel", self.channel),
        ):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, played)


class Line:
    """A channel to an agent of its own, without SSH; what crosses is what JSON can hold."""

    def __init__(self, host: PlayedHost) -> None:
        self.name = host.config.name
        self._host = host
        self._me_host = host.me_host()
        self._agent = Agent(self._me_host)

    def greet(self) -> None:
        if not self._host.up:
            raise ChannelLost(f"{self.name} does not answer.")

    def begin(self, step: Step[Answer]) -> Reply[Answer]:
        self.greet()
        message = json.loads(channel._message(1, step))
        return Reply(self.name, step, json.loads(json.dumps(self._agent.answer(message))))

    def close(self) -> None:
        locks = self._me_host.ownership._locks
        while locks:
            os.close(locks.popitem()[1][0])

    def __enter__(self) -> Line:
        self.greet()
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


class Reply(Generic[Answer]):
    """What an agent answered."""

    def __init__(self, name: str, step: Step[Answer], answer: dict[str, Any]) -> None:
        self._name = name
        self._step = step
        self._answer = answer

    def result(self, _timeout_s: float = 0.0) -> Answer:
        if "error" in self._answer:
            raise RelocationError(f"{self._name}: {self._answer['error']}")
        return steps.answers(self._step, self._answer["result"])


@contextlib.contextmanager
def world(place: Path, monkeypatch: pytest.MonkeyPatch, *names: str) -> Iterator[World]:
    """Hosts of these names. That a host is current is kept per host: here all share one /run."""
    made = World(place, *names)
    monkeypatch.setattr(
        me_host_module, "Health", lambda app, address, *_more: Health(made, app, address)
    )
    monkeypatch.setattr(
        AppState, "current", property(lambda kept: (kept.folder / "current").exists())
    )
    monkeypatch.setattr(AppState, "mark_current", lambda kept: (kept.folder / "current").touch())
    monkeypatch.setattr(
        AppState, "doubt", lambda kept: (kept.folder / "current").unlink(missing_ok=True)
    )
    yield made
    made.close()
