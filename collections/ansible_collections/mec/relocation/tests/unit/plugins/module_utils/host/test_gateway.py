# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is read from HAProxy's statistics; the commands themselves are tested on the testbed."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.mec.relocation.plugins.module_utils.ground.errors import RelocationError
from ansible_collections.mec.relocation.plugins.module_utils.host.gateway import Gateway

STATISTICS = """# pxname,svname,qcur,qmax,scur,smax,
app.worker1,instance,0,0,{instance},9,
app.worker1,streams,0,0,{streams},9,
app.worker1,BACKEND,0,0,{backend},9,

"""


class Runtime:
    """A runtime socket that answers everything alike."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.answer = ""
        self.asked: list[str] = []
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                self.asked.append(connection.recv(4096).decode())
                connection.sendall(self.answer.encode())


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[Runtime]:
    runtime = Runtime(tmp_path / "mec.sock")
    yield runtime
    runtime.close()


@pytest.fixture
def gateway(runtime: Runtime, tmp_path: Path) -> Gateway:
    return Gateway(runtime.path, tmp_path / "locations.map")


@pytest.mark.parametrize(
    ("instance", "streams", "backend", "in_flight"),
    [(0, 0, 0, 0), (3, 0, 3, 3), (0, 2, 2, 0), (3, 2, 5, 3), (3, 2, 7, 5)],
    ids=["none", "requests", "streams", "both", "queued, too"],
)
def test_requests_count_and_streams_do_not(
    gateway: Gateway, runtime: Runtime, instance: int, streams: int, backend: int, in_flight: int
) -> None:
    runtime.answer = STATISTICS.format(instance=instance, streams=streams, backend=backend)
    assert gateway.in_flight("app", "worker1") == in_flight
    assert runtime.asked == ["show stat app.worker1 6 -1\n"]


def test_an_app_that_is_not_deployed_is_named(gateway: Gateway, runtime: Runtime) -> None:
    runtime.answer = "# pxname,svname,qcur,qmax,scur,smax,\n\n"
    with pytest.raises(RelocationError, match=r"no backend 'app\.worker1'"):
        gateway.check("app", "worker1")


def test_a_name_cannot_carry_a_second_command(gateway: Gateway, runtime: Runtime) -> None:
    with pytest.raises(RelocationError, match="Not a gateway command"):
        gateway.release("app; shutdown sessions server a/b")
    assert runtime.asked == []


def test_a_hold_tells_what_is_under_way(gateway: Gateway, runtime: Runtime) -> None:
    runtime.answer = "held\n\n" + STATISTICS.format(instance=3, streams=1, backend=4)
    assert gateway.hold("app", 2.0, "worker1") == 3
    assert runtime.asked == ["mec hold app 2000;show stat app.worker1 6 -1\n"]


def test_a_hold_that_was_refused_is_none(gateway: Gateway, runtime: Runtime) -> None:
    runtime.answer = "Unknown command\n\n" + STATISTICS.format(instance=0, streams=0, backend=0)
    with pytest.raises(RelocationError, match="refused 'mec hold app 2000': Unknown command"):
        gateway.hold("app", 2.0, "worker1")


def test_forwarding_is_one_exchange(gateway: Gateway, runtime: Runtime) -> None:
    runtime.answer = "\nreleased\n\n"
    gateway.forward("app", "worker1")
    assert runtime.asked == [f"set map {gateway.map_path} app worker1;mec release app\n"]


def test_a_gateway_that_does_not_follow_is_told(gateway: Gateway, runtime: Runtime) -> None:
    runtime.answer = "something is wrong\n"
    with pytest.raises(RelocationError, match="refused 'add map"):
        gateway.forward("app", "worker1")
