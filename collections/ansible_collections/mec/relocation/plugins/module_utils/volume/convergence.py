# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether the deltas of a volume become small enough for the hold, or an app writes too fast.

While one delta is sent, the next one gathers. So they become smaller as long as the app writes more
slowly than the way to the target takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

# A delta of this size is not worth another one: it costs about as much as an empty one.
_SMALL_BYTES = 64 * 1024
_SMALL_S = 0.01
# Two more deltas have to make them so much smaller. One alone may have met a busy disk.
_SHRINK_TO = 0.8
_MAX_DELTAS = 10
_MAX_S = 60.0


@dataclass(frozen=True)
class Delta:
    """A delta that was sent while the source served.

    Attributes:
        bytes: what crossed.
        gathered_s: from the look at the volume before to the one that found it.
        sent_s: from then on until the target had it.
    """

    bytes: int
    gathered_s: float
    sent_s: float

    @property
    def written_bytes_s(self) -> float:
        """How fast the app writes what has to cross."""
        return self.bytes / self.gathered_s

    @property
    def crossed_bytes_s(self) -> float:
        """How fast that crosses, with all that belongs to it."""
        return self.bytes / self.sent_s


def expected(deltas: Sequence[Delta]) -> Delta:
    """The delta that comes next, if the app goes on as it does.

    None is expected to be larger than the one before it: a single busy moment would look like that.
    """
    last = deltas[-1]
    if len(deltas) == 1:
        # Not like the others: it gathered during a pass of rsync, and large files go whole in it.
        return last
    factor = min(last.sent_s / last.gathered_s, 1.0)
    return Delta(round(last.bytes * factor), last.gathered_s * factor, last.sent_s * factor)


def another_pays(deltas: Sequence[Delta]) -> bool:
    """Whether to send another delta, before the last one is sent in the hold."""
    coming = expected(deltas)
    if coming.bytes <= _SMALL_BYTES and coming.sent_s <= _SMALL_S:
        return False
    if len(deltas) > 2 and deltas[-1].sent_s > _SHRINK_TO * deltas[-3].sent_s:
        return False
    # However long the first takes, it says nothing of those after it.
    return len(deltas) < _MAX_DELTAS and sum(delta.sent_s for delta in deltas[1:]) < _MAX_S
