"""What RLapp remembers: one SQLite database, which survives the end of the process at any moment.

All of it is used from the event loop: a statement takes some 20 us, and nothing has to be locked.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_SCHEMA = """
CREATE TABLE IF NOT EXISTS events (
    id INTEGER PRIMARY KEY AUTOINCREMENT, time_s REAL NOT NULL, type TEXT NOT NULL,
    data TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS ues (
    name TEXT PRIMARY KEY, time_s REAL NOT NULL, lat REAL NOT NULL, lon REAL NOT NULL,
    speed_mps REAL, heading_deg REAL, cell TEXT, access_point TEXT, signal_dbm TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS drives (
    ue TEXT PRIMARY KEY, drive_order TEXT NOT NULL, told TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS access_points (
    name TEXT PRIMARY KEY, status TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS handoffs (
    id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT UNIQUE, run TEXT UNIQUE NOT NULL,
    ue TEXT NOT NULL, source_cell TEXT, target_cell TEXT NOT NULL, ho_status TEXT,
    apps TEXT NOT NULL, state TEXT NOT NULL, origin TEXT NOT NULL, asked_s REAL NOT NULL,
    expected_s REAL, started_s REAL, ended_s REAL, plan TEXT, phase TEXT, error TEXT);
CREATE INDEX IF NOT EXISTS handoffs_by_state ON handoffs (state);
CREATE TABLE IF NOT EXISTS relocations (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, app TEXT NOT NULL,
    time TEXT NOT NULL, handoff INTEGER NOT NULL, record TEXT NOT NULL, UNIQUE (id, app, time));
CREATE TABLE IF NOT EXISTS ends (
    handoff INTEGER NOT NULL, app TEXT NOT NULL, outcome TEXT NOT NULL,
    PRIMARY KEY (handoff, app));
CREATE TABLE IF NOT EXISTS instances (
    app TEXT NOT NULL, me_host TEXT NOT NULL, name TEXT NOT NULL, address TEXT NOT NULL,
    state TEXT NOT NULL, PRIMARY KEY (app, me_host));
CREATE TABLE IF NOT EXISTS subscriptions (
    id TEXT PRIMARY KEY, kind TEXT NOT NULL, body TEXT NOT NULL, created_s REAL NOT NULL,
    expires_s REAL, progress TEXT NOT NULL DEFAULT '{}');
CREATE INDEX IF NOT EXISTS subscriptions_by_kind ON subscriptions (kind);
CREATE TABLE IF NOT EXISTS services (
    id TEXT PRIMARY KEY, body TEXT NOT NULL, expires_s REAL);
CREATE TABLE IF NOT EXISTS deliveries (
    id INTEGER PRIMARY KEY AUTOINCREMENT, subscription TEXT NOT NULL, url TEXT NOT NULL,
    body TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, due_s REAL NOT NULL);
CREATE TABLE IF NOT EXISTS sessions (
    hash TEXT PRIMARY KEY, expires_s REAL NOT NULL);
CREATE TABLE IF NOT EXISTS links (
    hash TEXT PRIMARY KEY, expires_s REAL NOT NULL);
"""


class Store:
    """The database. A write outside of a transaction is one by itself."""

    def __init__(self, file: Path) -> None:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._db = sqlite3.connect(file, isolation_level=None, timeout=5, check_same_thread=False)
        file.chmod(0o600)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA journal_mode = WAL")
        # What a killed process has written stays; only a power cut can take the last of it.
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the file; nothing is lost without it."""
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything within, or nothing of it."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def execute(self, statement: str, values: Mapping[str, Any] | tuple[Any, ...] = ()) -> int:
        """Write; returns how many rows were."""
        return self._db.execute(statement, values).rowcount

    def insert(self, statement: str, values: Mapping[str, Any] | tuple[Any, ...] = ()) -> int:
        """Write one row; returns its number."""
        number = self._db.execute(statement, values).lastrowid
        assert number is not None  # noqa: S101 an INSERT has one
        return number

    def rows(
        self, query: str, values: Mapping[str, Any] | tuple[Any, ...] = ()
    ) -> list[dict[str, Any]]:
        """Read all rows."""
        return [dict(row) for row in self._db.execute(query, values)]

    def row(
        self, query: str, values: Mapping[str, Any] | tuple[Any, ...] = ()
    ) -> dict[str, Any] | None:
        """Read the first row."""
        row = self._db.execute(query, values).fetchone()
        return None if row is None else dict(row)

    def count(self, query: str, values: Mapping[str, Any] | tuple[Any, ...] = ()) -> int:
        """Read a number."""
        return int(self._db.execute(query, values).fetchone()[0])


def dumps(value: object) -> str:
    """JSON as it is kept and sent: compact, and numbers that every reader knows."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False)
