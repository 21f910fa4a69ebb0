"""Subscriptions of all kinds: kept on disk, limited in number, gone when they expire."""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from dataclasses import dataclass
from typing import Any, Literal

from ..config import Config
from ..store import Store, dumps

Kind = Literal[
    "userTracking",
    "zonalTraffic",
    "zoneStatus",
    "area/circle",
    "distance",
    "periodic",
    "mobility_proc",
    "adj_app_info",
    "cell_change",
]
BASES: dict[Kind, str] = {
    "userTracking": "/location/v2/subscriptions/userTracking",
    "zonalTraffic": "/location/v2/subscriptions/zonalTraffic",
    "zoneStatus": "/location/v2/subscriptions/zoneStatus",
    "area/circle": "/location/v2/subscriptions/area/circle",
    "distance": "/location/v2/subscriptions/distance",
    "periodic": "/location/v2/subscriptions/periodic",
    "mobility_proc": "/amsi/v1/subscriptions",
    "adj_app_info": "/amsi/v1/subscriptions",
    "cell_change": "/rni/v2/subscriptions",
}


class TooMany(Exception):
    """No more subscriptions are kept."""


@dataclass
class Subscription:
    """A subscription. `body` is what its client sent, `progress` what was told so far."""

    id: str
    kind: Kind
    body: dict[str, Any]
    url: str
    created_s: float
    expires_s: float | None
    progress: dict[str, Any]

    @property
    def callback(self) -> str:
        """Where its notifications go."""
        reference = self.body["callbackReference"]
        return str(reference["notifyURL"] if isinstance(reference, dict) else reference)

    @property
    def etag(self) -> str:
        """Changes with what a client can change."""
        return etag(self.body)


def etag(body: dict[str, Any]) -> str:
    """Tells one state of what a client has sent from another."""
    return f'"{hashlib.sha256(dumps(body).encode()).hexdigest()[:16]}"'


class Subscriptions:
    """All subscriptions of all interfaces."""

    def __init__(self, config: Config, store: Store) -> None:
        self._config = config
        self._store = store

    def create(self, kind: Kind, body: dict[str, Any], expires_s: float | None) -> Subscription:
        """Keep a new one; raises TooMany."""
        if self._store.count("SELECT count(*) FROM subscriptions") >= (
            self._config.limits.subscriptions
        ):
            raise TooMany
        number = secrets.token_hex(8)
        self._store.execute(
            "INSERT INTO subscriptions (id, kind, body, created_s, expires_s)"
            " VALUES (?, ?, ?, ?, ?)",
            (number, kind, dumps(body), time.time(), expires_s),
        )
        created = self.find(number, kind)
        assert created is not None  # noqa: S101 it was just kept
        return created

    def replace(
        self, subscription: Subscription, body: dict[str, Any], expires_s: float | None
    ) -> Subscription:
        """Put another body in its place; it begins anew."""
        self._store.execute(
            "UPDATE subscriptions SET body = ?, expires_s = ?, created_s = ?, progress = '{}'"
            " WHERE id = ?",
            (dumps(body), expires_s, time.time(), subscription.id),
        )
        replaced = self.find(subscription.id, subscription.kind)
        assert replaced is not None  # noqa: S101 it was found before
        return replaced

    def delete(self, subscription: Subscription) -> None:
        """Forget it, and what was still to be told."""
        self._store.execute("DELETE FROM subscriptions WHERE id = ?", (subscription.id,))
        self._store.execute("DELETE FROM deliveries WHERE subscription = ?", (subscription.id,))

    def find(self, number: str, *kinds: Kind) -> Subscription | None:
        """The one of this id, where it is of one of these kinds and has not expired."""
        row = self._store.row("SELECT * FROM subscriptions WHERE id = ?", (number,))
        if row is None or row["kind"] not in kinds:
            return None
        if row["expires_s"] is not None and row["expires_s"] <= time.time():
            return None
        return self._subscription(row)

    def all(self, kind: Kind) -> list[Subscription]:
        """All of a kind that have not expired."""
        rows = self._store.rows(
            "SELECT * FROM subscriptions WHERE kind = ? AND (expires_s IS NULL OR expires_s > ?)"
            " ORDER BY created_s, id",
            (kind, time.time()),
        )
        return [self._subscription(row) for row in rows]

    def expired(self) -> list[Subscription]:
        """Those that have expired and are still to be deleted."""
        rows = self._store.rows(
            "SELECT * FROM subscriptions WHERE expires_s <= ? ORDER BY expires_s", (time.time(),)
        )
        return [self._subscription(row) for row in rows]

    def forget(self, subscription: Subscription) -> None:
        """Forget an expired one; what was still to be told is told."""
        self._store.execute("DELETE FROM subscriptions WHERE id = ?", (subscription.id,))

    def note(self, subscription: Subscription) -> None:
        """Keep its progress."""
        self._store.execute(
            "UPDATE subscriptions SET progress = ? WHERE id = ?",
            (dumps(subscription.progress), subscription.id),
        )

    def _subscription(self, row: dict[str, Any]) -> Subscription:
        return Subscription(
            id=row["id"],
            kind=row["kind"],
            body=json.loads(row["body"]),
            url=f"{self._config.url}{BASES[row['kind']]}/{row['id']}",
            created_s=row["created_s"],
            expires_s=row["expires_s"],
            progress=json.loads(row["progress"]),
        )
