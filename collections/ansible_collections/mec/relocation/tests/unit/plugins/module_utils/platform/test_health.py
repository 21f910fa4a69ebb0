# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an instance says about itself, and for how long it is asked."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from ansible_collections.mec.relocation.plugins.module_utils.ground.app import App
from ansible_collections.mec.relocation.plugins.module_utils.ground.errors import RelocationError
from ansible_collections.mec.relocation.plugins.module_utils.platform.health import Health
from ansible_collections.mec.relocation.plugins.module_utils.platform.instance import Instance


class Answers(BaseHTTPRequestHandler):
    """Answers each path with the statuses that it is given, the last of them for good."""

    statuses: dict[str, list[int]]

    def do_GET(self) -> None:
        statuses = self.statuses[f"{self.command} {self.path}"]
        self.send_response(statuses.pop(0) if len(statuses) > 1 else statuses[0])
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_POST = do_GET  # noqa: N815

    def log_message(self, *_arguments: object) -> None:
        """Print nothing."""


@pytest.fixture
def statuses() -> dict[str, list[int]]:
    return {}


@pytest.fixture
def health(statuses: dict[str, list[int]]) -> Iterator[Health]:
    handler = type("Handler", (Answers,), {"statuses": statuses})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        declared = {"name": "notes", "image": "notes:1", "port": server.server_port}
        app = App.from_dict({**declared, "health": "/healthz"})
        instance = Instance("n", "n", "127.0.0.1", "sha256:1", "sha256:1", running=True)
        yield Health(app, instance, "notes-1 on worker1")
        server.shutdown()
        thread.join()


def soon() -> float:
    return time.monotonic() + 5.0


@pytest.mark.parametrize(("status", "serves"), [(200, True), (204, True), (202, False)])
def test_an_activation_tells_whether_the_instance_serves(
    health: Health, statuses: dict[str, list[int]], status: int, serves: bool
) -> None:
    statuses["POST /-/activate"] = [502, 503, status]
    assert health.activate("/-/activate", soon()) is serves


def test_an_activation_that_is_refused_is_not_tried_again(
    health: Health, statuses: dict[str, list[int]]
) -> None:
    statuses["POST /-/activate"] = [500, 200]
    with pytest.raises(RelocationError, match=r"notes-1 on worker1: POST /-/activate .* 500"):
        health.activate("/-/activate", soon())


def test_health_is_asked_until_it_is_good(health: Health, statuses: dict[str, list[int]]) -> None:
    statuses["GET /healthz"] = [503, 503, 200]
    assert not health.serves()
    health.wait_until_serves(soon())
    assert health.serves()


def test_patience_ends(health: Health, statuses: dict[str, list[int]]) -> None:
    statuses["GET /healthz"] = [503]
    with pytest.raises(RelocationError, match="answered with 503"):
        health.wait_until_serves(time.monotonic() + 0.05)


def test_ready_is_who_answers_at_all(health: Health, statuses: dict[str, list[int]]) -> None:
    statuses["GET /healthz"] = [503]
    health.wait_until_ready(time.monotonic() + 0.05)
