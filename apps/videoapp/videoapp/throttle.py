"""A bound on attempts: so many for a key within a window of time."""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable

# Keys are chosen by strangers: the oldest are forgotten before they fill the memory.
_MAX_KEYS = 10_000


class Throttle:
    """Counts attempts for each key in a sliding window.

    It lives in memory and begins anew with each instance: a relocation gives an attacker `limit`
    more attempts, which does not make guessing a password feasible.
    """

    def __init__(
        self, limit: int, window_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.limit = limit
        self.window_s = window_s
        self._clock = clock
        self._attempts: OrderedDict[str, deque[float]] = OrderedDict()

    def wait_s(self, key: str) -> float:
        """How long until `key` may try again; 0 when it may now."""
        attempts = self._recent(key)
        if len(attempts) < self.limit:
            return 0.0
        return attempts[0] + self.window_s - self._clock()

    def count(self, key: str) -> None:
        """Count an attempt, before it is known how it ends: parallel attempts all count."""
        attempts = self._recent(key)
        attempts.append(self._clock())
        self._attempts[key] = attempts
        self._attempts.move_to_end(key)
        if len(self._attempts) > _MAX_KEYS:
            self._attempts.popitem(last=False)

    def refund(self, key: str) -> None:
        """Take back the newest attempt: it succeeded."""
        attempts = self._attempts.get(key)
        if attempts:
            attempts.pop()

    def _recent(self, key: str) -> deque[float]:
        attempts = self._attempts.get(key) or deque()
        oldest = self._clock() - self.window_s
        while attempts and attempts[0] <= oldest:
            attempts.popleft()
        return attempts
