"""What is told to a service, by HTTP on the loopback interface."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from mec_ue import reporter as module
from mec_ue.reporter import Reporter


class Service(ThreadingHTTPServer):
    """Answers with the statuses it is given, the last of them for good, and keeps what it got."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.statuses = [200]
        self.got: list[tuple[str, str | None, Any]] = []
        self.connections = 0

    @property
    def url(self) -> str:
        """Where it is reached."""
        return f"http://127.0.0.1:{self.server_port}/base/"


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: Service

    def setup(self) -> None:
        """Count the connection."""
        super().setup()
        self.server.connections += 1

    def do_POST(self) -> None:
        """Keep what comes, and answer."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.got.append((self.path, self.headers["Authorization"], body))
        statuses = self.server.statuses
        self.send_response(statuses.pop(0) if len(statuses) > 1 else statuses[0])
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def service() -> Iterator[Service]:
    with Service() as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def tells(service: Service) -> Iterator[Reporter]:
    reporter = Reporter(service.url, "secret")
    yield reporter
    reporter.close(0)


def until(condition: Callable[[], bool]) -> None:
    """Wait until something is so."""
    deadline_s = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def test_it_posts_in_order_over_one_connection(service: Service, tells: Reporter) -> None:
    for number in range(20):
        tells.post("/api/locations", {"number": number}, 10)
    until(lambda: tells.sent == 20)
    assert service.got == [
        ("/base/api/locations", "Bearer secret", {"number": number}) for number in range(20)
    ]
    assert service.connections == 1


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_failure_is_tried_again(service: Service, tells: Reporter, status: int) -> None:
    service.statuses = [status, status, 204]
    tells.post("/", {"number": 1}, 10)
    tells.post("/", {"number": 2}, 10)
    until(lambda: tells.sent == 2)
    assert [body["number"] for _, _, body in service.got] == [1, 1, 1, 2]
    assert (tells.refused, tells.dropped) == (0, 0)


@pytest.mark.parametrize("status", [302, 400, 401, 404])
def test_a_refusal_is_not(service: Service, tells: Reporter, status: int) -> None:
    service.statuses = [status, 200]
    tells.post("/", {"number": 1}, 10)
    tells.post("/", {"number": 2}, 10)
    until(lambda: tells.sent == 1)
    assert tells.refused == 1
    assert len(service.got) == 2


def test_what_is_too_old_is_dropped(service: Service, tells: Reporter) -> None:
    service.statuses = [503]
    tells.post("/", {}, 0.3)
    until(lambda: tells.dropped == 1)
    service.statuses = [200]
    tells.post("/", {}, 10)
    until(lambda: tells.sent == 1)


def test_the_queue_is_bounded_and_the_oldest_goes(
    service: Service, tells: Reporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_QUEUE_MAX", 3)
    service.statuses = [503]
    for number in range(100):
        tells.post("/", {"number": number}, 10)
    until(lambda: len(service.got) > 0)
    service.statuses = [200]
    until(lambda: tells.sent + tells.dropped == 100)
    # One may have left the queue before it was full.
    assert tells.sent in (3, 4)
    assert [body["number"] for _, _, body in service.got][-3:] == [97, 98, 99]


def test_a_service_that_comes_later_is_told() -> None:
    with Service() as server:
        url = server.url
    reporter = Reporter(url)
    reporter.post("/", {"number": 1}, 10)
    time.sleep(0.2)
    assert reporter.sent == 0
    reporter.close(0.1)
    assert reporter.dropped == 1


def test_closing_posts_what_is_there(service: Service) -> None:
    reporter = Reporter(service.url)
    for number in range(5):
        reporter.post("/", {"number": number}, 10)
    reporter.close(5)
    assert reporter.sent == len(service.got) == 5


@pytest.mark.parametrize("url", ["", "rlapp", "ftp://rlapp", "https://", "http://rlapp:port"])
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"URL|[Pp]ort"):
        Reporter(url)
