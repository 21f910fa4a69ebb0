# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One measured relocation: a row of samples.csv."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Sample:
    """What was measured of one relocation. Empty in the file: None, not known.

    Attributes:
        sweep, row: which table of sweeps, and which of its rows.
        round: from 1; 0 is the first, which also brings what the target never had.
        began: date and time, UTC.
        longest_gap_s: the UE's longest time between two successful answers.
        switch_gap_s: the gap between successes that ends with the first answer from the new place.
            What happens before it, as files that are copied, does not count here.
        skipped: ticks of the probe without a request; they are no failures and no successes.
        latest_tick_s: how late the probe itself was at worst.
        written: acknowledged writes of the viewer; lost: how often one was found to be lost.
        backbone_bytes: what all hosts together sent over the backbone, from the command to its end.
        served_s: from the command to the first answer from the new place, as the UE saw it.
        message_s: the same, from the handoff message: preparations made before it are left out.
        total_s: from the command to its end, everything tidied up.
        downtime_s: as the scheme defines it, the median of its apps.
        error: why there are no figures.
    """

    sweep: str
    row: str
    round: int
    scheme: str
    source: str
    target: str
    began: str
    longest_gap_s: float | None = None
    switch_gap_s: float | None = None
    requests: int | None = None
    failed: int | None = None
    skipped: int | None = None
    latest_tick_s: float | None = None
    written: int | None = None
    lost: int | None = None
    backbone_bytes: int | None = None
    served_s: float | None = None
    message_s: float | None = None
    total_s: float | None = None
    downtime_s: float | None = None
    error: str = ""

    @property
    def name(self) -> str:
        """Names the files that belong to it."""
        return f"{self.sweep}-{self.row}-{self.round:03}-{self.scheme}"


FIELDS = tuple(field.name for field in dataclasses.fields(Sample))
_COUNTS = {"round", "requests", "failed", "skipped", "written", "lost", "backbone_bytes"}
_TEXTS = {"sweep", "row", "scheme", "source", "target", "began", "error"}


class SampleFile:
    """samples.csv: a line is there as soon as its relocation has been measured."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("w", encoding="utf-8", newline="") as out:
            csv.writer(out, lineterminator="\n").writerow(FIELDS)

    def append(self, sample: Sample) -> None:
        """Add one sample; times with a resolution of 1 microsecond."""
        with self.path.open("a", encoding="utf-8", newline="") as out:
            row = [_text(value) for value in dataclasses.astuple(sample)]
            csv.writer(out, lineterminator="\n").writerow(row)


def read_samples(lines: Iterable[str]) -> Iterator[Sample]:
    """Read samples back."""
    for row in csv.DictReader(lines):
        yield Sample(**{name: _value(name, text) for name, text in row.items()})


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6f}"
    return "" if value is None else str(value)


def _value(name: str, text: str) -> Any:
    if name in _TEXTS:
        return text
    if not text:
        return None
    return int(text) if name in _COUNTS else float(text)
