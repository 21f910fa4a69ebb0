# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an instance says about itself, and for how long it is asked."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from ansible_collections.mec.relocation.plugins.module_utils.ground.app import App
from ansible_collections.mec.relocation.plugins.module_utils.ground.errors import RelocationError
from ansible_collections.mec.relocation.plugins.module_utils.platform.health import Health

TOKEN = "of-this-instance"  # noqa: S105
# How an app drips, which keeps each wait for its next byte short.
DRIP_S = 0.05


class Answers(BaseHTTPRequestHandler):
    """Answers each path with the statuses that it is given, the last of them for good."""

    statuses: dict[str, list[int]]
    said: dict[str, str | None]

    def do_GET(self) -> None:
        self.said[f"{self.command} {self.path}"] = self.headers["Authorization"]
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
def said() -> dict[str, str | None]:
    """What was said for the right to ask, by request."""
    return {}


def health_of(port: int, token: str = "") -> Health:
    """The health of an app whose port is published as this one."""
    declared = {"name": "notes", "image": "notes:1", "port": 8080, "host_port": port}
    app = App.from_dict({**declared, "health": "/healthz"})
    return Health(app, "127.0.0.1", "notes-1 on worker1", token)


@pytest.fixture
def health(statuses: dict[str, list[int]], said: dict[str, str | None]) -> Iterator[Health]:
    handler = type("Handler", (Answers,), {"statuses": statuses, "said": said})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield health_of(server.server_port, TOKEN)
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


def test_the_token_goes_with_the_activation_alone(
    health: Health, statuses: dict[str, list[int]], said: dict[str, str | None]
) -> None:
    statuses["POST /-/activate"] = statuses["GET /healthz"] = [200]
    health.serves()
    health.activate("/-/activate", soon())
    assert said == {"GET /healthz": None, "POST /-/activate": f"Bearer {TOKEN}"}


@contextlib.contextmanager
def answering(*pieces: bytes, drips: bytes = b"") -> Iterator[Health]:
    """The health of an app that answers with these pieces, then drips without an end."""
    over = threading.Event()

    def answer(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.recv(4096)
            for piece in pieces:
                connection.sendall(piece)
                time.sleep(DRIP_S)
            while drips and not over.wait(DRIP_S):
                connection.sendall(drips)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=answer, args=(server.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=accept, daemon=True).start()
        try:
            yield health_of(server.getsockname()[1])
        finally:
            over.set()
            server.shutdown(socket.SHUT_RDWR)


def test_an_app_that_drips_its_headers_has_answered() -> None:
    with answering(b"HTTP/1.1 200 OK\r\nX-A: ", drips=b"a") as health:
        began = time.monotonic()
        assert health.serves()
        assert time.monotonic() - began < 1.0


@pytest.mark.parametrize("begun", [b"HTTP/1.1 200 O", b"HTTP/1.1 100 Continue\r\nX-A: "])
def test_an_app_that_drips_what_comes_before_is_waited_for_until_the_deadline(
    begun: bytes,
) -> None:
    with answering(begun, drips=b"a") as health:
        began = time.monotonic()
        assert not health.serves()
        with pytest.raises(RelocationError, match="answered with nothing"):
            health.activate("/a", time.monotonic() + 0.3)
        assert time.monotonic() - began < 2.0 + 0.3 + 1.0


@pytest.mark.parametrize(
    "pieces",
    [
        [b"HTTP/1.1 200 OK\r\n\r\n"],
        [b"HTTP/1.0 200\r\n\r\n"],
        [b"HTT", b"P/1.1 200 OK\n\n"],
        [b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"],
        [b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r", b"\n\r", b"\nHTTP/1.1 200 OK\r\n"],
    ],
)
def test_what_only_says_that_an_answer_is_to_come_is_none(pieces: list[bytes]) -> None:
    with answering(*pieces) as health:
        assert health.serves()


@pytest.mark.parametrize(
    "pieces",
    [
        [],
        [b"HTTP/1.1 503 OK\r\n\r\n"],
        [b"HTTP/1.1 103 Early Hints\r\n\r\n"],
        [b"SSH-2.0-OpenSSH_9.2 200 OK\r\n"],
        [b"\r\nHTTP/1.1 200 OK\r\n\r\n"],
        [b"HTTP/1.1 200"],
        [b"x" * 100_000],
    ],
)
def test_what_says_nothing_of_a_200_does_not_serve(pieces: list[bytes]) -> None:
    with answering(*pieces) as health:
        assert not health.serves()


def ending(*said: str | RelocationError | None) -> tuple[Health, list[float]]:
    """The health of an instance where nobody listens; when its platform was asked for its end."""
    declared = {"name": "notes", "image": "notes:1", "port": 8080, "host_port": 1}
    answers, asked_at = list(said), list[float]()

    def ended() -> str | None:
        asked_at.append(time.monotonic())
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, RelocationError):
            raise answer
        return answer

    return Health(App.from_dict(declared), "127.0.0.1", "notes-1 on worker1", "", ended), asked_at


def test_one_that_has_ended_is_not_waited_for() -> None:
    health, asked_at = ending(None, "exit code 3, and its log is empty")
    with pytest.raises(RelocationError, match="notes-1 on worker1 has ended: exit code 3, and its"):
        health.wait_until_serves(time.monotonic() + 30.0)
    assert len(asked_at) == 2


def test_a_platform_that_does_not_answer_ends_no_patience() -> None:
    health, asked_at = ending(RelocationError("The API does not answer."))
    deadline = time.monotonic() + 0.7
    with pytest.raises(RelocationError, match="GET / was answered with nothing"):
        health.wait_until_serves(deadline)
    assert len(asked_at) > 1 and time.monotonic() >= deadline


def test_one_that_answers_has_not_ended(statuses: dict[str, list[int]], health: Health) -> None:
    statuses["GET /healthz"] = [503]
    health._ended = lambda: "exit code 3, and its log is empty"
    with pytest.raises(RelocationError, match="answered with 503"):
        health.wait_until_serves(time.monotonic() + 0.5)


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert not health_of(port).serves()
