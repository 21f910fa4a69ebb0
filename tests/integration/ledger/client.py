#!/usr/bin/env python3
# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Clients of the ledger on a UE: what becomes of their requests while the app is relocated.

    client.py begin HOST KIND...   begin a request of each kind, and tell how each ended
    client.py write HOST           write entries without pause, and tell which were acknowledged

Both say when they are under way. What can be finished is finished when a line comes in, and writing
ends with the end of standard input. The result is one JSON object.
"""

from __future__ import annotations

import http.client
import json
import select
import socket
import ssl
import sys
import threading
import time
import uuid
from collections.abc import Callable
from typing import IO, Any

TIMEOUT_S = 50.0
PIECE = b"x" * 20_000
PIECE_INTERVAL_S = 0.05
LONG_BYTES = 1_000_000_000
WRITERS = 8
# Every other request of a writer takes longer than the drain of a relocation. Each writer's takes
# longer than those before it: in step, all of them could be between two requests at once.
WAITS_S = (0.0, 0.4)
STEP_S = 0.05

finish = threading.Event()
Outcome = dict[str, Any]


class Wire:
    """A connection on which requests are written by hand."""

    def __init__(self, host: str) -> None:
        tls = ssl.create_default_context()
        # From TLS 1.3 on a socket can have something to read that is no answer.
        tls.maximum_version = ssl.TLSVersion.TLSv1_2
        plain = socket.create_connection((host, 443), TIMEOUT_S)
        self.host = host
        self.socket = tls.wrap_socket(plain, server_hostname=host)
        self.answers: IO[bytes] = self.socket.makefile("rb")

    def ask(self, request: str, *headers: str) -> None:
        """Send a request up to its body."""
        lines = [f"{request} HTTP/1.1", f"Host: {self.host}", *headers, "", ""]
        self.socket.sendall("\r\n".join(lines).encode())

    def upload(self, frame: Callable[[bytes], bytes]) -> None:
        """Send pieces of a body until an answer comes."""
        while not select.select([self.socket], [], [], PIECE_INTERVAL_S)[0]:
            self.socket.sendall(frame(PIECE))

    def answer(self) -> Outcome:
        """The next answer; without a status where the connection ended before it."""
        line = self.answers.readline()
        if not line:
            return {"status": None}
        headers = http.client.parse_headers(self.answers)
        body, whole = self._body(headers)
        return {"status": int(line.split()[1]), "whole": whole, "text": body[-100:].decode()}

    def _body(self, headers: http.client.HTTPMessage) -> tuple[bytes, bool]:
        """What came of the body, and whether the client takes it for all of it."""
        if headers["Transfer-Encoding"] == "chunked":
            body = b""
            while size := self.answers.readline():
                if int(size, 16) == 0:
                    return body, True
                body += self.answers.read(int(size, 16) + 2)[:-2]
            return body, False
        if headers["Content-Length"] is not None:
            length = int(headers["Content-Length"])
            body = self.answers.read(length)
            return body, len(body) == length
        return self.answers.read(), True


def chunk(data: bytes) -> bytes:
    """A chunk of a chunked body."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def first_request(wire: Wire, entry: str) -> Outcome:
    """A request whose answer takes its time."""
    wire.ask(f"POST /entries/{entry}?wait_s={TIMEOUT_S}", "Content-Length: 0")
    return wire.answer()


def later_request(wire: Wire, entry: str) -> Outcome:
    """The same, not the first one of its connection."""
    wire.ask("GET /healthz")
    wire.answer()
    return first_request(wire, entry)


def pipelined_request(wire: Wire, entry: str) -> Outcome:
    """The same, and the next request is there already; how that one is answered."""
    wire.ask(f"POST /entries/{entry}?wait_s={TIMEOUT_S}", "Content-Length: 0")
    wire.ask(f"POST /entries/{entry}-next", "Content-Length: 0")
    return {"first": wire.answer(), **wire.answer()}


def long_upload(wire: Wire, entry: str) -> Outcome:
    """An upload that does not end."""
    wire.ask(f"POST /entries/{entry}", f"Content-Length: {LONG_BYTES}")
    wire.upload(bytes)
    return wire.answer()


def asked_upload(wire: Wire, entry: str) -> Outcome:
    """The same, after the app was asked whether it wants it."""
    wire.ask(f"POST /entries/{entry}", f"Content-Length: {LONG_BYTES}", "Expect: 100-continue")
    go_on = [wire.answers.readline(), wire.answers.readline()]
    if b"100" not in go_on[0]:
        raise SystemExit(f"no 100, but {go_on[0]!r}")
    wire.upload(bytes)
    return wire.answer()


def chunked_upload(wire: Wire, entry: str) -> Outcome:
    """An upload of unknown length, which is finished when a line comes in."""
    wire.ask(f"POST /entries/{entry}", "Transfer-Encoding: chunked")
    wire.socket.sendall(chunk(PIECE))
    finish.wait(TIMEOUT_S)
    wire.socket.sendall(chunk(b""))
    return wire.answer()


def endless_upload(wire: Wire, entry: str) -> Outcome:
    """An upload of unknown length that does not end."""
    wire.ask(f"POST /entries/{entry}", "Transfer-Encoding: chunked")
    wire.upload(chunk)
    return wire.answer()


def small_upload(wire: Wire, entry: str) -> Outcome:
    """A small one, of which the second half is sent when a line comes in."""
    wire.ask(f"POST /entries/{entry}", "Content-Length: 200")
    wire.socket.sendall(b"x" * 100)
    finish.wait(TIMEOUT_S)
    wire.socket.sendall(b"x" * 100)
    return wire.answer()


def download(framing: str) -> Callable[[Wire, str], Outcome]:
    """A response that does not end."""

    def begin(wire: Wire, entry: str) -> Outcome:
        wire.ask(f"GET /stream/{entry}?framing={framing}")
        return wire.answer()

    return begin


def event_stream(wire: Wire, entry: str) -> Outcome:
    """Server-sent events, asked for as browsers do."""
    wire.ask(f"GET /stream/{entry}?framing=chunked", "Accept: text/event-stream")
    return wire.answer()


def tunnel(wire: Wire, entry: str) -> Outcome:
    """An upgraded connection, as WebSocket is one."""
    wire.ask(f"GET /tunnel/{entry}", "Connection: Upgrade", "Upgrade: echo")
    status = int(wire.answers.readline().split()[1])
    http.client.parse_headers(wire.answers)
    wire.socket.sendall(b"ping")
    return {"status": status, "text": wire.answers.read().decode()}


KINDS: dict[str, Callable[[Wire, str], Outcome]] = {
    "first_request": first_request,
    "later_request": later_request,
    "pipelined_request": pipelined_request,
    "long_upload": long_upload,
    "asked_upload": asked_upload,
    "chunked_upload": chunked_upload,
    "endless_upload": endless_upload,
    "small_upload": small_upload,
    "download_length": download("length"),
    "download_chunked": download("chunked"),
    "download_close": download("close"),
    "event_stream": event_stream,
    "tunnel": tunnel,
}
# A request of this kind does not reach the app before it is finished.
WAITS_AT_THE_GATEWAY = "small_upload"


def begin(host: str, kinds: list[str]) -> dict[str, Outcome]:
    """Begin requests, wait until the app executes them, and tell how they ended.

    What ended `by_itself` did so before a line came in.
    """
    run = uuid.uuid4().hex[:8]
    outcomes: dict[str, Outcome] = {}

    def follow(kind: str) -> None:
        entry = f"{run}-{kind}"
        try:
            outcome = KINDS[kind](Wire(host), entry)
        except OSError as error:
            outcome = {"status": None, "error": str(error)}
        outcomes[kind] = {"entry": entry, "by_itself": not finish.is_set(), **outcome}

    threads = [threading.Thread(target=follow, args=(kind,)) for kind in kinds]
    for thread in threads:
        thread.start()
    awaited = {f"{run}-{kind}" for kind in kinds if kind != WAITS_AT_THE_GATEWAY}
    while not awaited <= set(entries(host)):
        time.sleep(0.05)
    print("under way", flush=True)
    sys.stdin.readline()
    finish.set()
    for thread in threads:
        thread.join()
    return outcomes


def entries(host: str) -> list[str]:
    """What the app has noted."""
    connection = http.client.HTTPSConnection(host, timeout=TIMEOUT_S)
    connection.request("GET", "/entries")
    return connection.getresponse().read().decode().split()


def write(host: str) -> dict[str, Any]:
    """Write entries until standard input ends."""
    acknowledged: list[str] = []
    unacknowledged: dict[str, str] = {}
    stop = threading.Event()

    def writer(later_s: float) -> None:
        connection = http.client.HTTPSConnection(host, timeout=TIMEOUT_S)
        number = 0
        while not stop.is_set():
            number += 1
            entry = uuid.uuid4().hex
            try:
                wait_s = WAITS_S[number % len(WAITS_S)]
                wait_s += later_s if wait_s else 0.0
                connection.request("POST", f"/entries/{entry}?wait_s={wait_s}", b"x")
                answer = connection.getresponse()
                answer.read()
                if answer.status == http.HTTPStatus.OK:
                    acknowledged.append(entry)
                else:
                    unacknowledged[entry] = str(answer.status)
            except (OSError, http.client.HTTPException) as error:
                unacknowledged[entry] = repr(error)
                connection.close()

    threads = [threading.Thread(target=writer, args=(n * STEP_S,)) for n in range(WRITERS)]
    for thread in threads:
        thread.start()
    print("under way", flush=True)
    sys.stdin.read()
    stop.set()
    for thread in threads:
        thread.join()
    return {"acknowledged": acknowledged, "unacknowledged": unacknowledged}


if __name__ == "__main__":
    command, name, *chosen = sys.argv[1:]
    print(json.dumps(write(name) if command == "write" else begin(name, chosen)))
