# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A results folder that no testbed made: every kind of line that a report may meet."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from ansible_collections.mec.relocation.plugins.module_utils.probe import probe

Json = dict[str, Any]

INTERVAL_S = 0.005
PROBED_S = 3.0
SERIES = {
    "proactive": {
        "ahead": [("image_sync", 0.34, 57_063_477), ("volume_sync", 0.12, 46_545)],
        "critical": [("last_delta", 0.090, 7_487), ("activate", 0.010, 0)],
    },
    "reactive": {
        "ahead": [("container_commit", 1.1, 0), ("push", 0.9, 3_100_000), ("pull", 0.7, 3_100_000)],
        "critical": [("container_commit", 0.21, 0), ("push", 0.16, 91_000), ("run", 0.25, 91_000)],
    },
    "reactive-paper": {
        "ahead": [],
        "critical": [
            ("container_commit", 1.2, 0),
            ("push", 0.9, 3_100_000),
            ("pull", 0.7, 3_100_000),
            ("run", 0.3, 0),
        ],
    },
}


def write_lines(file: Path, lines: list[Json]) -> None:
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def phases(series: str, stretch: float) -> list[Json]:
    """The phases of one relocation; `stretch` makes all of them longer."""
    plan = SERIES[series]
    named = [*plan["ahead"], ("prepare", 0.7, 0), ("hold", 0.002, 0), ("drain", 0.001, 0)]
    named += [*plan["critical"], ("switch", 0.002, 0), ("settle", 0.3, 0)]
    found, now_s = [], 0.6
    for name, duration_s, moved in named:
        duration_s = round(duration_s * stretch, 6)
        found.append(
            {"name": name, "start_s": round(now_s, 6), "duration_s": duration_s, "bytes": moved}
        )
        now_s += duration_s + 0.00001
    return found


def downtime_of(made: list[Json]) -> float:
    """From the beginning of the hold to the end of the switch."""
    by_name = {phase["name"]: phase for phase in made}
    end_s = by_name["switch"]["start_s"] + by_name["switch"]["duration_s"]
    return round(end_s - by_name["hold"]["start_s"], 6)


def samples(outage_s: float, draw: random.Random, failed: int = 0) -> list[probe.Sample]:
    """An open loop of requests; those of the outage are held until it ends."""
    begin_s, found = 0.8, []
    for seq in range(round((PROBED_S + outage_s) / INTERVAL_S)):
        start_s = round(seq * INTERVAL_S + draw.uniform(0, 0.0003), 6)
        held_s = max(begin_s + outage_s - start_s, 0.0) if start_s > begin_s else 0.0
        duration_s = round(held_s + draw.lognormvariate(-6.6, 0.25), 6)
        lost = bool(held_s) and failed > 0
        failed -= lost
        found.append(
            probe.Sample(seq, start_s, duration_s, 502 if lost else 200, "", f"app-{seq % 2}")
        )
    return found


def write_samples(file: Path, made: list[probe.Sample]) -> None:
    with file.open("w", encoding="utf-8") as out:
        writer = probe.SampleWriter(out)
        for sample in sorted(made, key=lambda sample: sample.end_s):
            writer.write(sample)


class Builder:
    """Writes a results folder, relocation by relocation."""

    def __init__(self, path: Path, seed: int = 1) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.draw = random.Random(seed)  # noqa: S311, made-up figures
        self.relocations: list[Json] = []
        self.experiments: list[Json] = []
        self.preparations: list[Json] = []
        self.replay: list[Json] = []

    def relocate(
        self,
        series: str,
        outcome: str = "completed",
        app: str = "videoapp",
        probed: bool = True,
        failed: int = 0,
        verified: bool = True,
        platform: str = "docker",
    ) -> str:
        """Add a relocation, with its samples where it was `probed`; returns its id."""
        id_ = f"20260101T120000-{len(self.relocations):08x}"
        made = phases(series, self.draw.uniform(0.9, 1.2))
        downtime_s = downtime_of(made)
        client = None
        if probed:
            seen = samples(downtime_s, self.draw, failed)
            duration_s = round(PROBED_S + downtime_s, 6)
            write_samples(self.path / f"probe-{id_}-{app}.csv", seen)
            client = {
                "interval_s": INTERVAL_S,
                "duration_s": duration_s,
                "longest_gap_s": probe.summarise(seen, INTERVAL_S, duration_s).longest_gap_s,
            }
        self.relocations.append(
            {
                "id": id_,
                "time": "2026-01-01T12:00:00.000+00:00",
                "app": app,
                "ue": "ue1",
                "platform": platform,
                "scenario": "proactive" if series == "proactive" else "reactive",
                "source": "worker1",
                "target": "worker2",
                "source_instance": {"name": f"{app}-1f2e3d4c", "address": "172.17.0.2"},
                "target_instance": {"name": f"{app}-{id_[-4:]}aaaa", "address": "172.17.0.3"},
                "outcome": outcome,
                "downtime_s": downtime_s if outcome == "completed" else None,
                "total_s": made[-1]["start_s"] + made[-1]["duration_s"],
                "phases": made,
                "client": client,
                "verification": {"verified": verified} if outcome == "completed" else None,
                "fallback": None,
                "warning": None,
                "error": None if outcome == "completed" else "worker2: <no answer> | 503 & more",
            }
        )
        return id_

    def repeat(self, series: str, repetition: int, **relocation: Any) -> str:
        """Add one repetition of the experiment; returns the handoff's id."""
        id_ = self.relocate(series, **relocation)
        self.experiments.append(
            {
                "series": series,
                "repetition": repetition,
                "app": self.relocations[-1]["app"],
                "handoff": id_,
                "session_kept": True,
                "watch_time_kept": repetition != 2,
                "watched": {"longest_stall_s": round(self.draw.uniform(0, 0.2), 3)},
                "duration_s": 21.5,
            }
        )
        return id_

    def prepare(self, handoff: str, moved: int) -> None:
        """Add a preparation for a handoff that may come or not."""
        self.preparations.append(
            {
                "handoff": handoff,
                "app": "videoapp",
                "ue": "ue1",
                "source": "worker1",
                "target": "worker2",
                "time": "2026-01-01T12:00:00.000+00:00",
                "phases": [
                    {"name": "image_sync", "start_s": 0.1, "duration_s": 0.3, "bytes": moved}
                ],
            }
        )

    def event(
        self, policy: str, number: int, handoffs: list[str], announced: bool, came: bool
    ) -> None:
        """Add what a policy did at one event."""
        self.replay.append(
            {
                "policy": policy,
                "event": number,
                "time_s": 30.0 * number,
                "ue": "ue1",
                "source_cell": "cell1",
                "target_cell": "cell2",
                "announced_s": 8.0 if announced else None,
                "ho_status": "completed" if came else "cancelled",
                "late_s": round(self.draw.uniform(0, 0.05), 6),
                "handoffs": handoffs,
            }
        )

    def write(self, environment: Json | None = None) -> Path:
        """Write the folder; returns it."""
        write_lines(self.path / "relocations.jsonl", self.relocations)
        for name in ("experiments", "preparations", "replay"):
            if getattr(self, name):
                write_lines(self.path / f"{name}.jsonl", getattr(self, name))
        if environment is not None:
            (self.path / "environment.json").write_text(json.dumps(environment), encoding="utf-8")
        return self.path


ENVIRONMENT = {
    "controller": {"cpu": "A CPU & <more>", "cores": 2, "memory_bytes": 8_000_000_000},
    "versions": {"python": "3.11", "hosts": {"engine": "29.1", "haproxy": "2.6"}},
    "settings": {"hold_s": 5, "cells": ["cell1", "cell2"], "cold": True},
}


def full(path: Path, repetitions: int = 5) -> Path:
    """All three series, a replay, one relocation aborted, one without client, one uncounted."""
    builder = Builder(path)
    for repetition in range(1, repetitions + 1):
        for series in SERIES:
            aborted = series == "reactive" and repetition == 3
            builder.repeat(
                series,
                repetition,
                outcome="aborted" if aborted else "completed",
                probed=not (series == "proactive" and repetition == 4),
                failed=3 if series == "reactive-paper" and repetition == 1 else 0,
                verified=not (series == "reactive" and repetition == 2),
            )
    builder.relocate("proactive")
    for policy, series, announced in (
        ("proactive", "proactive", True),
        ("reactive", "reactive", False),
        ("adaptive", "proactive", True),
    ):
        for number in range(1, 5):
            came = number != 3
            if came:
                id_ = builder.relocate(series)
                handoffs = [id_]
            else:
                id_ = f"never-{policy}"
                handoffs = [id_] if announced else []
            if announced:
                builder.prepare(id_, 57_000_000 if number == 1 else 40_000)
            builder.event(policy, number, handoffs, announced, came)
    builder.prepare("nobody's", 1234)
    return builder.write(ENVIRONMENT)
