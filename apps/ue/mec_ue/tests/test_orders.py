"""What RLapp orders, by HTTP on the loopback interface, and what is driven then."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Any

import pytest
from mec_ue import orders as module
from mec_ue.drive import Clock, drive_as_ordered, parse
from mec_ue.orders import Drives, Order, Orders

TRACES = Path(__file__).parents[2] / "traces"
LOOP = {"number": 1, "trace": "loop.geojson", "speed_mps": 10.0, "loop": False, "reverse": False}


class Service(ThreadingHTTPServer):
    """Gives its answers one after the other; then nobody gets one until it is closed."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: Queue[tuple[int, bytes]] = Queue()
        self.asked: list[tuple[str, str | None]] = []

    @property
    def url(self) -> str:
        """Where it is reached."""
        return f"http://127.0.0.1:{self.server_port}"

    def answer(self, status: int, content: Mapping[str, Any] | None = None) -> None:
        """One more answer."""
        self.answers.put((status, json.dumps(content).encode() if content else b""))


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: Service

    def do_GET(self) -> None:
        """Wait for the next answer."""
        self.server.asked.append((self.path, self.headers["Authorization"]))
        status, body = self.server.answers.get()
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

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
def orders(service: Service, monkeypatch: pytest.MonkeyPatch) -> Iterator[Orders]:
    monkeypatch.setattr(module, "_FIRST_PAUSE_S", 0.01)
    asks = Orders(service.url, "ue1", "secret")
    yield asks
    asks.close()
    service.answer(204)


class Told:
    """Keeps what is told, and stops the drive when it has heard enough."""

    def __init__(self, until: Callable[[str, int], bool]) -> None:
        self.drives: list[tuple[str, int, str | None]] = []
        self.traces: list[str] = []
        self.locations = 0
        self._until = until

    def post(self, path: str, content: Mapping[str, Any], useful_s: float) -> None:
        """Keep it."""
        assert useful_s > 0
        if path == "/api/locations":
            self.locations += 1
            return
        assert path == "/api/ues/ue1/drive"
        # Also an RLapp that comes a long time later is told.
        assert useful_s == math.inf
        told = (content["state"], content["number"])
        self.drives.append((*told, content["error"]))
        self.traces = content["traces"]
        if self._until(*told):
            raise KeyboardInterrupt


class Hurried(Clock):
    """A clock that does not wait."""

    def next(self, time_s: float) -> float:
        """The next step."""
        return time_s + 0.2


def drive_until(
    orders: Orders, tmp_path: Path, until: Callable[[str, int], bool], traces: Path = TRACES
) -> Told:
    """Drive what is ordered until something is told."""
    cells = {"cell1": {"lat": 37.4990, "lon": 127.0300}, "cell2": {"lat": 37.5006, "lon": 127.0354}}
    (tmp_path / "cells.json").write_text(json.dumps({"cells": cells}))
    where = ["--cells", str(tmp_path / "cells.json"), "--rlapp", "http://127.0.0.1"]
    how = ["--ordered", "--simulate", "1", "--ue", "ue", "--speed-mps", "10"]
    options = parse([str(traces), *where, *how])
    told = Told(until)
    with pytest.raises(KeyboardInterrupt):
        drive_as_ordered(
            options, orders, Drives(traces, "ue1", told), told, lambda: Hurried(0.2, 1)
        )
    return told


def test_an_order_comes_through_what_stands_in_its_way(service: Service, orders: Orders) -> None:
    service.answer(204)
    service.answer(503)
    service.answer(200, {"surprise": True})
    service.answer(200, LOOP)
    assert orders.other_than(0) == Order(1, "loop.geojson", 10.0)
    service.answer(200, {"number": 2})
    stands = orders.other_than(1)
    assert stands == Order(2) and orders.wants(stands) and not orders.wants(Order(1))
    paths = [path.partition("&")[0] for path, _ in service.asked[:5]]
    assert paths == ["/api/ues/ue1/order?after=0"] * 4 + ["/api/ues/ue1/order?after=1"]
    assert {token for _, token in service.asked} == {"Bearer secret"}


def test_what_is_ordered_is_driven_to_its_end(
    service: Service, orders: Orders, tmp_path: Path
) -> None:
    service.answer(200, LOOP)
    told = drive_until(orders, tmp_path, lambda state, _: state == "arrived")
    assert [drive for drive in told.drives if drive[1] == 1] == [
        ("driving", 1, None),
        ("arrived", 1, None),
    ]
    assert told.locations > 100
    assert told.traces == ["loop.geojson", "red-light.csv", "turn-back.gpx"]


def test_another_order_ends_a_drive(service: Service, orders: Orders, tmp_path: Path) -> None:
    service.answer(200, {**LOOP, "loop": True})

    def then_stop(state: str, number: int) -> bool:
        if state == "driving":
            service.answer(200, {"number": 2})
        return (state, number) == ("ready", 2)

    told = drive_until(orders, tmp_path, then_stop)
    assert told.drives[-2:] == [("driving", 1, None), ("ready", 2, None)]


def test_what_cannot_be_driven_is_told_and_the_next_order_waited_for(
    service: Service, orders: Orders, tmp_path: Path
) -> None:
    traces = tmp_path / "traces"
    traces.mkdir()
    (traces / "short.csv").write_text("time,lat,lon\n,37.5,127.0\n")
    (traces / "not a name.csv").write_text("")
    service.answer(200, {**LOOP, "trace": "../../etc/passwd"})

    def then_short(state: str, number: int) -> bool:
        if state == "failed" and number == 1:
            service.answer(200, {**LOOP, "number": 2, "trace": "short.csv"})
        return state == "failed" and number == 2

    told = drive_until(orders, tmp_path, then_short, traces)
    assert told.traces == ["short.csv"]
    unknown, short = (error for state, _, error in told.drives if state == "failed")
    assert "no trace of that name" in str(unknown)
    assert "two points" in str(short)


@pytest.mark.parametrize(
    "wrong", [["--ordered"], ["--ordered", "--rlapp", "http://x", "--simulate", "2"]]
)
def test_who_orders_and_whom_has_to_be_said(wrong: list[str]) -> None:
    with pytest.raises(SystemExit):
        parse([str(TRACES), *wrong])
