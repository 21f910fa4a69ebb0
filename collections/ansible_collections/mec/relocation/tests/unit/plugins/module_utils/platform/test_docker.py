# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the engine says of an instance that has ended, by the SDK over its API.

All else is tested on the testbed, with an engine.
"""

from __future__ import annotations

import json
import struct
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from ansible_collections.mec.relocation.plugins.module_utils.ground.errors import RelocationError
from ansible_collections.mec.relocation.plugins.module_utils.platform import engine as module
from ansible_collections.mec.relocation.plugins.module_utils.platform.docker import DockerPlatform
from ansible_collections.mec.relocation.tests.unit.plugins.module_utils.hosts import host_config

PORT = {"HostIp": "10.77.0.12", "HostPort": "26413"}


class Api(BaseHTTPRequestHandler):
    """The engine's API, as far as it is asked; one container."""

    server: Engine

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        match url.path.split("/")[2:]:
            case ["containers", "json"] if parse_qs(url.query).get("all") != ["1"]:
                ports = [{"PrivatePort": 80}, {"PrivatePort": 8080, **self.server.published}]
                self._answer(200, json.dumps([{"Id": "2e", "Ports": ports}]).encode())
            case ["containers", "json"]:
                self._answer(200, json.dumps([{"Id": "1f"}] if self.server.state else []).encode())
            case ["containers", "1f", "json"]:
                told = {
                    "Id": "1f",
                    "State": self.server.state,
                    "Config": {"Tty": False},
                    "HostConfig": {"PortBindings": {"8080/tcp": [PORT]}},
                }
                self._answer(200, json.dumps(told).encode())
            case ["containers", "1f", "logs"] if self.server.log is not None:
                lines = self.server.log[-int(parse_qs(url.query)["tail"][0]) :]
                # Each piece is told with the stream that it came from.
                framed = [struct.pack(">BxxxL", 2, len(line)) + line for line in lines]
                self._answer(200, b"".join(framed))
            case ["info"]:
                told = {"LiveRestoreEnabled": self.server.live_restore}
                self._answer(200, json.dumps(told).encode())
            case [] | ["version"]:
                self._answer(200, b'{"ApiVersion": "1.41"}')
            case _:
                self._answer(500, b'{"message": "no"}')

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.starts += 1
        if self.server.taken:
            self._answer(500, json.dumps({"message": self.server.taken}).encode())
        else:
            self._answer(204, b"")

    def _answer(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_arguments: object) -> None:
        """Print nothing."""


class Engine(ThreadingHTTPServer):
    """An engine; `log` is None where it cannot be read, `taken` why it starts nothing."""

    state: dict[str, Any] | None = None
    log: list[bytes] | None = None
    taken = ""
    live_restore = True
    published: Mapping[str, int] = {}
    starts = 0


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    with Engine(("127.0.0.1", 0), Api) as server:
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def state(status: str, exit_code: int = 0) -> dict[str, Any]:
    return {"Status": status, "Running": status == "running", "ExitCode": exit_code}


LINES = [f"line {number}\n".encode() for number in range(8)]


@pytest.mark.parametrize(
    ("found", "log", "said"),
    [
        (None, LINES, None),
        (state("created"), LINES, None),
        (state("running"), LINES, None),
        (
            state("exited", 3),
            LINES,
            "exit code 3; its log ends with: line 3 | line 4 | line 5 | line 6 | line 7",
        ),
        (state("exited", 137), [], "exit code 137, and its log is empty"),
        # That it has ended is known all the same.
        (state("exited", 3), None, "exit code 3, and its log is empty"),
    ],
)
def test_it_is_said_how_a_container_has_ended(
    tmp_path: Path,
    engine: Engine,
    found: dict[str, Any] | None,
    log: list[bytes] | None,
    said: str | None,
) -> None:
    engine.state, engine.log = found, log
    platform = DockerPlatform(host_config(tmp_path, "worker1"))
    assert platform.post_mortem("videoapp") == said


@pytest.mark.parametrize("status", ["dead", "removing"])
def test_what_the_engine_does_not_start_any_more_is_no_instance(
    tmp_path: Path, engine: Engine, status: str
) -> None:
    engine.state = state(status, 137)
    platform = DockerPlatform(host_config(tmp_path, "worker1"))
    assert platform.find("videoapp") is None
    platform.remove("videoapp")


TAKEN = (
    "driver failed programming external connectivity on endpoint videoapp-1: Bind for "
    "10.77.0.12:26413 failed: port is already allocated"
)


@pytest.fixture
def starting(tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> DockerPlatform:
    """A container that is to be started, and a port that its engine says is taken."""
    engine.state, engine.taken = state("created"), TAKEN
    monkeypatch.setattr(module, "_restart", lambda: setattr(engine, "taken", ""))
    return DockerPlatform(host_config(tmp_path, "worker1"))


def test_an_engine_that_keeps_a_port_for_nobody_is_restarted(
    starting: DockerPlatform, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    starting.start("videoapp")
    assert engine.starts == 2
    # What does not help is not done again at once.
    engine.taken = TAKEN
    with pytest.raises(RelocationError, match="port is already allocated"):
        starting.start("videoapp")
    monkeypatch.setattr(module, "_RESTART_AGAIN_S", 0.0)
    starting.start("videoapp")


@pytest.mark.parametrize(
    ("told", "says"),
    [
        # A container has the port.
        ({"published": {"PublicPort": 26413}}, "port is already allocated"),
        # A restart would end the other containers.
        ({"live_restore": False}, "port is already allocated"),
        # It is about something else.
        ({"taken": "no space left on device"}, "no space left"),
    ],
)
def test_otherwise_it_is_not(
    starting: DockerPlatform, engine: Engine, told: dict[str, Any], says: str
) -> None:
    vars(engine).update(told)
    with pytest.raises(RelocationError, match=says):
        starting.start("videoapp")
    assert engine.starts == 1
