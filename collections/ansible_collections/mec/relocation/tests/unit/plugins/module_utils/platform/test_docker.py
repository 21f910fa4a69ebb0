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
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from ansible_collections.mec.relocation.plugins.module_utils.platform.docker import DockerPlatform
from ansible_collections.mec.relocation.tests.unit.plugins.module_utils.hosts import host_config


class Api(BaseHTTPRequestHandler):
    """The engine's API, as far as it is asked; one container."""

    server: Engine

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        match url.path.split("/")[2:]:
            case ["containers", "json"]:
                self._answer(200, json.dumps([{"Id": "1f"}] if self.server.state else []).encode())
            case ["containers", "1f", "json"]:
                told = {"Id": "1f", "State": self.server.state, "Config": {"Tty": False}}
                self._answer(200, json.dumps(told).encode())
            case ["containers", "1f", "logs"] if self.server.log is not None:
                lines = self.server.log[-int(parse_qs(url.query)["tail"][0]) :]
                # Each piece is told with the stream that it came from.
                framed = [struct.pack(">BxxxL", 2, len(line)) + line for line in lines]
                self._answer(200, b"".join(framed))
            case [] | ["version"]:
                self._answer(200, b'{"ApiVersion": "1.41"}')
            case _:
                self._answer(500, b'{"message": "no"}')

    def _answer(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_arguments: object) -> None:
        """Print nothing."""


class Engine(ThreadingHTTPServer):
    """An engine; `log` is None where it cannot be read."""

    state: dict[str, Any] | None = None
    log: list[bytes] | None = None


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
