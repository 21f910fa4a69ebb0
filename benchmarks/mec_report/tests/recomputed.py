# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""All of summary.json worked out a second time, from the files and with nothing of the package."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path
from typing import Any

Json = dict[str, Any]

PAPER_S = [0.503, 0.530, 0.490, 0.514, 0.533]
TITLES = {
    "proactive": "Pro-active",
    "reactive": "Re-active",
    "reactive-paper": "Re-active, the paper's order",
    "adaptive": "Adaptive",
}


def load(file: Path) -> list[Json]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def median(values: list[float]) -> float:
    values = sorted(values)
    middle = len(values) // 2
    return values[middle] if len(values) % 2 else (values[middle - 1] + values[middle]) / 2


def rank(values: list[float], thousandths: int) -> float:
    """The smallest value that at least so many thousandths of all values do not exceed."""
    values = sorted(values)
    return next(v for i, v in enumerate(values, 1) if i * 1000 >= thousandths * len(values))


def figures(values: list[float]) -> Json | None:
    if not values:
        return None
    draw, ordered = random.Random(514), sorted(values)  # noqa: S311, the same seed
    means, medians = [], []
    for _ in range(10_000):
        again = [ordered[int(draw.random() * len(ordered))] for _ in ordered]
        means.append(sum(again) / len(again))
        medians.append(median(again))
    alone = len(values) == 1
    return {
        "count": len(values),
        "mean": sum(values) / len(values),
        "mean_interval": None if alone else [rank(means, 25), rank(means, 975)],
        "median": median(values),
        "median_interval": None if alone else [rank(medians, 25), rank(medians, 975)],
        "p95": rank(values, 950),
        "p99": rank(values, 990),
        "min": min(values),
        "max": max(values),
    }


class Seen:
    """One CSV of the probe."""

    def __init__(self, file: Path) -> None:
        with file.open() as lines:
            rows = [
                (float(r["start_s"]), float(r["duration_s"]), r["status"], r["error"])
                for r in csv.DictReader(lines)
            ]
        good = [(start, took) for start, took, status, _ in rows if status[:1] in ("2", "3")]
        self.sent = sum(not error.startswith("skipped") for *_, error in rows)
        self.failed = self.sent - len(good)
        self.slowest_s = max(took for _, took in good)
        ends_s = sorted(start + took for start, took in good)
        self.gaps_s = [ends_s[i + 1] - ends_s[i] for i in range(len(ends_s) - 1)]
        self.longest_gap_s = max(self.gaps_s)
        self.samples = len(rows)


class Recomputed:
    """A folder with experiments and a replay, in which all probes see both ends of an outage."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.records = load(folder / "relocations.jsonl")
        self.experiments = load(folder / "experiments.jsonl")
        self.preparations = load(folder / "preparations.jsonl")
        self.replay = load(folder / "replay.jsonl")
        self.seen = {
            r["id"]: Seen(folder / f"probe-{r['id']}-{r['app']}.csv")
            for r in self.records
            if r["client"]
        }

    def phases(self, record: Json) -> list[Json]:
        ahead = [
            p
            for made in self.preparations
            if made["handoff"] == record["id"]
            for p in made["phases"]
        ]
        return ahead + record["phases"]

    def moved(self, record: Json) -> int:
        return sum(phase["bytes"] for phase in self.phases(record))

    def outcomes(self, records: list[Json]) -> Json:
        ends = [record["outcome"] for record in records]
        names = ("completed", "aborted", "uncertain")
        return {"count": len(ends), **{name: ends.count(name) for name in names}}

    def requests(self, records: list[Json]) -> Json:
        seen = [self.seen[r["id"]] for r in records if r["id"] in self.seen]
        return {"sent": sum(s.sent for s in seen), "failed": sum(s.failed for s in seen)}

    def series(self, name: str) -> Json:
        by_id = {record["id"]: record for record in self.records}
        lines = sorted(
            (line for line in self.experiments if line["series"] == name),
            key=lambda line: line["repetition"],
        )
        records = [by_id[line["handoff"]] for line in lines]
        done = [record for record in records if record["outcome"] == "completed"]
        seen = [self.seen[r["id"]] for r in done if r["id"] in self.seen]
        gaps_s = sorted(gap for each in seen for gap in each.gaps_s)
        downtimes_s = [record["downtime_s"] for record in done]
        stalls_s = [
            line["watched"]["longest_stall_s"]
            for line in lines
            if by_id[line["handoff"]]["outcome"] == "completed"
        ]
        return {
            "name": name,
            "title": TITLES[name],
            "outcomes": self.outcomes(records),
            "requests": self.requests(records),
            "volume_verified": {
                "kept": sum(bool(r["verification"]["verified"]) for r in done),
                "of": len(done),
            },
            "session_kept": self.kept(lines, "session_kept"),
            "watch_time_kept": self.kept(lines, "watch_time_kept"),
            "figures": {
                "downtime_s": figures(downtimes_s),
                "longest_gap_s": figures([each.longest_gap_s for each in seen]),
                "slowest_request_s": figures([each.slowest_s for each in seen]),
                "failed_requests": figures([each.failed for each in seen]),
                "total_s": figures([record["total_s"] for record in done]),
                "bytes": figures([self.moved(record) for record in done]),
                "longest_stall_s": figures(stalls_s),
            },
            "ratio_to_paper": sum(downtimes_s) / len(downtimes_s) / 0.514,
            "repetitions": [
                {
                    "number": line["repetition"],
                    "id": line["handoff"],
                    **{
                        key: by_id[line["handoff"]][key]
                        for key in (
                            "outcome",
                            "downtime_s",
                            "source",
                            "source_instance",
                            "target",
                            "target_instance",
                        )
                    },
                    "session_kept": line["session_kept"],
                    "watch_time_kept": line["watch_time_kept"],
                }
                for line in lines
            ],
            "phases": self.medians(done),
            "gaps": {"count": len(gaps_s), "points": self.points(gaps_s)},
            "timeline": self.timeline(done),
        }

    def kept(self, lines: list[Json], field: str) -> Json:
        answers = [line[field] for line in lines if line[field] is not None]
        return {"kept": answers.count(True), "of": len(answers)}

    def medians(self, done: list[Json]) -> list[Json]:
        names: list[str] = []
        for phase in self.phases(done[0]):
            if phase["name"] not in names:
                names.append(phase["name"])
        found = []
        for name in names:
            same = [[p for p in self.phases(r) if p["name"] == name] for r in done]
            found.append(
                {
                    "name": name,
                    "count": len(done),
                    "duration_s": median([sum(p["duration_s"] for p in each) for each in same]),
                    "bytes": median([sum(p["bytes"] for p in each) for each in same]),
                }
            )
        return found

    def points(self, ordered: list[float]) -> list[list[float]]:
        below = len(ordered) - 300
        step = 1
        while below / step > 300:
            step += 1
        return [
            [value, place]
            for place, value in enumerate(ordered, 1)
            if place > below or (place - 1) % step == 0
        ]

    def timeline(self, done: list[Json]) -> Json:
        wanted_s = rank([record["downtime_s"] for record in done], 500)
        shown = next(record for record in done if record["downtime_s"] == wanted_s)
        hold = next(p for p in shown["phases"] if p["name"] == "hold")
        switch = next(p for p in shown["phases"] if p["name"] == "switch")
        return {
            "id": shown["id"],
            "downtime_s": wanted_s,
            "phases": shown["phases"],
            "critical": {
                "start_s": hold["start_s"],
                "end_s": switch["start_s"] + switch["duration_s"],
            },
        }

    def policy(self, name: str) -> Json:
        events = [event for event in self.replay if event["policy"] == name]
        ids = [id_ for event in events for id_ in event["handoffs"]]
        records = [record for record in self.records if record["id"] in ids]
        done = [record for record in records if record["outcome"] == "completed"]
        done_ids = [record["id"] for record in done]
        made = [p for p in self.preparations if p["handoff"] in ids]
        vain = [e for e in events if e["ho_status"] == "cancelled" and e["announced_s"] is not None]
        vain_ids = [id_ for event in vain for id_ in event["handoffs"]]
        for_vain = [p for p in made if p["handoff"] in vain_ids]
        unused = [p for p in made if p["handoff"] not in done_ids]
        own = sum(phase["bytes"] for record in records for phase in record["phases"])
        gaps_s = [self.seen[r["id"]].longest_gap_s for r in records if r["id"] in self.seen]
        came = [event for event in events if event["ho_status"] == "completed"]
        downtimes_s = [record["downtime_s"] for record in done]
        return {
            "name": name,
            "title": TITLES[name],
            "events": len(events),
            "announced": sum(event["announced_s"] is not None for event in events),
            "came": len(came),
            "came_without_completion": sum(
                not any(id_ in done_ids for id_ in event["handoffs"]) for event in came
            ),
            "outcomes": self.outcomes(records),
            "downtime_sum_s": sum(downtimes_s),
            "downtime_s": figures(downtimes_s),
            "downtimes_s": downtimes_s,
            "longest_gap_s": max(gaps_s),
            "requests": self.requests(records),
            "bytes": {
                "relocations": own,
                "preparations": self.size(made),
                "total": own + self.size(made),
            },
            "wasted": {
                "in_vain": {
                    "handoffs": len(vain),
                    "preparations": len(for_vain),
                    "bytes": self.size(for_vain),
                },
                "without_completion": {"preparations": len(unused), "bytes": self.size(unused)},
            },
            "late_s": figures([event["late_s"] for event in events]),
        }

    def size(self, made: list[Json]) -> int:
        return sum(phase["bytes"] for each in made for phase in each["phases"])

    def relocations(self) -> list[Json]:
        titles = {
            **{id_: TITLES[e["policy"]] for e in self.replay for id_ in e["handoffs"]},
            **{line["handoff"]: TITLES[line["series"]] for line in self.experiments},
        }
        same = ("id", "time", "app", "ue", "source", "target", "outcome", "downtime_s", "total_s")
        found = []
        for record in self.records:
            seen = self.seen.get(record["id"])
            found.append(
                {
                    **{key: record[key] for key in same},
                    "series": titles.get(record["id"]),
                    "longest_gap_s": seen and seen.longest_gap_s,
                    "slowest_request_s": seen and seen.slowest_s,
                    "requests": seen and seen.sent,
                    "failed": seen and seen.failed,
                    "bytes": self.moved(record),
                    "verified": record["verification"] and record["verification"]["verified"],
                    "fallback": record["fallback"],
                    "warning": record["warning"],
                    "error": record["error"],
                }
            )
        return found

    def files(self) -> Json:
        counts = {
            f"{name}.jsonl": len(load(self.folder / f"{name}.jsonl"))
            for name in ("relocations", "experiments", "preparations", "replay")
        }
        probes = {f"probe-{id_}-videoapp.csv": seen.samples for id_, seen in self.seen.items()}
        return {**counts, **probes, "environment.json": 1}
