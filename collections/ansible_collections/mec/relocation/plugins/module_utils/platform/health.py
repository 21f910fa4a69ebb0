# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether an instance can be activated, and whether it serves: asked over HTTP."""

from __future__ import annotations

import contextlib
import math
import re
import socket
import time
from collections.abc import Callable

from ..ground.app import App
from ..ground.errors import RelocationError

_PAUSE_S = 0.002
_TIMEOUT_S = 2.0
_LEAST_S = 0.1
# How often one that does not answer is looked at: it may have ended.
_LOOK_S = 0.2
_ACCEPTED = 202
# RFC 9112, 4: the status line.
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})(?: .*)?")
# Before the answer, an app may say so much about that it is to come (RFC 9110, 15.2).
_MOST_BYTES = 65536
_CHUNK_BYTES = 4096


class Health:
    """The paths of one instance that tell how it is.

    Args:
        app: the app.
        address: where its ME host publishes the app's port.
        called: what errors call it.
        activation_token: what is said to it to be allowed to activate it; empty: nothing.
        ended: tells how it has ended, if it has: then it is not waited for.
    """

    def __init__(
        self,
        app: App,
        address: str,
        called: str,
        activation_token: str = "",
        ended: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._app = app
        self._address = address
        self._called = called
        self._activation_token = activation_token
        self._ended = ended

    def serves(self) -> bool:
        """Whether it answers its health path with 200."""
        return self._get(self._app.health) == 200

    def wait_until_serves(self, deadline: float) -> None:
        """Wait until it answers its health path with 200.

        Raises:
            RelocationError: it does not until then (of `time.monotonic`).
        """
        path = self._app.health
        self._until(
            lambda: self._get(path, deadline),
            lambda status: status == 200,
            lambda _status: True,
            deadline,
            f"GET {path}",
        )

    def wait_until_ready(self, deadline: float) -> None:
        """Wait until it can be activated. It need not serve, but it has to be there.

        Raises:
            RelocationError: it is not until then (of `time.monotonic`).
        """
        ready = self._app.ready
        path = ready or self._app.health
        self._until(
            lambda: self._get(path, deadline),
            lambda status: status == 200 or (status is not None and ready is None),
            lambda _status: True,
            deadline,
            f"GET {path}",
        )

    def activate(self, path: str, deadline: float) -> bool:
        """Ask it to serve; tells whether it does.

        It serves when it says so, with 200 or 204. With 202, Accepted (RFC 9110, 15.3.3), it says
        that it will.

        Raises:
            RelocationError: it refuses, or does not answer until the deadline (of
                `time.monotonic`).
        """
        status = self._until(
            lambda: self._ask("POST", path, deadline),
            lambda status: status is not None and 200 <= status < 300,
            # Nobody there yet, or a front whose service is not: it may be asked again.
            lambda status: status in (None, 502, 503),
            deadline,
            f"POST {path}",
        )
        return status != _ACCEPTED

    def _get(self, path: str, deadline: float = math.inf) -> int | None:
        return self._ask("GET", path, min(deadline, time.monotonic() + _TIMEOUT_S))

    def _ask(self, method: str, path: str, deadline: float) -> int | None:
        """The status of one HTTP request, or None where nothing answers until the deadline.

        The deadline is for all of it: an app that drips its answer is not waited for any longer.
        """
        deadline = max(deadline, time.monotonic() + _LEAST_S)
        headers = [f"Host: {self._address}:{self._app.host_port}", "Connection: close"]
        if method == "POST":
            headers.append("Content-Length: 0")
            if self._activation_token:
                headers.append(f"Authorization: Bearer {self._activation_token}")
        request = "\r\n".join([f"{method} {path} HTTP/1.1", *headers, "", ""])
        try:
            with socket.create_connection(
                (self._address, self._app.host_port), deadline - time.monotonic()
            ) as connection:
                connection.sendall(request.encode())
                return _read_status(connection, deadline)
        except OSError:
            return None

    def _until(
        self,
        ask: Callable[[], int | None],
        good: Callable[[int | None], bool],
        again: Callable[[int | None], bool],
        deadline: float,
        what: str,
    ) -> int | None:
        """Ask for an HTTP status until it is good; raise when it is final, or time is up."""
        look_at = time.monotonic() + _LOOK_S
        while not good(status := ask()):
            if status is None and time.monotonic() > look_at:
                self._require_alive()
                look_at = time.monotonic() + _LOOK_S
            if not again(status) or time.monotonic() > deadline:
                raise RelocationError(
                    f"{self._called}: {what} was answered with {status or 'nothing'}.",
                    "The instance's log tells more.",
                )
            time.sleep(_PAUSE_S)
        return status

    def _require_alive(self) -> None:
        """Raise if it has ended; a platform that does not answer does not say so."""
        how = None
        with contextlib.suppress(RelocationError):
            how = self._ended()
        if how is not None:
            raise RelocationError(f"{self._called} has ended: {how}.")


def _read_status(connection: socket.socket, deadline: float) -> int | None:
    """Read an answer as far as its status line, and those that only say that it is to come.

    Returns:
        None where that is no HTTP.

    Raises:
        TimeoutError: it has not come until the deadline (of `time.monotonic`).
    """
    received = bytearray()
    while len(received) < _MOST_BYTES:
        while (end := received.find(b"\n")) >= 0:
            match = _STATUS_LINE.fullmatch(received[:end].rstrip(b"\r"))
            if match is None:
                return None
            status = int(match[1])
            if status >= 200 or status == 101:
                return status
            # An empty line ends what only says that the answer is to come.
            over = re.search(rb"\r?\n\r?\n", received)
            if over is None:
                break
            del received[: over.end()]
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        connection.settimeout(left_s)
        chunk = connection.recv(_CHUNK_BYTES)
        if not chunk:
            return None
        received += chunk
    return None
