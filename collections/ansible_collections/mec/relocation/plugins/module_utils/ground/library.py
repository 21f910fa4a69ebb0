# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The library itself: its version, where it lies, and which one is installed on this host."""

from __future__ import annotations

import json
from pathlib import Path

# Both ends of a channel compare it.
VERSION = "0.1.0"
ROOT = Path(__file__).parents[1]
# Written by the module `agent`, which installs the library: file names and their digests.
DIGESTS = ROOT / "digests.json"


def digests() -> dict[str, str]:
    """Return the digests of the files of the library that is installed here."""
    found: dict[str, str] = json.loads(DIGESTS.read_text())
    return found


def stamp() -> tuple[int, int] | None:
    """Tell which library is installed; the file is written again with each."""
    try:
        found = DIGESTS.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns
