# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who may activate a standby instance, and what becomes of one that serves too early."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.mec.relocation.plugins.module_utils.ground.app import App
from ansible_collections.mec.relocation.plugins.module_utils.ground.errors import RelocationError
from ansible_collections.mec.relocation.plugins.module_utils.host.info import survey
from ansible_collections.mec.relocation.plugins.module_utils.host.me_host import MeHost
from ansible_collections.mec.relocation.plugins.module_utils.host.state import AppState
from ansible_collections.mec.relocation.plugins.module_utils.platform.instance import (
    Instance,
    new_activation_token,
)
from ansible_collections.mec.relocation.plugins.module_utils.wire.steps import Activated
from ansible_collections.mec.relocation.tests.unit.plugins.module_utils.hosts import host_config

IMAGE = "sha256:1"


class Standby(BaseHTTPRequestHandler):
    """An app that holds to the contract: 503 before it is activated, and that with its token."""

    server: StandbyServer

    def do_GET(self) -> None:
        self._answer(200 if self.server.active or self.path == "/ready" else 503)

    def do_POST(self) -> None:
        said = self.headers["Authorization"]
        if self.server.asks and said != f"Bearer {self.server.token}":
            self._answer(403)
            return
        self.server.active = True
        self._answer(200)

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        """Print nothing."""


class StandbyServer(ThreadingHTTPServer):
    """The instance of such an app."""

    def __init__(self, port: int, token: str, *, asks: bool, active: bool) -> None:
        super().__init__(("127.0.0.1", port), Standby)
        self.token = token
        self.asks = asks
        self.active = active
        self.thread = threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()

    def end(self) -> None:
        self.shutdown()
        self.thread.join()
        self.server_close()


class Instances:
    """A platform whose instances are servers of this process; `asks`: whether for their token."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.asks = True
        self.serves_at_once = False
        self.created = 0
        self.running: StandbyServer | None = None
        self._instance: Instance | None = None

    def find(self, _app: str) -> Instance | None:
        if self._instance is None:
            return None
        return replace(self._instance, running=self.running is not None)

    def image_id(self, image: str) -> str | None:
        return image

    def create(self, app: App, image_id: str, base_image_id: str, **_first: bool) -> Instance:
        self.created += 1
        (token,) = new_activation_token().values()
        # Its own address leads elsewhere: another container may have it by now.
        self._instance = Instance(
            f"{app.name}-{self.created}", "1", "192.0.2.1", image_id, base_image_id, False, token
        )
        return self._instance

    def start(self, _app: str) -> None:
        assert self._instance is not None
        self.running = StandbyServer(
            self.port,
            self._instance.activation_token,
            asks=self.asks,
            active=self.serves_at_once,
        )

    def post_mortem(self, _app: str) -> str | None:
        """Nothing: it has not ended."""
        return None

    def remove(self, _app: str) -> None:
        if self.running is not None:
            self.running.end()
        self.running = self._instance = None


@pytest.fixture
def instances() -> Iterator[Instances]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    made = Instances(port)
    yield made
    made.remove("videoapp")


@pytest.fixture
def declaration(instances: Instances) -> dict[str, Any]:
    return {
        "name": "videoapp",
        "image": "videoapp:1",
        "port": 8080,
        "host_port": instances.port,
        "health": "/healthz",
        "start": "standby",
        "ready": "/ready",
        "activate": {"http": "/-/activate"},
    }


@pytest.fixture
def target(tmp_path: Path, instances: Instances) -> MeHost:
    config = replace(host_config(tmp_path, "worker2"), address="127.0.0.1")
    made = MeHost(config, instances)  # type: ignore[arg-type]
    made.ownership.lock("videoapp", "handoff")
    return made


def activated(target: MeHost) -> Activated:
    """What a source is answered that offers the app, and asks the target to serve it."""
    attempt = target.ownership.part("videoapp")["newest"] + 1
    assert target.ownership.offer("videoapp", attempt, "handoff", "worker1")["answer"] == "accepted"
    return target.ownership.activate("videoapp", attempt, 5.0)


def activate(port: int, **headers: str) -> int:
    """What somebody who reaches the port is answered."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port)) as connection:
        connection.request("POST", "/-/activate", headers=headers)
        return connection.getresponse().status


def test_only_its_me_host_activates_an_instance(
    target: MeHost, instances: Instances, declaration: dict[str, Any]
) -> None:
    target.prepare(declaration, IMAGE, "handoff")
    for headers in ({}, {"Authorization": "Bearer guessed"}):
        assert activate(instances.port, **headers) == 403
    assert target.is_prepared(declaration, IMAGE)
    assert activated(target)["answer"] == "took"
    assert target.serves(App.from_dict(declaration), target.platform.find("videoapp"))  # type: ignore[arg-type]


def test_another_process_of_the_me_host_activates_it_too(
    target: MeHost, instances: Instances, declaration: dict[str, Any]
) -> None:
    target.prepare(declaration, IMAGE, "handoff")
    target.ownership.unlock("videoapp", keep_lease=True)
    another = MeHost(target.config, target.platform)
    another.ownership.lock("videoapp", "handoff")
    assert activated(another)["name"] == "videoapp-1"
    assert instances.running is not None
    assert instances.running.active


def test_each_instance_has_a_token_of_its_own(
    instances: Instances, declaration: dict[str, Any]
) -> None:
    app = App.from_dict(declaration)
    tokens = {
        instances.create(app, IMAGE, IMAGE, first=False).activation_token for _number in range(3)
    }
    assert len(tokens) == 3
    assert all(len(token) >= 43 for token in tokens)


def test_an_instance_that_serves_already_is_not_taken_but_made_anew(
    target: MeHost, instances: Instances, declaration: dict[str, Any]
) -> None:
    instances.asks = False
    first = target.prepare(declaration, IMAGE, "handoff")
    assert target.prepare(declaration, IMAGE, "handoff") == {**first, "changed": False}
    assert activate(instances.port) == 200  # a stranger; the source serves on
    assert not target.is_prepared(declaration, IMAGE)
    again = target.prepare(declaration, IMAGE, "handoff")
    assert (again["changed"], again["name"]) == (True, "videoapp-2")
    assert instances.running is not None
    assert not instances.running.active


def test_an_app_that_serves_unasked_is_refused(
    target: MeHost, instances: Instances, declaration: dict[str, Any]
) -> None:
    instances.serves_at_once = True
    with pytest.raises(RelocationError, match="serves, though it was not activated"):
        target.prepare(declaration, IMAGE, "handoff")


def test_an_app_that_is_never_activated_may_serve_at_once(
    target: MeHost, instances: Instances, declaration: dict[str, Any]
) -> None:
    instances.serves_at_once = True
    del declaration["activate"]
    assert target.prepare(declaration, IMAGE, "handoff")["changed"]
    assert target.is_prepared(declaration, IMAGE)


def test_the_token_is_told_to_nobody(
    target: MeHost, instances: Instances, declaration: dict[str, Any]
) -> None:
    described = target.prepare(declaration, IMAGE, "handoff")
    found = instances.find("videoapp")
    assert found is not None
    kept = [path.read_text() for path in target.config.state_dir.rglob("*.json")]
    for told in (json.dumps(described), repr(found), *kept):
        assert found.activation_token not in told


def test_apps_that_do_not_answer_are_waited_for_together(
    target: MeHost,
    instances: Instances,
    declaration: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    target.config.pv_root.mkdir(parents=True)
    instances.create(App.from_dict(declaration), IMAGE, IMAGE, first=True)
    monkeypatch.setattr(
        "ansible_collections.mec.relocation.plugins.module_utils.host.info.MeHost",
        lambda config: MeHost(config, instances),  # type: ignore[arg-type]
    )
    monkeypatch.setattr(
        "ansible_collections.mec.relocation.plugins.module_utils.host.gateway.Gateway.locations",
        lambda _gateway: {},
    )
    with socket.create_server(("127.0.0.1", instances.port)):
        instances.running = object()  # type: ignore[assignment]  # it runs, and says nothing
        for number in range(4):
            name = f"app{number}"
            AppState(target.config.state_dir, name).declare(
                App.from_dict({**declaration, "name": name})
            )
        began = time.monotonic()
        found = survey(target.config)
        took_s = time.monotonic() - began
        instances.running = None
    assert [app["instance"]["healthy"] for app in found["apps"].values()] == [False] * 4
    assert took_s < 3.0
