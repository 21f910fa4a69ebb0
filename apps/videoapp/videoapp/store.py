"""What an instance keeps on its PV: users, sessions and watch positions, in SQLite.

Write-ahead log and `synchronous=FULL`: when a method that writes returns, what it wrote is on the
disk. A frozen instance can be copied file by file at any instant: the log that is copied with the
database is replayed, or its unfinished end ignored, when the copy is opened (sqlite.org/wal.html).
"""

from __future__ import annotations

import hashlib
import re
import secrets
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SESSION_S = 30 * 24 * 3600.0
_USER_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,31}")
_VERSION = 1
_SCHEMA = """
CREATE TABLE users (
    name TEXT PRIMARY KEY,
    password_hash TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE sessions (
    token_hash BLOB PRIMARY KEY,
    user TEXT NOT NULL REFERENCES users (name) ON DELETE CASCADE,
    expires_s REAL NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE positions (
    user TEXT NOT NULL REFERENCES users (name) ON DELETE CASCADE,
    video TEXT NOT NULL,
    viewing INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    position_s REAL NOT NULL,
    PRIMARY KEY (user, video)
) STRICT, WITHOUT ROWID;
"""


class StoreError(Exception):
    """The PV holds no usable database; the message names the file and the reason."""


class UserError(Exception):
    """A user cannot be added or changed; the message says why."""


@dataclass(frozen=True)
class Position:
    """How far a user has watched a video, and which write said so.

    A viewing is numbered by the store when a player opens; its writes are numbered by the player.
    So (viewing, seq) orders all writes without anybody's clock.
    """

    viewing: int
    seq: int
    position_s: float


def _hash_token(token: str) -> bytes:
    """Tokens are random and long: a plain hash is enough to make a stolen PV useless."""
    return hashlib.sha256(token.encode()).digest()


def _connect(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(file, timeout=5, isolation_level=None, check_same_thread=False)


class Store:
    """The open database, usable from any thread.

    One connection writes, one statement at a time; another reads, and does not wait until what is
    written is on the disk.
    """

    def __init__(self, file: Path) -> None:
        """Open the database, or create it on an empty PV.

        Raises:
            StoreError: the file cannot be opened, or was written by a newer version.
        """
        self._lock = threading.Lock()
        self._reader_lock = threading.Lock()
        try:
            self._db = _connect(file)
            # A short log: the log is what crosses to the target while no instance serves.
            self._db.executescript(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
                "PRAGMA wal_autocheckpoint = 64; PRAGMA foreign_keys = ON;"
            )
            with self._transaction() as db:
                version = db.execute("PRAGMA user_version").fetchone()[0]
                if version == 0:
                    for statement in _SCHEMA.split(";\n"):
                        db.execute(statement)
                    db.execute(f"PRAGMA user_version = {_VERSION}")
            self._reader = _connect(file)
            self._reader.execute("PRAGMA query_only = ON")
        except sqlite3.Error as error:
            raise StoreError(f"cannot open {file}: {error}") from error
        if version > _VERSION:
            self.close()
            raise StoreError(f"{file} is of version {version}; this videoapp knows {_VERSION}")

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def close(self) -> None:
        """Close the database; the log is folded into it."""
        with self._reader_lock:
            self._reader.close()
        with self._lock:
            self._db.close()

    def _read(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        with self._reader_lock:
            return self._reader.execute(statement, parameters).fetchall()

    def check(self) -> None:
        """Read from the database; raises sqlite3.Error when the PV does not answer."""
        self._read("SELECT count(*) FROM users")

    def users(self) -> list[str]:
        """The names of all users."""
        return [name for (name,) in self._read("SELECT name FROM users ORDER BY name")]

    def add_user(self, name: str, password_hash: str) -> None:
        """Add a user; raises UserError when the name is taken or is no name."""
        if not _USER_NAME.fullmatch(name):
            raise UserError(
                f"{name!r} is no user name: 1 to 32 of a-z, 0-9, '.', '_' and '-', "
                "beginning with a letter or a digit"
            )
        try:
            with self._transaction() as db:
                db.execute("INSERT INTO users VALUES (?, ?)", (name, password_hash))
        except sqlite3.IntegrityError as error:
            raise UserError(f"user {name!r} exists already") from error

    def set_password(self, name: str, password_hash: str) -> None:
        """Give a user a new password and end all sessions; raises UserError if unknown."""
        with self._transaction() as db:
            changed = db.execute(
                "UPDATE users SET password_hash = ? WHERE name = ?", (password_hash, name)
            )
            if not changed.rowcount:
                raise UserError(f"there is no user {name!r}")
            db.execute("DELETE FROM sessions WHERE user = ?", (name,))

    def password_hash(self, name: str) -> str | None:
        """The hash of a user's password; None for an unknown user."""
        rows = self._read("SELECT password_hash FROM users WHERE name = ?", name)
        return str(rows[0][0]) if rows else None

    def start_session(self, user: str) -> str:
        """Sign a user in; returns the token, of which only a hash is kept."""
        token = secrets.token_urlsafe(32)
        now_s = time.time()
        with self._transaction() as db:
            db.execute("DELETE FROM sessions WHERE expires_s < ?", (now_s,))
            db.execute(
                "INSERT INTO sessions VALUES (?, ?, ?)",
                (_hash_token(token), user, now_s + SESSION_S),
            )
        return token

    def session_user(self, token: str) -> str | None:
        """The user whose session the token is; None when there is none."""
        rows = self._read(
            "SELECT user FROM sessions WHERE token_hash = ? AND expires_s >= ?",
            _hash_token(token),
            time.time(),
        )
        return str(rows[0][0]) if rows else None

    def end_session(self, token: str) -> None:
        """Sign out; a token that is no session is no error."""
        with self._transaction() as db:
            db.execute("DELETE FROM sessions WHERE token_hash = ?", (_hash_token(token),))

    def positions(self, user: str) -> dict[str, Position]:
        """A user's position in each video that was opened."""
        rows = self._read(
            "SELECT video, viewing, seq, position_s FROM positions WHERE user = ?", user
        )
        return {video: Position(*rest) for video, *rest in rows}

    def start_viewing(self, user: str, video: str) -> Position:
        """Begin a viewing where the last one ended; writes of earlier viewings are late now."""
        with self._transaction() as db:
            row = db.execute(
                "INSERT INTO positions VALUES (?, ?, 1, 0, 0.0)"
                " ON CONFLICT (user, video) DO UPDATE SET viewing = viewing + 1, seq = 0"
                " RETURNING viewing, seq, position_s",
                (user, video),
            ).fetchone()
        return Position(*row)

    def save_position(self, user: str, video: str, written: Position) -> Position | None:
        """Keep a position unless a newer one is there already; returns the one that is kept.

        A write counts when its viewing is the newest and no later write of it has come. None when
        nothing of this user and video is known.
        """
        with self._transaction() as db:
            db.execute(
                "UPDATE positions SET seq = :seq, position_s = :position_s"
                " WHERE user = :user AND video = :video AND viewing = :viewing AND seq < :seq",
                {
                    "user": user,
                    "video": video,
                    "viewing": written.viewing,
                    "seq": written.seq,
                    "position_s": written.position_s,
                },
            )
            row = db.execute(
                "SELECT viewing, seq, position_s FROM positions WHERE user = ? AND video = ?",
                (user, video),
            ).fetchone()
        return row and Position(*row)
