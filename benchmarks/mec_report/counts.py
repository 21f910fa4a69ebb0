# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is counted over relocations, whatever became of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from .records import OUTCOMES, Preparation, Relocation


def outcomes(relocations: Sequence[Relocation]) -> dict[str, int]:
    """How many relocations there are, and how they ended."""
    counted = Counter(relocation.outcome for relocation in relocations)
    return {"count": len(relocations), **{outcome: counted[outcome] for outcome in OUTCOMES}}


def requests(relocations: Iterable[Relocation]) -> dict[str, int]:
    """The requests of the UE's probe."""
    seen = [relocation.client for relocation in relocations if relocation.client]
    return {
        "sent": sum(client.sent for client in seen),
        "failed": sum(client.failed for client in seen),
    }


def bytes_of(moved: Iterable[Relocation | Preparation]) -> int:
    """What relocations or preparations moved together."""
    return sum(each.bytes for each in moved)
