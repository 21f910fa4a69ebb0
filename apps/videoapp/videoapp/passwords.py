"""Passwords, hashed with argon2id (RFC 9106)."""

from __future__ import annotations

import secrets

from argon2 import PasswordHasher, Type
from argon2.exceptions import VerificationError

# 19 MiB, 2 passes: the OWASP Password Storage Cheat Sheet's first choice for argon2id. RFC 9106's
# 64 MiB would let a few concurrent sign-ins fill a small container's memory.
_HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1, type=Type.ID)
MIN_LENGTH = 8
MAX_LENGTH = 256

# Verified in place of the hash that an unknown user does not have, so that it takes as long.
_NOBODY = _HASHER.hash(secrets.token_urlsafe())


def hash_password(password: str) -> str:
    """Hash a password; raises ValueError when it is too short or absurdly long."""
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        raise ValueError(f"a password has {MIN_LENGTH} to {MAX_LENGTH} characters")
    return _HASHER.hash(password)


def password_matches(password_hash: str | None, password: str) -> bool:
    """Whether the password belongs to the hash; as slow for a user who is not there (None)."""
    try:
        _HASHER.verify(password_hash or _NOBODY, password[:MAX_LENGTH])
    except VerificationError:
        return False
    return password_hash is not None
