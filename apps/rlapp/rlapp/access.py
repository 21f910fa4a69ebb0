"""Who may use the service: people by a password or a link, machines by a token."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

from .config import Config
from .store import Store

SESSION_S = 7 * 86_400
LINK_S = 3600
_SESSIONS_MAX = 1000
_ATTEMPTS_MAX = 10
_ATTEMPTS_WINDOW_S = 60.0


class TooManyAttempts(Exception):
    """A password is being guessed; all have to wait."""


@dataclass(frozen=True)
class Client:
    """Somebody who may use the service. `ue`: a UE, which may report itself and nothing else."""

    name: str
    ue: str | None = None


def secret_of(file: Path) -> str:
    """The secret in a file; one is made where there is none, for its owner's eyes alone."""
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        secret = file.read_text(encoding="utf-8").strip()
        if len(secret) < 16:
            raise ValueError(f"{file}: a secret has 16 characters or more") from None
        return secret
    with open(descriptor, "w", encoding="utf-8") as stream:
        secret = secrets.token_urlsafe(24)
        stream.write(secret + "\n")
    return secret


class Access:
    """Passwords and tokens are compared in constant time, what clients keep is kept as a hash."""

    def __init__(self, config: Config, store: Store) -> None:
        self._store = store
        self._password = _hash(secret_of(config.password_file))
        self._tokens = {
            _hash(secret_of(token.file)): Client(name, token.ue)
            for name, token in config.tokens.items()
        }
        self._attempts: list[float] = []

    def sign_in(self, password: str) -> str | None:
        """A new session's token where the password is right; raises TooManyAttempts."""
        now_s = time.monotonic()
        self._attempts = [then for then in self._attempts if then > now_s - _ATTEMPTS_WINDOW_S]
        if len(self._attempts) >= _ATTEMPTS_MAX:
            raise TooManyAttempts
        if not hmac.compare_digest(_hash(password), self._password):
            self._attempts.append(now_s)
            return None
        return self._new_session()

    def follow_link(self, code: str) -> str | None:
        """A new session's token for a link that was not used before."""
        used = self._store.execute(
            "DELETE FROM links WHERE hash = ? AND expires_s > ?", (_hash(code), time.time())
        )
        return self._new_session() if used else None

    def sign_out(self, session: str) -> None:
        """End a session."""
        self._store.execute("DELETE FROM sessions WHERE hash = ?", (_hash(session),))

    def by_session(self, session: str) -> Client | None:
        """Who has this session."""
        row = self._store.row(
            "SELECT 1 FROM sessions WHERE hash = ? AND expires_s > ?",
            (_hash(session), time.time()),
        )
        return Client("operator") if row else None

    def by_token(self, token: str) -> Client | None:
        """Whose token this is. Found by its hash, of which a guess tells nothing."""
        return self._tokens.get(_hash(token))

    def _new_session(self) -> str:
        session = secrets.token_urlsafe(32)
        now_s = time.time()
        with self._store.transaction():
            self._store.execute("DELETE FROM sessions WHERE expires_s <= ?", (now_s,))
            self._store.execute(
                "INSERT INTO sessions VALUES (?, ?)", (_hash(session), now_s + SESSION_S)
            )
            self._store.execute(
                "DELETE FROM sessions WHERE hash NOT IN"
                " (SELECT hash FROM sessions ORDER BY expires_s DESC LIMIT ?)",
                (_SESSIONS_MAX,),
            )
        return session


def new_link(store: Store) -> str:
    """A code that signs in once, soon."""
    code = secrets.token_urlsafe(32)
    now_s = time.time()
    store.execute("DELETE FROM links WHERE expires_s <= ?", (now_s,))
    store.execute("INSERT INTO links VALUES (?, ?)", (_hash(code), now_s + LINK_S))
    return code


def sign_in_url(config: Config, store: Store) -> str:
    """A link that signs in once, soon."""
    return f"{config.url}/sign-in/{new_link(store)}"


def _hash(secret: str) -> str:
    # Secrets are random and long: nothing slower than this is needed.
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
