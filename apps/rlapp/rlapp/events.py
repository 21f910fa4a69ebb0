"""What happens, as a sequence of numbered events that a page can follow and catch up with."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from .store import Store, dumps

# A reader who is further behind than this gets the rest from the database.
_BUFFERED = 256
_PRUNE_EVERY = 500


@dataclass(frozen=True)
class Event:
    """Something that happened; `data` is JSON."""

    id: int
    type: str
    data: str


class Events:
    """Keeps the newest events on disk and wakes whoever follows them.

    A reader holds nothing but the number of the last event that he has seen, so that a slow one
    costs no memory.
    """

    def __init__(self, store: Store, kept: int) -> None:
        self._store = store
        self._kept = kept
        self._happened = asyncio.Condition()
        self._wakers: set[asyncio.Task[None]] = set()
        self.closed = False
        self.readers = 0

    def publish(self, kind: str, **data: Any) -> None:
        """Keep an event and tell it. Within a transaction, it is kept with the rest."""
        now_s = time.time()
        number = self._store.insert(
            "INSERT INTO events (time_s, type, data) VALUES (?, ?, ?)",
            (now_s, kind, dumps({"time_s": round(now_s, 3), **data})),
        )
        if number % _PRUNE_EVERY == 0:
            self._store.execute("DELETE FROM events WHERE id <= ?", (number - self._kept,))
        self._wake()

    def close(self) -> None:
        """Let all readers end."""
        self.closed = True
        self._wake()

    @property
    def newest(self) -> int:
        """The number of the last event; 0 before the first."""
        return self._store.count("SELECT coalesce(max(id), 0) FROM events")

    def forgotten(self, number: int) -> bool:
        """Whether what came after `number` is not kept any more, or never was."""
        oldest = self._store.count("SELECT coalesce(min(id), 1) FROM events")
        return not oldest - 1 <= number <= self.newest

    def last(self, kind: str, limit: int) -> list[Event]:
        """The newest events of a type, the oldest of them first."""
        rows = self._store.rows(
            "SELECT id, type, data FROM events WHERE type = ? ORDER BY id DESC LIMIT ?",
            (kind, limit),
        )
        return [Event(**row) for row in reversed(rows)]

    def after(self, number: int) -> list[Event]:
        """The next events after `number`, as far as they are kept."""
        rows = self._store.rows(
            "SELECT id, type, data FROM events WHERE id > ? ORDER BY id LIMIT ?",
            (number, _BUFFERED),
        )
        return [Event(**row) for row in rows]

    async def follow(self, number: int, alive_s: float) -> AsyncIterator[Event | None]:
        """All events after `number`, those to come included, until the service ends.

        None is a sign of life, where nothing has happened for `alive_s`.
        """
        while not self.closed:
            batch = self.after(number)
            for event in batch:
                number = event.id
                yield event
            if not batch:
                async with self._happened:
                    # Between the look and the wait nothing can be published: there is no await.
                    if not self.closed and self.newest <= number:
                        try:
                            await asyncio.wait_for(self._happened.wait(), alive_s)
                        except TimeoutError:
                            yield None

    def _wake(self) -> None:
        try:
            task = asyncio.get_running_loop().create_task(self._notify())
        except RuntimeError:
            return  # before the loop runs nobody follows
        self._wakers.add(task)
        task.add_done_callback(self._wakers.discard)

    async def _notify(self) -> None:
        async with self._happened:
            self._happened.notify_all()
