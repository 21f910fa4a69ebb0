# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The gateway with HAProxy itself: holds, their end, reloads, crashes, and the herd after them."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest
from ansible_collections.mec.relocation.plugins.module_utils.ground.errors import RelocationError
from ansible_collections.mec.relocation.tests.unit.plugins.module_utils.host.haproxies import (
    HAProxy,
    Instance,
    free_port,
    running,
    wait_until,
)
from ansible_collections.mec.relocation.tests.unit.plugins.module_utils.image.https import (
    certificate,
)

Make = Callable[..., HAProxy]
A_WHILE_S = 0.15
# What is lost from a full backlog comes again after a second.
RETRANSMISSION_S = 0.95


@dataclass
class Answer:
    """What became of a request."""

    status: int | None
    headers: str
    text: str
    began_s: float
    ended_s: float

    @property
    def time_s(self) -> float:
        return self.ended_s - self.began_s

    @property
    def host(self) -> str:
        return self.text.split(" ")[0]


class Client:
    """Clients of a gateway; each request has a connection of its own."""

    def __init__(self, port: int, timeout_s: float = 20) -> None:
        self.port = port
        self.timeout_s = timeout_s
        self.pool = ThreadPoolExecutor(200)
        self._tls = ssl.create_default_context()
        self._tls.check_hostname = False
        self._tls.verify_mode = ssl.CERT_NONE

    def connect(self) -> ssl.SSLSocket:
        plain = socket.create_connection(("127.0.0.1", self.port), self.timeout_s)
        return self._tls.wrap_socket(plain)

    def get(self, path: str = "/", *headers: str, app: str = "app", on: object = None) -> Answer:
        """Ask, and wait for the answer; status None: the connection was closed without one."""
        began_s = time.monotonic()
        lines = [f"GET {path} HTTP/1.1", f"Host: {app}.mec.test", *headers]
        received = b""
        try:
            with on if isinstance(on, socket.socket) else self.connect() as connection:
                request = "\r\n".join([*lines, "Connection: close"] if not headers else lines)
                connection.sendall(request.encode() + b"\r\n\r\n")
                while chunk := connection.recv(65536):
                    received += chunk
                    head, found, body = received.partition(b"\r\n\r\n")
                    length = head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]
                    if found and len(body) >= int(length or 0):
                        break
        except (ConnectionError, TimeoutError):
            pass
        told, _, text = received.decode().partition("\r\n\r\n")
        status = int(told.split(" ")[1]) if told else None
        return Answer(status, told, text, began_s, time.monotonic())

    def begin(self, path: str = "/") -> Future[Answer]:
        return self.pool.submit(self.get, path)


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificate")
    chain, key = certificate(folder, "gateway")
    both = folder / "edge.pem"
    both.write_bytes(chain.read_bytes() + key.read_bytes())
    return both


@pytest.fixture
def make(tmp_path: Path, pem: Path) -> Iterator[Make]:
    made: list[HAProxy] = []

    def one(me_hosts: int = 2, app_port: int = 0, **variables: object) -> HAProxy:
        folder = tmp_path / f"gateway{len(made)}"
        folder.mkdir()
        made.append(HAProxy(folder, pem, me_hosts, app_port, **variables))
        return made[-1]

    yield one
    for haproxy in made:
        haproxy.close()


@pytest.fixture
def haproxy(make: Make) -> HAProxy:
    return make()


@pytest.fixture
def hosts(haproxy: HAProxy, tmp_path: Path) -> Iterator[dict[str, Instance]]:
    """An instance on each ME host."""
    both = {
        name: Instance(name, haproxy.app_port, "ThreadingHTTPServer", 0, tmp_path / name)
        for name in ("worker1", "worker2")
    }
    with running(both):
        yield both


@pytest.fixture
def client(haproxy: HAProxy) -> Client:
    return Client(haproxy.port)


# -- hold, release, forward -----------------------------------------------------------------


def test_held_requests_go_to_where_the_app_is_then(
    haproxy: HAProxy, hosts: dict[str, Instance], client: Client
) -> None:
    gateway = haproxy.gateway
    assert client.get().host == "worker1"
    assert gateway.hold("app", 5, "worker1", "h1") == 0
    held = client.begin()
    time.sleep(A_WHILE_S)
    assert not held.done()
    gateway.forward("app", "worker2", "h1")
    assert held.result().host == "worker2"
    assert gateway.locations() == {"app": "worker2"}
    assert client.get().host == "worker2"
    assert len(hosts["worker1"].executed()) == 1


@pytest.mark.usefixtures("hosts")
def test_an_abort_lets_requests_go_on(haproxy: HAProxy, client: Client) -> None:
    haproxy.gateway.hold("app", 5, "worker1", "h1")
    held = client.begin()
    time.sleep(A_WHILE_S)
    assert haproxy.gateway.release("app", "h1")
    assert held.result().host == "worker1"
    assert not haproxy.gateway.release("app", "h1")


def test_who_waits_too_long_is_told_to_come_again(
    haproxy: HAProxy, hosts: dict[str, Instance], client: Client
) -> None:
    haproxy.gateway.hold("app", 0.3, "worker1", "h1")
    answer = client.get()
    assert answer.status == 503
    assert "retry-after: 1" in answer.headers.lower()
    assert 0.3 <= answer.time_s < 0.8
    assert hosts["worker1"].executed() == []


def test_who_has_gone_is_not_executed(
    haproxy: HAProxy, hosts: dict[str, Instance], client: Client
) -> None:
    haproxy.gateway.hold("app", 5, "worker1", "h1")
    with client.connect() as gone:
        gone.sendall(b"GET /gone HTTP/1.1\r\nHost: app.mec.test\r\n\r\n")
        time.sleep(A_WHILE_S)
    held = client.begin("/stays")
    time.sleep(A_WHILE_S)
    haproxy.gateway.forward("app", "worker1", "h1")
    assert held.result().status == 200
    assert hosts["worker1"].executed() == ["GET /stays"]


@pytest.mark.usefixtures("hosts")
def test_only_its_owner_ends_a_hold(haproxy: HAProxy, client: Client) -> None:
    gateway = haproxy.gateway
    gateway.hold("app", 5, "worker1", "h1")
    held = client.begin()
    assert not gateway.release("app", "h2")
    with pytest.raises(RelocationError, match="held for h1"):
        gateway.forward("app", "worker2", "h2")
    with pytest.raises(RelocationError, match="held for h1"):
        gateway.hold("app", 5, "worker1", "h2")
    time.sleep(A_WHILE_S)
    assert not held.done()
    assert gateway.holds()["app"].owner == "h1"
    gateway.forward("app", "worker2")
    assert held.result().host == "worker2"


@pytest.mark.usefixtures("hosts")
def test_what_is_under_way_is_counted_and_streams_are_not(haproxy: HAProxy, client: Client) -> None:
    under_way = [client.begin("/take/0.5") for _ in range(3)]
    stream = client.pool.submit(client.get, "/take/0.5", "Accept: text/event-stream")
    wait_until(lambda: haproxy.gateway.in_flight("app", "worker1") == 3)
    assert haproxy.gateway.hold("app", 5, "worker1", "h1") == 3
    for request in [*under_way, stream]:
        assert request.result().status == 200
    assert haproxy.gateway.in_flight("app", "worker1") == 0


def test_an_app_that_is_not_deployed_is_named(haproxy: HAProxy) -> None:
    with pytest.raises(RelocationError, match=r"no backend 'other\.worker1'"):
        haproxy.gateway.check("other", "worker1")
    with pytest.raises(RelocationError, match=r"no backend 'other\.worker1'"):
        haproxy.gateway.hold("other", 5, "worker1", "h1")
    assert haproxy.gateway.holds() == {}


@pytest.mark.parametrize("app", ["app;quit", "app\nquit", "../map", "app other"])
def test_a_name_is_nothing_but_a_name(haproxy: HAProxy, app: str) -> None:
    for step in (haproxy.gateway.release, haproxy.gateway.remove, haproxy.gateway.decision):
        with pytest.raises(RelocationError, match="not a DNS label"):
            step(app)
    with pytest.raises(RelocationError, match="Not a name"):
        haproxy.gateway.forward("app", app)
    with pytest.raises(RelocationError, match="Not a name"):
        haproxy.gateway.hold("app", 5, "worker1", app)


@pytest.mark.usefixtures("hosts")
def test_a_host_header_leads_to_no_other_file(haproxy: HAProxy, client: Client) -> None:
    (haproxy.folder / "elsewhere").write_text("worker1\n")
    haproxy.gateway.forward("app", "worker1")
    for name in ("../elsewhere", "%2e%2e/elsewhere", "", "-"):
        assert client.get(app=name).status in (400, 503)


def test_a_haproxy_of_another_release_is_refused(haproxy: HAProxy) -> None:
    haproxy.gateway.decisions = haproxy.folder / "not-what-haproxy-reads"
    with pytest.raises(RelocationError, match="does not follow"):
        haproxy.gateway.hold("app", 5, "worker1", "h1")
    assert haproxy.gateway.holds() == {}


# -- the end of a hold ----------------------------------------------------------------------


def test_a_hold_ends_by_itself_and_refuses(
    haproxy: HAProxy, hosts: dict[str, Instance], client: Client
) -> None:
    hosts["worker1"].freeze()
    haproxy.gateway.hold("app", 5, "worker1", "h1", end_s=0.5, after="refuse")
    waited = client.get()
    assert waited.status == 503
    assert "retry-after: 1" in waited.headers.lower()
    assert 0.3 < waited.time_s < 0.9
    later = client.get()
    assert (later.status, later.time_s < 0.3) == (503, True)
    assert "hold for h1 ended by itself" in haproxy.logged()
    assert haproxy.gateway.holds()["app"].has_ended
    hosts["worker1"].thaw()
    time.sleep(A_WHILE_S)
    assert hosts["worker1"].executed() == []
    # Whoever finds out later decides.
    assert not haproxy.gateway.release("app", "h1")
    assert client.get().host == "worker1"


@pytest.mark.usefixtures("hosts")
def test_a_hold_ends_by_itself_and_releases(haproxy: HAProxy, client: Client) -> None:
    haproxy.gateway.hold("app", 5, "worker1", "h1", end_s=0.5, after="release")
    waited = client.get()
    assert (waited.status, 0.3 < waited.time_s < 0.9) == (200, True)
    assert client.get().status == 200


@pytest.mark.usefixtures("hosts")
def test_after_its_end_another_may_hold(haproxy: HAProxy) -> None:
    haproxy.gateway.hold("app", 5, "worker1", "h1", end_s=0.05)
    wait_until(lambda: haproxy.gateway.holds()["app"].has_ended)
    haproxy.gateway.hold("app", 5, "worker1", "h2")
    assert haproxy.gateway.holds()["app"].owner == "h2"


# -- reload, restart, crash -----------------------------------------------------------------


def test_a_reload_within_a_hold_loses_nothing(
    haproxy: HAProxy, hosts: dict[str, Instance], client: Client
) -> None:
    gateway = haproxy.gateway
    under_way = client.begin("/take/2")
    wait_until(lambda: gateway.in_flight("app", "worker1") == 1)
    assert gateway.hold("app", 10, "worker1", "h1") == 1
    before = [client.begin(f"/before/{number}") for number in range(10)]
    time.sleep(A_WHILE_S)
    haproxy.reload()
    assert len(haproxy.workers()) == 2
    after = [client.begin(f"/after/{number}") for number in range(10)]
    time.sleep(A_WHILE_S)
    assert gateway.in_flight("app", "worker1") == 1, "what the old worker has is counted"
    assert not any(request.done() for request in before + after)
    # Held anew, as a second relocation would: the old worker waits with the new one.
    gateway.hold("app", 10, "worker1", "h1")
    assert under_way.result().host == "worker1"
    assert gateway.in_flight("app", "worker1") == 0
    hosts["worker1"].kill()
    gateway.forward("app", "worker2", "h1")
    assert {request.result().host for request in before + after} == {"worker2"}
    assert len(hosts["worker2"].executed()) == 20
    wait_until(lambda: len(haproxy.workers()) == 1)


def test_a_worker_that_ends_between_two_questions_is_passed_over(
    haproxy: HAProxy,
    hosts: dict[str, Instance],
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gateway, ask = haproxy.gateway, haproxy.gateway._ask_master

    def one_more(commands: str) -> str:
        """What the master says while a third worker is about to end."""
        gone = f"{2**22 + 1} worker 2 0d00h00m09s 2.6\n" if commands == "show proc" else ""
        return ask(commands) + gone

    under_way = client.begin("/take/1")
    wait_until(lambda: gateway.in_flight("app", "worker1") == 1)
    haproxy.reload()
    assert len(haproxy.workers()) == 2
    monkeypatch.setattr(gateway, "_ask_master", one_more)
    assert gateway.hold("app", 10, "worker1", "h1") == 1
    gateway.forward("app", "worker1", "h1")
    assert under_way.result().host == "worker1"
    hosts["worker1"].kill()


@pytest.mark.usefixtures("hosts")
def test_a_reload_keeps_what_was_decided_and_not_persisted(
    haproxy: HAProxy, client: Client
) -> None:
    haproxy.gateway.forward("app", "worker2")
    haproxy.reload()
    assert client.get().host == "worker2"
    assert haproxy.map.read_text() == "app worker1\n"
    haproxy.gateway.persist()
    assert haproxy.map.read_text() == "app worker2\n"


@pytest.mark.parametrize("what", ["worker", "master"])
def test_a_crash_within_a_hold_executes_nothing_at_the_source(
    haproxy: HAProxy, hosts: dict[str, Instance], client: Client, what: str
) -> None:
    gateway = haproxy.gateway
    gateway.hold("app", 10, "worker1", "h1")
    waiting = [client.begin(f"/waits/{number}") for number in range(5)]
    time.sleep(A_WHILE_S)
    hosts["worker1"].freeze()
    haproxy.kill_worker() if what == "worker" else haproxy.kill_master()
    assert {request.result().status for request in waiting} == {None}
    assert gateway.in_flight("app", "worker1") == 0
    with pytest.raises(RelocationError, match="does not run"):
        gateway.check("app", "worker1")
    # Nobody is refused: what comes now waits in the socket that stays open.
    meanwhile = [client.begin(f"/meanwhile/{number}") for number in range(5)]
    time.sleep(A_WHILE_S)
    haproxy.start()
    time.sleep(A_WHILE_S)
    assert not any(request.done() for request in meanwhile)
    hosts["worker1"].thaw()
    time.sleep(A_WHILE_S)
    gateway.forward("app", "worker2", "h1")
    assert {request.result().host for request in meanwhile} == {"worker2"}
    assert hosts["worker1"].executed() == []
    assert len(hosts["worker2"].executed()) == 5


@pytest.mark.usefixtures("hosts")
def test_a_switch_while_the_gateway_is_down_is_followed(haproxy: HAProxy, client: Client) -> None:
    haproxy.kill_master()
    haproxy.gateway.forward("app", "worker2")
    haproxy.start()
    assert client.get().host == "worker2"


@pytest.mark.usefixtures("hosts")
def test_a_boot_finds_what_was_persisted(haproxy: HAProxy, client: Client) -> None:
    haproxy.gateway.hold("app", 10, "worker1", "h1")
    haproxy.gateway.forward("app", "worker2", "h1")
    haproxy.gateway.persist()
    haproxy.kill_master()
    for decision in haproxy.gateway.decisions.iterdir():
        decision.unlink()
    haproxy.start()
    assert haproxy.gateway.locations() == {"app": "worker2"}
    assert client.get().host == "worker2"


@pytest.mark.usefixtures("hosts")
def test_an_app_that_is_removed_is_nowhere(haproxy: HAProxy, client: Client) -> None:
    haproxy.gateway.hold("app", 5, "worker1", "h1")
    held = client.begin()
    time.sleep(A_WHILE_S)
    haproxy.gateway.remove("app")
    assert held.result().status == 503
    assert client.get().status == 503
    haproxy.gateway.persist()
    assert haproxy.gateway.locations() == {}
    assert haproxy.map.read_text() == ""


def test_decisions_side_by_side_are_all_kept(haproxy: HAProxy) -> None:
    apps = [f"app{number}" for number in range(20)]

    def decide(app: str) -> None:
        for _ in range(10):
            haproxy.gateway.forward(app, "worker2")
            haproxy.gateway.persist()

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(decide, apps))
    assert haproxy.map.read_text() == "".join(
        f"{app} {'worker1' if app == 'app' else 'worker2'}\n" for app in sorted(["app", *apps])
    )


# -- the herd -------------------------------------------------------------------------------


def herd(
    gateways: list[HAProxy], port: int, kind: str, slow_s: float, folder: Path
) -> tuple[list[Answer], list[str], float]:
    """Let requests pile up at gateways, then let them on; also tells what was executed."""
    clients = [Client(haproxy.port, timeout_s=5) for haproxy in gateways]
    for haproxy in gateways:
        haproxy.gateway.hold("app", 10, "worker1", "h1")
    waiting = [clients[n % len(clients)].begin(f"/{n}") for n in range(60)]
    time.sleep(0.6)
    instance = Instance("worker2", port, kind, slow_s, folder / "herd")
    with running({"worker2": instance}):
        released_s = time.monotonic()
        for haproxy in gateways:
            haproxy.gateway.forward("app", "worker2", "h1")
        answers = [request.result() for request in waiting]
        return answers, instance.executed(), released_s


@pytest.mark.parametrize("gateways", [1, 2])
@pytest.mark.parametrize("slow_s", [0, 0.3], ids=["fast", "slow at first"])
@pytest.mark.parametrize("kind", ["HTTPServer", "ThreadingHTTPServer"])
def test_a_herd_is_let_on_through_a_window(
    make: Make, tmp_path: Path, kind: str, slow_s: float, gateways: int
) -> None:
    port = free_port()
    several = [make(app_port=port) for _ in range(gateways)]
    answers, executed, released_s = herd(several, port, kind, slow_s, tmp_path)
    assert {answer.status for answer in answers} == {200}
    assert sorted(executed) == sorted(f"GET /{n}" for n in range(60))
    ended_s = sorted(answer.ended_s - released_s for answer in answers)
    assert ended_s[-1] < RETRANSMISSION_S, "a connection was lost from the backlog"
    assert max(after - before for before, after in pairwise([0, *ended_s])) < slow_s + 0.15


def test_without_the_window_connections_are_lost(make: Make, tmp_path: Path) -> None:
    haproxy = make(gateway_window=10_000)
    answers, _, released_s = herd([haproxy], haproxy.app_port, "HTTPServer", 0.1, tmp_path)
    assert max(answer.ended_s - released_s for answer in answers) > RETRANSMISSION_S


def test_what_is_stuck_in_the_window_blocks_nobody(
    haproxy: HAProxy, hosts: dict[str, Instance], client: Client
) -> None:
    haproxy.gateway.hold("app", 10, "worker1", "h1")
    for _ in range(2):
        client.begin("/stuck")
    time.sleep(A_WHILE_S)
    waiting = [client.begin(f"/{number}") for number in range(20)]
    time.sleep(A_WHILE_S)
    released_s = time.monotonic()
    haproxy.gateway.release("app", "h1")
    answers = [request.result() for request in waiting]
    assert {answer.status for answer in answers} == {200}
    assert max(answer.ended_s for answer in answers) - released_s < 1
    hosts["worker1"].kill()


def test_what_is_paced_is_not_refused_as_held_too_long(make: Make, tmp_path: Path) -> None:
    haproxy = make(me_hosts=4)
    client = Client(haproxy.port)
    app = Instance("worker1", haproxy.app_port, "HTTPServer", 0, tmp_path / "app")
    with running({"worker1": app}):
        haproxy.gateway.hold("app", 1, "worker1", "h1")
        waiting = [client.begin(f"/take/0.15/{number}") for number in range(10)]
        time.sleep(A_WHILE_S)
        haproxy.gateway.release("app", "h1")
        answers = [request.result() for request in waiting]
    assert {answer.status for answer in answers} == {200}
    assert max(answer.time_s for answer in answers) > 1


def test_a_second_hold_gives_the_whole_time_again(make: Make, tmp_path: Path) -> None:
    haproxy = make(me_hosts=4)
    client = Client(haproxy.port)
    app = Instance("worker1", haproxy.app_port, "HTTPServer", 0, tmp_path / "app")
    with running({"worker1": app}):
        haproxy.gateway.hold("app", 1, "worker1", "h1")
        waiting = [client.begin(f"/take/0.1/{number}") for number in range(12)]
        time.sleep(0.5)
        haproxy.gateway.release("app", "h1")
        time.sleep(0.3)
        haproxy.gateway.hold("app", 1, "worker1", "h2")
        time.sleep(0.6)
        haproxy.gateway.release("app", "h2")
        answers = [request.result() for request in waiting]
    assert {answer.status for answer in answers} == {200}


def test_the_window_grows_where_more_is_answered(make: Make, tmp_path: Path) -> None:
    """Slow requests, side by side: two at a time would take ten seconds."""
    haproxy = make()
    client = Client(haproxy.port)
    app = Instance("worker1", haproxy.app_port, "ThreadingHTTPServer", 0, tmp_path / "app")
    with running({"worker1": app}):
        haproxy.gateway.hold("app", 10, "worker1", "h1")
        waiting = [client.begin(f"/take/0.2/{number}") for number in range(100)]
        time.sleep(0.6)
        released_s = time.monotonic()
        haproxy.gateway.release("app", "h1")
        answers = [request.result() for request in waiting]
    assert {answer.status for answer in answers} == {200}
    assert max(answer.ended_s for answer in answers) - released_s < 7


def test_new_requests_go_to_the_end_of_the_queue(make: Make, tmp_path: Path) -> None:
    haproxy = make(me_hosts=4)
    client = Client(haproxy.port)
    haproxy.gateway.hold("app", 5, "worker1", "h1")
    waiting = []
    for number in range(10):
        waiting.append(client.begin(f"/take/0.01/{number}"))
        time.sleep(0.03)
    app = Instance("worker1", haproxy.app_port, "HTTPServer", 0, tmp_path / "app")
    with running({"worker1": app}):
        haproxy.gateway.release("app", "h1")
        new = [client.begin(f"/take/0.01/new{number}") for number in range(3)]
        assert {request.result().status for request in [*waiting, *new]} == {200}
        order = [line.rpartition("/")[2] for line in app.executed()]
    assert not any(number.startswith("new") for number in order[:10])
    # Two that came one right after the other may change places.
    assert all(abs(int(number) - place) <= 2 for place, number in enumerate(order[:10]))


@pytest.mark.usefixtures("hosts")
def test_the_window_is_gone_when_all_who_waited_are_through(
    haproxy: HAProxy, client: Client
) -> None:
    haproxy.gateway.hold("app", 5, "worker1", "h1")
    waiting = [client.begin() for _ in range(10)]
    time.sleep(A_WHILE_S)
    haproxy.gateway.release("app", "h1")
    assert {request.result().status for request in waiting} == {200}
    began_s = time.monotonic()
    together = [client.begin("/take/0.5") for _ in range(5)]
    assert {request.result().status for request in together} == {200}
    assert time.monotonic() - began_s < 0.9


@pytest.mark.parametrize("kind", ["HTTPServer", "ThreadingHTTPServer"])
def test_a_probe_sees_no_more_than_the_hold(make: Make, tmp_path: Path, kind: str) -> None:
    """Eight clients and a probe, of a server with a backlog of 5."""
    haproxy = make()
    client = Client(haproxy.port)
    apps = {
        name: Instance(name, haproxy.app_port, kind, 0, tmp_path / name)
        for name in ("worker1", "worker2")
    }
    stop = threading.Event()
    seen: list[Answer] = []

    def one_after_the_other() -> None:
        while not stop.is_set():
            seen.append(client.get("/client"))
            time.sleep(0.1)

    with running(apps), ThreadPoolExecutor(8) as clients:
        for _ in range(8):
            clients.submit(one_after_the_other)
        probes = []
        due_s = time.monotonic()
        for tick in range(100):
            if tick == 25:
                held_s = time.monotonic()
                haproxy.gateway.hold("app", 5, "worker1", "h1")
            if tick == 50:
                haproxy.gateway.forward("app", "worker2", "h1")
                downtime_s = time.monotonic() - held_s
            probes.append(client.begin("/probe"))
            due_s += 0.02
            time.sleep(max(0, due_s - time.monotonic()))
        answers = [probe.result() for probe in probes]
        stop.set()
    held = [a for a in answers + seen if held_s < a.began_s < held_s + downtime_s]
    assert len(held) > 20
    assert {answer.status for answer in held} == {200}
    assert max(answer.ended_s for answer in held) - held_s - downtime_s < RETRANSMISSION_S
    # Behind the last probe nobody asks any more.
    ended_s = sorted(a.ended_s for a in answers if a.ended_s < answers[-1].began_s)
    gap_s = max(after - before for before, after in pairwise(ended_s))
    assert gap_s < downtime_s + RETRANSMISSION_S / 2


# -- what passes ----------------------------------------------------------------------------


@pytest.fixture
def standby(haproxy: HAProxy, hosts: dict[str, Instance]) -> Client:
    assert hosts
    haproxy.declare(
        name="app",
        start="standby",
        activate={"http": "/-/activate"},
        ready="/-/it'sready",
        health="/healthz",
    )
    haproxy.reload()
    return Client(haproxy.port)


@pytest.mark.parametrize(
    "path",
    [
        "/-/activate",
        "/-/activate/",
        "/-/activate?x=1",
        "//-/activate",
        "/%2d/activate",
        "/-%2factivate",
        "/-/%61ctivate",
        "/x/../-/activate",
        "/x/%2e%2e/-/activate",
        "/./-/activate",
        "/-;x/activate",
        "/-/activate;x=1",
        "/-/ACTIVATE",
        "/-\\activate",
        "http://app.mec.test/-/activate",
        "/-/it'sready",
    ],
)
def test_what_is_the_platform_s_business_does_not_pass(standby: Client, path: str) -> None:
    assert standby.get(path).status == 404


@pytest.mark.parametrize(
    "path", ["/-/ping", "/-/", "/@scope%2fname", "/a//b/../c;d", "/-/activate/x", "/healthz"]
)
def test_all_else_passes_as_it_is(standby: Client, path: str) -> None:
    answer = standby.get(path)
    assert answer.status == 200
    assert answer.text.startswith(f"worker1 {path} ")


@pytest.mark.usefixtures("hosts")
def test_no_tunnel_of_http_2_and_no_header_that_takes_others_away(client: Client) -> None:
    upgrade = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMA")
    answer = client.get("/", *upgrade).text.lower()
    assert "upgrade" not in answer
    answer = client.get("/", "Connection: X-Forwarded-For").text.lower()
    assert "x-forwarded-for: 127.0.0.1" in answer
    assert "connection: x-forwarded-for" not in answer
