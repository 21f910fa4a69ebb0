# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether an instance can be activated, and whether it serves: asked over HTTP."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable

from ..ground.app import App
from ..ground.errors import RelocationError
from .instance import Instance

_PAUSE_S = 0.002
_TIMEOUT_S = 2.0
_ACCEPTED = 202


class Health:
    """The paths of one instance that tell how it is.

    Args:
        app: the app.
        instance: its instance.
        called: what errors call it.
    """

    def __init__(self, app: App, instance: Instance, called: str) -> None:
        self._app = app
        self._address = instance.address
        self._called = called

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
            lambda: self._get(path),
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
            lambda: self._get(path),
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
            lambda: self._ask("POST", path, max(deadline - time.monotonic(), 0.1)),
            lambda status: status is not None and 200 <= status < 300,
            # Nobody there yet, or a front whose service is not: it may be asked again.
            lambda status: status in (None, 502, 503),
            deadline,
            f"POST {path}",
        )
        return status != _ACCEPTED

    def _get(self, path: str) -> int | None:
        return self._ask("GET", path, _TIMEOUT_S)

    def _ask(self, method: str, path: str, timeout_s: float) -> int | None:
        """The status of one HTTP request, or None where nothing answers."""
        connection = http.client.HTTPConnection(self._address, self._app.port, timeout=timeout_s)
        try:
            connection.request(method, path, b"" if method == "POST" else None)
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()

    def _until(
        self,
        ask: Callable[[], int | None],
        good: Callable[[int | None], bool],
        again: Callable[[int | None], bool],
        deadline: float,
        what: str,
    ) -> int | None:
        """Ask for an HTTP status until it is good; raise when it is final, or time is up."""
        while not good(status := ask()):
            if not again(status) or time.monotonic() > deadline:
                raise RelocationError(
                    f"{self._called}: {what} was answered with {status or 'nothing'}.",
                    "The instance's log tells more.",
                )
            time.sleep(_PAUSE_S)
        return status
