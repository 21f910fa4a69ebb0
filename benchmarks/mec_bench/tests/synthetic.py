# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs that never were."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from mec_bench.sample import Sample

TITLES = {
    "standby-proactive": "ours, standby, pro-active",
    "script": "script",
    "playbook": "playbook of existing modules",
    "podman": "podman",
    "floor": "floor",
}
KNOWN = {
    "run": {"name": "bench-20260101-000000", "rounds": 3, "seed": 7},
    "schemes": TITLES,
    "project": "v0-1-gabcdef0",
    "machine": {"kernel": "6.18", "cpu": "a processor", "cores": 2, "memory_bytes": 2**34},
    "versions": {"python": "3.11.7", "rsync": "3.5.0"},
}


def sample(scheme: str, number: int = 1, **fields: Any) -> Sample:
    """A sample without anything remarkable."""
    usual = Sample(
        sweep="schemes",
        row="usual",
        round=number,
        scheme=scheme,
        source="worker1",
        target="worker2",
        began="2026-01-01T00:00:00.000+00:00",
        longest_gap_s=0.02,
        switch_gap_s=0.02,
        requests=1000,
        failed=0,
        skipped=0,
        latest_tick_s=0.001,
        written=500,
        lost=0,
        backbone_bytes=1_000_000,
        served_s=3.0,
        message_s=1.5,
        total_s=4.0,
        downtime_s=None,
    )
    return dataclasses.replace(usual, **fields)


def rounds(scheme: str, gaps_s: Iterable[float], **fields: Any) -> list[Sample]:
    """A round for each gap."""
    return [
        sample(scheme, number, longest_gap_s=gap_s, **fields)
        for number, gap_s in enumerate(gaps_s, start=1)
    ]
