# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""All figures of a run, computed from samples.csv: what the report shows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from mec_report.figures import figures

from .ratios import ratio
from .sample import Sample, read_samples
from .sweeps import SWEEPS
from .targets import OURS, targets

Json = dict[str, Any]

# What there is a distribution of.
MEASURED = (
    "longest_gap_s",
    "switch_gap_s",
    "downtime_s",
    "served_s",
    "message_s",
    "total_s",
    "backbone_bytes",
)
FLOOR = "floor"


def read(folder: Path) -> Json:
    """The summary of a folder; raises OSError or ValueError where it is not one of a benchmark."""
    known = json.loads((folder / "bench.json").read_text(encoding="utf-8"))
    with (folder / "samples.csv").open(encoding="utf-8", newline="") as lines:
        return summary(list(read_samples(lines)), known)


def summary(samples: Sequence[Sample], known: Json) -> Json:
    """Sum samples up; `known` is what bench.json holds."""
    sweeps = [_sweep(name, samples, known["schemes"]) for name in SWEEPS]
    # Round 0 brings what the target never had; it is kept, and is in no figure.
    counted = [sample for sample in samples if sample.round and not sample.error]
    return {
        **known,
        "samples": {
            "measured": len(samples),
            "counted": len(counted),
            "failed": [_failure(sample) for sample in samples if sample.error],
        },
        "sweeps": [sweep for sweep in sweeps if sweep["rows"]],
        "targets": targets(counted),
    }


def _sweep(name: str, samples: Iterable[Sample], titles: dict[str, str]) -> Json:
    own = [sample for sample in samples if sample.sweep == name and sample.round]
    rows = [row for row in SWEEPS[name].rows if any(sample.row == row for sample in own)]
    return {
        "name": name,
        "title": SWEEPS[name].title,
        "axis": SWEEPS[name].axis,
        "rows": [_row(row, [s for s in own if s.row == row], titles) for row in rows],
    }


def _row(name: str, samples: Sequence[Sample], titles: dict[str, str]) -> Json:
    by_scheme = {
        scheme: [sample for sample in samples if sample.scheme == scheme] for scheme in titles
    }
    gaps_s = {
        scheme: [s.longest_gap_s for s in own if s.longest_gap_s is not None]
        for scheme, own in by_scheme.items()
    }
    return {
        "name": name,
        "schemes": [
            {
                "name": scheme,
                "title": titles[scheme],
                "rounds": len(own),
                "failed_rounds": sum(bool(sample.error) for sample in own),
                "gaps_s": gaps_s[scheme],
                **{field: figures(_values(own, field)) for field in MEASURED},
                **{field: _total(own, field) for field in ("requests", "failed", "written")},
                "rounds_with_loss": sum(bool(sample.lost) for sample in own),
                "times_ours": ratio(gaps_s[scheme], gaps_s.get(OURS, [])),
                "times_floor": ratio(gaps_s[scheme], gaps_s.get(FLOOR, [])),
            }
            for scheme, own in by_scheme.items()
            if own
        ],
    }


def _values(samples: Iterable[Sample], field: str) -> list[float]:
    values = (getattr(sample, field) for sample in samples)
    return [value for value in values if value is not None]


def _total(samples: Iterable[Sample], field: str) -> int:
    return round(sum(_values(samples, field)))


def _failure(sample: Sample) -> Json:
    return {"sample": sample.name, "error": sample.error}
