"""Which trace each UE is to drive, and what the UEs tell of it.

An order is what is wanted and not what is to be done: a UE asks for the newest one, waits at RLapp
until there is another, and has missed nothing when it was away. Which traces there are is the UE's
to tell, and an order names one of them; a path never crosses.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from .events import Events
from .log import Log
from .store import Store, dumps

# A UE asks again at once. One that has not done so after this is not there.
_ABSENT_AFTER_S = 3.0

DriveState = Literal["ready", "driving", "arrived", "failed"]


@dataclass(frozen=True)
class Order:
    """What a UE is to drive; without a trace, to stand. `number` grows with each."""

    number: int = 0
    trace: str | None = None
    speed_mps: float | None = None
    loop: bool = False
    reverse: bool = False


@dataclass(frozen=True)
class Told:
    """What a UE does: about which order, what traces it has, and what went wrong."""

    state: DriveState = "ready"
    number: int = 0
    traces: list[str] = field(default_factory=list)
    error: str | None = None


class UnknownTrace(Exception):
    """The UE has no trace of that name."""


class Drives:
    """Keeps the newest order of each UE, and the last that it told."""

    def __init__(self, store: Store, events: Events, log: Log) -> None:
        self._store = store
        self._events = events
        self._log = log
        self._changed: dict[str, asyncio.Event] = {}
        self._waiting: Counter[str] = Counter()
        self._here: set[str] = set()
        self._closed = False

    def close(self) -> None:
        """Let all who wait for an order go."""
        self._closed = True
        for changed in self._changed.values():
            changed.set()

    def of(self, ue: str) -> dict[str, Any]:
        """Order, what was told, and whether the UE waits for orders now."""
        order, told = self._kept(ue)
        return {"order": asdict(order), "told": asdict(told), "here": ue in self._here}

    def order(self, ue: str, trace: str | None, **how: Any) -> Order:
        """Have a UE drive one of its traces, or stand; raises UnknownTrace."""
        before, told = self._kept(ue)
        if trace is not None and trace not in told.traces:
            raise UnknownTrace
        order = Order(before.number + 1, trace, **how)
        what = "a drive is asked for" if trace else "a drive is to end"
        self._log.info(what, ue=ue, trace=trace)
        self._keep(ue, order, told)
        self._wake(ue)
        return order

    def tell(self, ue: str, told: Told) -> None:
        """Keep what a UE told. An order that it is done with is none any more."""
        order, before = self._kept(ue)
        if told == before:
            return
        if told.number == order.number and told.state in ("arrived", "failed"):
            order = Order(order.number)
        if told.error:
            self._log.warning("a UE cannot drive", ue=ue, error=told.error)
        self._keep(ue, order, told)

    async def newer(self, ue: str, number: int, wait_s: float) -> Order | None:
        """The newest order, if it is another than `number`; waits for one, at most `wait_s`."""
        self._waiting[ue] += 1
        if ue not in self._here:
            self._here.add(ue)
            self._publish(ue)
        try:
            changed = self._changed.setdefault(ue, asyncio.Event())
            if self._kept(ue)[0].number == number and not self._closed:
                changed.clear()
                try:
                    await asyncio.wait_for(changed.wait(), wait_s)
                except TimeoutError:
                    return None
                if self._closed:  # and with it the store
                    return None
            order = self._kept(ue)[0]
            return None if order.number == number else order
        finally:
            self._waiting[ue] -= 1
            asyncio.get_running_loop().call_later(_ABSENT_AFTER_S, self._look_for, ue)

    def _look_for(self, ue: str) -> None:
        if not self._waiting[ue] and ue in self._here and not self._closed:
            self._here.remove(ue)
            self._publish(ue)

    def _wake(self, ue: str) -> None:
        if ue in self._changed:
            self._changed[ue].set()

    def _kept(self, ue: str) -> tuple[Order, Told]:
        row = self._store.row("SELECT drive_order, told FROM drives WHERE ue = ?", (ue,))
        if row is None:
            return Order(), Told()
        return Order(**json.loads(row["drive_order"])), Told(**json.loads(row["told"]))

    def _keep(self, ue: str, order: Order, told: Told) -> None:
        with self._store.transaction():
            self._store.execute(
                "INSERT INTO drives VALUES (?, ?, ?) ON CONFLICT (ue) DO UPDATE SET"
                " drive_order = excluded.drive_order, told = excluded.told",
                (ue, dumps(asdict(order)), dumps(asdict(told))),
            )
            self._publish(ue)

    def _publish(self, ue: str) -> None:
        self._events.publish("drive", ue=ue, **self.of(ue))
