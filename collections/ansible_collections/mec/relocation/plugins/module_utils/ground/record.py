# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The relocation record: what happened, when and for how long, as one JSON object."""

from __future__ import annotations

import contextlib
import datetime
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any


class Phase:
    """A phase that is under way; ``bytes`` is what it moved between hosts."""

    def __init__(self, name: str, start_s: float) -> None:
        self.name = name
        self.start_s = start_s
        self.duration_s = 0.0
        self.bytes = 0

    def to_dict(self) -> dict[str, Any]:
        """The phase as the record holds it."""
        return {
            "name": self.name,
            "start_s": round(self.start_s, 6),
            "duration_s": round(self.duration_s, 6),
            "bytes": self.bytes,
        }


class Record:
    """Builds the record of one relocation on this host's monotonic clock.

    Args:
        began_s: when this process began, in seconds since the handoff message.
        earlier: the phases before it, as other modules returned them.
    """

    def __init__(self, began_s: float, earlier: Sequence[dict[str, Any]], **fields: object) -> None:
        self._zero = time.monotonic() - began_s
        self._phases: list[Phase] = []
        self._earlier = list(earlier)
        self._down_from: float | None = None
        self.outcome = "aborted"
        self.error: str | None = None
        self.fallback: str | None = None
        self.warning: str | None = None
        self.downtime_s: float | None = None
        self.fields = fields

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[Phase]:
        """Time a phase; it is kept also when it fails."""
        phase = Phase(name, time.monotonic() - self._zero)
        self._phases.append(phase)
        try:
            yield phase
        finally:
            phase.duration_s = time.monotonic() - self._zero - phase.start_s

    def warn(self, what: str) -> None:
        """Add something that whoever reads the record has to know."""
        self.warning = f"{self.warning} {what}" if self.warning else what

    def service_ends(self) -> None:
        """A in the paper's downtime = B - A (section 4)."""
        self._down_from = time.monotonic()

    def service_serves(self) -> None:
        """B in the paper's downtime = B - A (section 4)."""
        if self._down_from is not None:
            self.downtime_s = round(time.monotonic() - self._down_from, 6)

    def to_dict(self) -> dict[str, Any]:
        """The record; ``client`` is added where the UE's probe is read."""
        return {
            **self.fields,
            "time": _now(),
            "outcome": self.outcome,
            "downtime_s": self.downtime_s,
            "total_s": round(time.monotonic() - self._zero, 6),
            "phases": [*self._earlier, *(phase.to_dict() for phase in self._phases)],
            "client": None,
            "verification": None,
            "fallback": self.fallback,
            "warning": self.warning,
            "error": self.error,
        }


def settled(record: Mapping[str, Any], *, completed: bool) -> dict[str, Any]:
    """Return the record of a relocation that was interrupted, as it has ended since.

    Args:
        record: what was recorded of it, if anything; at least ``id``, ``app``, ``source`` and
            ``target``.
        completed: whether the target has taken the app, or the source serves it again.
    """
    where = record["target"] if completed else record["source"]
    told = record.get("error") or "The relocation was interrupted."
    return {
        "source_instance": None,
        "target_instance": None,
        "downtime_s": None,
        "total_s": None,
        "phases": [],
        "client": None,
        "verification": None,
        "fallback": None,
        "warning": None,
        **record,
        "time": _now(),
        "outcome": "completed" if completed else "aborted",
        "settled": True,
        "error": f"{told} It has ended since: {where} has the app.",
    }


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
