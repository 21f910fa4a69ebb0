"""Which trace RLapp wants this UE to drive.

An order is what is wanted, and the newest is the only one that counts. The UE asks for it, and its
request waits at RLapp until there is another: so nobody has to reach the UE, and nothing is missed
while there is no connection. An order names one of the traces of a folder of the UE.
"""

from __future__ import annotations

import json
import logging
import math
import random
import re
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from threading import Condition, Event, Thread

from .reporter import Tells, authorization, connection_to
from .trace_file import SUFFIXES

_LOG = logging.getLogger(__name__)
_WAIT_S = 25.0
# A bit longer than RLapp lets a request wait.
_TIMEOUT_S = 35.0
_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 5.0
# What a UE has and does is true until it tells otherwise, however late RLapp comes.
_REPORT_USEFUL_S = math.inf
# What RLapp takes.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_TRACES_MAX = 100
_ERROR_MAX = 500


@dataclass(frozen=True)
class Order:
    """What is wanted: a trace and how to drive it; without a trace, to stand."""

    number: int
    trace: str | None = None
    speed_mps: float | None = None
    loop: bool = False
    reverse: bool = False


class Orders:
    """Asks for orders in a thread of its own.

    Args:
        url: of RLapp.
        ue: this UE.
        token: who asks; sent as a bearer token.
        ca: certificates to trust; None: those of the system.

    Raises:
        ValueError: the URL is none.
    """

    def __init__(self, url: str, ue: str, token: str | None, ca: Path | None = None) -> None:
        self._connection, base = connection_to(url, ca, _TIMEOUT_S)
        self._path = f"{base}/api/ues/{ue}/order"
        self._headers = authorization(token)
        self._newest = Order(0)
        self._changed = Condition()
        self._closing = Event()
        Thread(target=self._run, name="orders", daemon=True).start()

    def wants(self, order: Order) -> bool:
        """Whether there is no other order since."""
        with self._changed:
            return self._newest == order

    def other_than(self, number: int) -> Order:
        """Wait for another order than that; number 0 is there before the first."""
        with self._changed:
            self._changed.wait_for(lambda: self._newest.number != number)
            return self._newest

    def close(self) -> None:
        """Ask no more."""
        self._closing.set()

    def _run(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while not self._closing.is_set():
            try:
                order = self._ask()
            except (OSError, HTTPException, ValueError, TypeError) as error:
                _LOG.info("no order came: %s", error)
                self._connection.close()
                # Not all UEs at once when the service is back.
                self._closing.wait(pause_s * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
                continue
            pause_s = _FIRST_PAUSE_S
            if order is not None:
                with self._changed:
                    self._newest = order
                    self._changed.notify_all()

    def _ask(self) -> Order | None:
        """The order that counts, if it is another one than the newest here."""
        after = f"?after={self._newest.number}&wait_s={_WAIT_S:g}"
        self._connection.request("GET", self._path + after, headers=self._headers)
        response = self._connection.getresponse()
        body = response.read()
        if response.status == 204:
            return None
        if response.status != 200:
            _LOG.warning("orders were refused: HTTP status %d", response.status)
            raise ValueError(f"HTTP status {response.status}")
        return Order(**json.loads(body))


class Drives:
    """The traces of a folder, and what RLapp is told of driving them.

    Raises:
        OSError: the folder cannot be read.
    """

    def __init__(self, folder: Path, ue: str, told: Tells) -> None:
        names = sorted(
            file.name
            for file in folder.iterdir()
            if file.suffix.lower() in SUFFIXES and _NAME.fullmatch(file.name)
        )
        self._files = {name: folder / name for name in names[:_TRACES_MAX]}
        self._path = f"/api/ues/{ue}/drive"
        self._told = told

    def file(self, trace: str) -> Path | None:
        """The file of a trace; None for a name that none has."""
        return self._files.get(trace)

    def tell(self, state: str, number: int, error: str | None = None) -> None:
        """Tell what is done about an order: `ready`, `driving`, `arrived` or `failed`."""
        content = {
            "state": state,
            "number": number,
            "traces": list(self._files),
            "error": error and error[:_ERROR_MAX],
        }
        self._told.post(self._path, content, _REPORT_USEFUL_S)
