#!/usr/bin/env python3
# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An app that notes every request on its volume as soon as it begins to execute it.

A note is durable before anything is read or answered, so a request that was executed twice, or that
was answered and forgotten, shows.

    GET /entries                     the notes, one id a line
    POST /entries/ID?wait_s=S        note ID, read the body, wait, answer with the instance's name
    GET /stream/ID?framing=F         note ID, send lines without end; F: length, chunked or close
    GET /tunnel/ID with Upgrade      note ID, switch protocols, echo

Before it is activated (POST /activate, with the instance's token) it answers 503 to all of these,
and 200 to GET /ready.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

LEDGER = Path("/data/ledger")
# In the container layer: a container that is started again goes on serving.
ACTIVE = Path("/var/lib/ledger/active")
PORT = 8080
LINE_INTERVAL_S = 0.02
# How a client can tell where a response ends (RFC 9112, 6.3).
FRAMING = {
    "length": ("Content-Length", "1000000000"),
    "chunked": ("Transfer-Encoding", "chunked"),
    "close": ("Connection", "close"),
}

noting = threading.Lock()


def note(entry: str) -> None:
    """Add a line to the ledger, durably; the file is opened anew because it may have moved."""
    with noting, LEDGER.open("a", encoding="ascii") as ledger:
        ledger.write(f"{entry}\n")
        ledger.flush()
        os.fsync(ledger.fileno())


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """The health, the entries, a stream or a tunnel."""
        kind, entry, options = self._parsed()
        if kind == "ready":
            self._answer("ready\n")
        elif not ACTIVE.exists():
            self.send_error(HTTPStatus.SERVICE_UNAVAILABLE)
        elif kind == "healthz":
            self._answer("ok\n")
        elif kind == "entries":
            self._answer(LEDGER.read_text() if LEDGER.exists() else "")
        elif kind == "stream":
            note(entry)
            self._stream(options["framing"])
        elif kind == "tunnel":
            note(entry)
            self._tunnel()
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    def do_POST(self) -> None:
        """An entry, or the activation."""
        kind, entry, options = self._parsed()
        if kind == "activate":
            self._activate()
            return
        if not ACTIVE.exists():
            self.send_error(HTTPStatus.SERVICE_UNAVAILABLE)
            return
        note(entry)
        self._read_body()
        time.sleep(float(options.get("wait_s", 0)))
        self._answer(f"{socket.gethostname()}\n")

    def _activate(self) -> None:
        expected = f"Bearer {os.environ['MEC_ACTIVATION_TOKEN']}"
        if not secrets.compare_digest(self.headers.get("Authorization", ""), expected):
            self.send_error(HTTPStatus.FORBIDDEN)
            return
        ACTIVE.touch()
        self._answer("active\n")

    def _parsed(self) -> tuple[str, str, dict[str, str]]:
        parts = urlsplit(self.path)
        kind, _, entry = parts.path.strip("/").partition("/")
        return kind, entry, {name: values[0] for name, values in parse_qs(parts.query).items()}

    def _read_body(self) -> None:
        if self.headers.get("Transfer-Encoding") != "chunked":
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            return
        while size := int(self.rfile.readline(), 16):
            self.rfile.read(size + len("\r\n"))
        self.rfile.readline()

    def _answer(self, text: str) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def _stream(self, framing: str) -> None:
        name, value = FRAMING[framing]
        self.send_response(HTTPStatus.OK)
        self.send_header(name, value)
        self.end_headers()
        line = b"line\n"
        while True:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line) if framing == "chunked" else line)
            time.sleep(LINE_INTERVAL_S)

    def _tunnel(self) -> None:
        self.send_response(HTTPStatus.SWITCHING_PROTOCOLS)
        self.send_header("Connection", "Upgrade")
        self.send_header("Upgrade", "echo")
        self.end_headers()
        while data := self.connection.recv(4096):
            self.connection.sendall(data)
        self.close_connection = True

    def log_message(self, *_arguments: object) -> None:
        """The ledger is the log."""


if __name__ == "__main__":
    ThreadingHTTPServer.request_queue_size = 256
    ThreadingHTTPServer(("", PORT), Handler).serve_forever()
