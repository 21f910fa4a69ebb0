# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How many connections wait for a server that accepts none, before and after."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest
from ansible_collections.mec.relocation.plugins.module_utils.platform import backlog

SERVER = """
import os, socket, sys
family, count = socket.AddressFamily(int(sys.argv[1])), int(sys.argv[2])
first = socket.create_server(("", 0), family=family, backlog=1, reuse_port=True)
port = first.getsockname()[1]
rest = [
    socket.create_server(("", port), family=family, backlog=1, reuse_port=True)
    for _ in range(count - 1)
]
if os.fork() == 0:
    socket.create_server(("", 0), backlog=1)
else:
    print(port, flush=True)
sys.stdin.read()
"""
LOOPBACK = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}


@contextlib.contextmanager
def server(
    family: socket.AddressFamily = socket.AF_INET, count: int = 1
) -> Iterator[tuple[int, int]]:
    """A server that listens with sockets for one connection each, and accepts none."""
    with subprocess.Popen(
        [sys.executable, "-c", SERVER, str(int(family)), str(count)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        yield process.pid, int(process.stdout.readline())
        process.kill()


def connections(port: int, family: socket.AddressFamily = socket.AF_INET) -> int:
    """How many of 40 connections are made at once."""
    made = 0
    with contextlib.ExitStack() as stack:
        for _number in range(40):
            client = stack.enter_context(socket.socket(family))
            client.settimeout(0.1)
            try:
                client.connect((LOOPBACK[family], port))
                # What the kernel has not queued it forgets.
                made += 1
            except TimeoutError:
                break
    return made


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_a_crowd_finds_room(family: socket.AddressFamily) -> None:
    with server(family) as (_pid, port):
        assert connections(port, family) < 10
    with server(family) as (pid, port):
        backlog.deepen([pid], port)
        assert connections(port, family) == 40


def test_each_socket_of_a_port_is_deepened() -> None:
    with server(count=3) as (pid, port):
        backlog.deepen([pid], port)
        shown = subprocess.run(
            ["ss", "-Htln", f"sport = {port}"], stdout=subprocess.PIPE, check=True, text=True
        ).stdout
        assert [int(line.split()[2]) for line in shown.splitlines()] == [4096] * 3


def test_another_port_and_a_process_that_has_ended_are_left_alone() -> None:
    with server() as (pid, port):
        backlog.deepen([pid], port + 1)
        assert connections(port) < 10
    backlog.deepen([pid, os.getpid()], port)
