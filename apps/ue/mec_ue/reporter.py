"""Tells a service what happens here, by HTTP, without ever waiting for it.

What is told waits in a bounded queue for one thread that posts it, in order, over one connection
that stays open. A failure is tried again, less and less often, until what is told is too old to be
of use.
"""

from __future__ import annotations

import json
import logging
import math
import random
import socket
import ssl
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from threading import Condition, Event, Thread
from typing import Any, Protocol
from urllib.parse import urlsplit

_LOG = logging.getLogger(__name__)
_QUEUE_MAX = 1000
_TIMEOUT_S = 5.0
_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 5.0
# What the service says when it may well say something else later.
_LATER = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)


@dataclass(frozen=True)
class _Item:
    path: str
    body: bytes
    until_s: float


# A UE that has left its cell hears no more of what came in there: who waits for an answer over an
# address that is gone has to begin anew, and soon (RFC 5482 for what was sent, keep-alive else).
_LOST_AFTER_MS = 1000
_LOST = (
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _LOST_AFTER_MS),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 2),
)


class _Mobile(HTTPConnection):
    """A connection that notices within seconds that its way is gone."""

    def connect(self) -> None:
        """Open it."""
        super().connect()
        for option in _LOST:
            self.sock.setsockopt(*option)


class _SecureMobile(_Mobile, HTTPSConnection):
    """The same over TLS."""


def connection_to(url: str, ca: Path | None, timeout_s: float) -> tuple[HTTPConnection, str]:
    """A connection to a service, not opened yet, and the path that its own paths are below.

    Args:
        ca: certificates to trust; None: those of the system.
        timeout_s: of every step of a request.

    Raises:
        ValueError: the URL is none.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{url!r} is not the URL of a service")
    base = parts.path.rstrip("/")
    if parts.scheme == "http":
        return _Mobile(parts.hostname, parts.port, timeout=timeout_s), base
    context = ssl.create_default_context(cafile=ca)
    secure = _SecureMobile(parts.hostname, parts.port, timeout=timeout_s, context=context)
    return secure, base


def authorization(token: str | None) -> dict[str, str]:
    """The header that carries a bearer token; without one, none."""
    return {} if token is None else {"Authorization": f"Bearer {token}"}


class Tells(Protocol):
    """Whom a UE tells."""

    def post(self, path: str, content: Mapping[str, Any], useful_s: float) -> None:
        """Post as soon as possible, and not at all when `useful_s` have passed."""


class Reporter:
    """Posts JSON to a service.

    Args:
        url: of the service; paths are below it.
        token: who tells; sent as a bearer token.
        ca: certificates to trust; None: those of the system.

    Raises:
        ValueError: the URL is none.
    """

    def __init__(self, url: str, token: str | None = None, ca: Path | None = None) -> None:
        self._connection, self._base = connection_to(url, ca, _TIMEOUT_S)
        self.sent = self.refused = self.dropped = 0
        self._headers = {"Content-Type": "application/json", **authorization(token)}
        self._queue: deque[_Item] = deque()
        self._changed = Condition()
        self._closing = Event()
        self._close_at_s = math.inf
        self._thread = Thread(target=self._run, name="reporter", daemon=True)
        self._thread.start()

    def post(self, path: str, content: Mapping[str, Any], useful_s: float) -> None:
        """Post as soon as possible, and not at all when `useful_s` have passed.

        Where the queue is full the oldest makes room: the newest location is the one that counts.
        """
        body = json.dumps(content, allow_nan=False).encode()
        with self._changed:
            if len(self._queue) >= _QUEUE_MAX:
                self._queue.popleft()
                self.dropped += 1
            self._queue.append(_Item(path, body, time.monotonic() + useful_s))
            self._changed.notify()

    def close(self, within_s: float) -> None:
        """Try what is still in the queue once, for so long at most, and end."""
        with self._changed:
            self._close_at_s = time.monotonic() + within_s
            self._closing.set()
            self._changed.notify()
        self._thread.join(within_s + _TIMEOUT_S)

    def _run(self) -> None:
        while (item := self._next()) is not None:
            self._deliver(item)
        self._connection.close()

    def _next(self) -> _Item | None:
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closing.is_set())
            if self._queue and time.monotonic() < self._close_at_s:
                return self._queue.popleft()
            self.dropped += len(self._queue)
            return None

    def _deliver(self, item: _Item) -> None:
        pause_s = _FIRST_PAUSE_S
        while time.monotonic() < item.until_s:
            status = self._send(item)
            if status is not None and 200 <= status < 300:
                self.sent += 1
                return
            if status is not None and status < 500 and status not in _LATER:
                self.refused += 1
                _LOG.warning("%s was refused: HTTP status %d", item.path, status)
                return
            # Not all UEs at once when the service is back.
            if self._closing.wait(pause_s * random.uniform(0.5, 1.0)):  # noqa: S311 - no secret
                break
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        self.dropped += 1

    def _send(self, item: _Item) -> int | None:
        """The status of the answer; None where there was none."""
        try:
            self._connection.request("POST", self._base + item.path, item.body, self._headers)
            response = self._connection.getresponse()
            response.read()
            return response.status
        except (OSError, HTTPException) as error:
            # The next request opens the connection anew.
            self._connection.close()
            _LOG.info("%s was not posted: %s", item.path, error)
            return None
