# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Start Radicale; on an empty PV, make its one user from the environment first."""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path

USERS = Path("/data/users")
# Radicale compares the password at every request. A long random password needs no slow hash, so a
# short one is refused.
MIN_LENGTH = 20
COST = 5


def make_user(name: str, password: str) -> None:
    """Write the file of users, whole or not at all."""
    if not name or ":" in name or len(password) < MIN_LENGTH:
        sys.exit(
            "There is no user yet: set RADICALE_USER, and RADICALE_PASSWORD to a password "
            f"of at least {MIN_LENGTH} random characters."
        )
    import bcrypt  # needed once in the life of a PV

    hashed = bcrypt.hashpw(password.encode(), bcrypt.gensalt(COST)).decode()
    draft = USERS.with_suffix(".draft")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(f"{name}:{hashed}\n")
        out.flush()
        os.fsync(out.fileno())
    draft.rename(USERS)


def main() -> None:
    """Become Radicale: within this process, because a second interpreter would cost downtime."""
    if not USERS.exists():
        make_user(os.environ.get("RADICALE_USER", ""), os.environ.get("RADICALE_PASSWORD", ""))
    sys.argv = ["radicale", "--config", "/etc/radicale.ini"]
    runpy.run_module("radicale", run_name="__main__")


if __name__ == "__main__":
    main()
