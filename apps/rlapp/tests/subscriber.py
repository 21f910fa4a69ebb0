"""Somebody who subscribes: a web server on the loopback interface that keeps what it is sent."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from running import PATIENCE_S


class Subscriber:
    """`answers`: the statuses of the next answers; then 204."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/notify"
        self.bodies: list[Any] = []
        self.answers: list[int] = []
        self.hosts: list[str] = []

    def next(self, count: int = 1) -> list[Any]:
        """Wait for the next notifications, and take them."""
        deadline_s = time.monotonic() + PATIENCE_S
        while len(self.bodies) < count:
            assert time.monotonic() < deadline_s, f"only {self.bodies} came"
            time.sleep(0.01)
        taken, self.bodies[:] = list(self.bodies), []
        return taken


@contextmanager
def listening() -> Iterator[Subscriber]:
    """One that listens."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            subscriber.hosts.append(self.headers["host"])
            status = subscriber.answers.pop(0) if subscriber.answers else 204
            if status < 300:
                subscriber.bodies.append(json.loads(body))
            self.send_response(status)
            if status == 302:
                self.send_header("Location", subscriber.url)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    subscriber = Subscriber(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield subscriber
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
