"""Handoffs that are played and not run, and what tests send."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rlapp.__main__ import serve
from rlapp.config import Config, read_config
from rlapp.runner import End, Job, Progress

TOKEN, UE_TOKEN, PASSWORD = (secrets.token_urlsafe() for _ in range(3))

# Name, seconds since the message, duration, bytes: preparation, cutover, what is left to do.
PREPARATION = [
    ("image_sync", 0.42, 0.61, 0),
    ("volume_sync", 1.06, 0.88, 41_943_040),
    ("volume_delta", 1.96, 0.24, 262_144),
]
CUTOVER = [
    ("connect", 2.31, 0.12, 0),
    ("fence", 2.44, 0.03, 0),
    ("hold", 2.5, 0.0006, 0),
    ("drain", 2.5006, 0.0034, 0),
    ("freeze", 2.504, 0.0003, 0),
    ("last_delta", 2.5043, 0.0048, 8192),
    ("activate", 2.5091, 0.0075, 0),
    ("switch", 2.5166, 0.0011, 0),
    ("settle", 2.5177, 0.31, 0),
]
_TASKS = ("Pre-copy the image", "Pre-copy the volume", "Pass over the volume once more")
_STEPS_A_PHASE = 10


class PlayedRunner:
    """Plays handoffs of two ME hosts.

    `outcome`, `end`, `go_on`: what the next runs do. `phase_s`: how long each phase is played.
    `at`: where each app serves; `busy`: who works on the apps; `told`: what an ME host has recorded
    last of an app.
    """

    def __init__(self, results: Path, phase_s: float = 0.0) -> None:
        self.results = results
        self.phase_s = phase_s
        self.jobs: list[Job] = []
        self.at = defaultdict(lambda: "worker1", videoapp="worker1", other="worker1")
        self.outcome = "completed"
        self.end = End("successful")
        self.go_on = threading.Event()
        self.go_on.set()
        self.orphans: set[str] = set()
        self.busy: str | None = None
        self.told: dict[tuple[str, str], dict[str, Any]] = {}
        self.side_by_side = 0
        self.most = 0
        self._lock = threading.Lock()

    def hand_off(
        self, job: Job, tell: Callable[[Progress], None], cancelled: Callable[[], bool]
    ) -> End:
        with self._lock:
            self.jobs.append(job)
            self.side_by_side += 1
            self.most = max(self.most, self.side_by_side)
        try:
            return self._play(job, tell, cancelled)
        finally:
            with self._lock:
                self.side_by_side -= 1

    def _play(
        self, job: Job, tell: Callable[[Progress], None], cancelled: Callable[[], bool]
    ) -> End:
        target = {"cell1": "worker1", "cell2": "worker2"}[job.target_cell]
        execute = job.ho_status in (None, "IN_EXECUTION", "COMPLETED")
        planned = [
            {
                "app": app,
                "source": self.at[app],
                "target": target,
                "execute": execute and self.at[app] != target,
                "handoff": f"id-{job.run}",
                "scenario": "proactive",
            }
            for app in job.apps
        ]
        tell(Progress("task", {"task": "Plan the handoff"}))
        tell(Progress("plan", {"move_ue": execute, "relocations": planned}))
        if job.word and not _word_comes(job.word, cancelled):
            return End("canceled")
        while not self.go_on.wait(0.01):
            if cancelled():
                return End("canceled")
        for task, phase in zip(_TASKS, PREPARATION, strict=True):
            tell(Progress("task", {"task": task}))
            if not self._pass(cancelled):
                return End("canceled")
            tell(Progress("phase", _phase(*phase)))
        if execute:
            tell(Progress("task", {"task": "Move the UE to its new cell"}))
            tell(Progress("moved", {}))
            tell(Progress("task", {"task": "Relocate"}))
            self._pass(lambda: False)
        records = [record(item, job, self.outcome) for item in planned if item["execute"]]
        write_records(self.results, job.run, records)
        if self.outcome == "uncertain":
            self.at |= {item["app"]: "nowhere" for item in planned if item["execute"]}
        if self.outcome == "completed":
            for item in planned:
                self.at[item["app"]] = item["target"] if item["execute"] else item["source"]
        return self.end

    def _pass(self, cancelled: Callable[[], bool]) -> bool:
        """Let the time of a phase pass; False where it was cancelled."""
        for _ in range(_STEPS_A_PHASE):
            time.sleep(self.phase_s / _STEPS_A_PHASE)
            if cancelled():
                return False
        return True

    def survey(self) -> dict[str, dict[str, Any]]:
        return {
            me_host: {
                "apps": {
                    app: {
                        "state": "serving" if at == me_host else "absent",
                        "current": True,
                        "busy": self.busy,
                        "lease": None,
                        "last_relocation": self.told.get((me_host, app)),
                        "instance": {
                            "name": f"{app}-{me_host}",
                            "address": "172.17.0.2",
                            "healthy": True,
                        }
                        if at == me_host
                        else None,
                    }
                    for app, at in self.at.items()
                }
            }
            for me_host in ("worker1", "worker2")
        }

    def is_running(self, run: str) -> bool:
        return run in self.orphans


def _word_comes(word: Path, cancelled: Callable[[], bool]) -> bool:
    """Wait for the word; False where it was cancelled."""
    pipe = os.open(word, os.O_RDONLY | os.O_NONBLOCK)
    try:
        while not cancelled():
            with contextlib.suppress(BlockingIOError):
                return float(os.read(pipe, 100)) > 0
            time.sleep(0.01)
    finally:
        os.close(pipe)
    return False


def record(item: dict[str, Any], job: Job, outcome: str) -> dict[str, Any]:
    """A relocation record."""
    completed = outcome == "completed"
    return {
        "id": item["handoff"],
        "time": "2026-01-02T03:04:05.678+00:00",
        "app": item["app"],
        "ue": job.ue,
        "source": item["source"],
        "target": item["target"],
        "source_instance": {"name": f"{item['app']}-{item['source']}", "address": "172.17.0.2"},
        "target_instance": {"name": f"{item['app']}-{item['target']}", "address": "172.17.0.2"},
        "outcome": outcome,
        "scenario": item.get("scenario"),
        "downtime_s": 0.02 if completed else None,
        "total_s": 2.83,
        "phases": [_phase(*phase) for phase in PREPARATION + (CUTOVER if completed else [])],
        "client": {"interval_s": 0.005, "requests": 812, "failed": 0, "longest_gap_s": 0.024},
        "fallback": None,
        "error": None if completed else "the target did not start; the source serves",
    }


def _phase(name: str, start_s: float, duration_s: float, size_bytes: int) -> dict[str, Any]:
    return {"name": name, "start_s": start_s, "duration_s": duration_s, "bytes": size_bytes}


def write_records(results: Path, run: str, records: list[dict[str, Any]]) -> None:
    """Write them as the playbook does."""
    folder = results / run
    folder.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(item) + "\n" for item in records)
    (folder / "relocations.jsonl").write_text(lines)


def play(file: Path, port: int, phase_s: float) -> None:
    """Serve as `python -m rlapp serve` does, with handoffs that are played."""
    config = read_config(file)
    serve(config, "127.0.0.1", port, PlayedRunner(config.handoffs.results_dir, phase_s))


def report(lat: float = 4.6, lon: float = -74.08, ue: str = "ue1", **more: Any) -> dict[str, Any]:
    """A UE's report of its location."""
    return {"ue": ue, "time": "2026-01-02T03:04:05Z", "lat": lat, "lon": lon, **more}


def config_in(folder: Path) -> Config:
    """Two cells in zones of their own, a third in the zone of the first; two UEs, two apps."""
    for name, secret in {"password": PASSWORD, "token": TOKEN, "ue": UE_TOKEN}.items():
        (folder / name).write_text(secret + "\n")
    return Config.model_validate(
        {
            "url": "https://rlapp.mec.test",
            "state_dir": folder / "state",
            "password_file": folder / "password",
            "tokens": {
                "machine": {"file": folder / "token"},
                "ue1": {"file": folder / "ue", "ue": "ue1"},
            },
            "cells": {
                "cell1": _cell("worker1", "zone1", 4.600, 1),
                "cell2": _cell("worker2", "zone2", 4.620, 2),
                "cell3": _cell("worker1", "zone1", 4.590, 3),
            },
            "ues": {
                "ue1": {
                    "address": "acr:ue1",
                    "ipv4": ["192.168.0.101", "192.168.100.101"],
                    "apps": ["videoapp"],
                },
                "ue2": {"address": "acr:ue2", "apps": ["other"]},
            },
            "apps": {"videoapp": {"port": 8080}, "other": {"port": 80}},
            "handoffs": {"project": folder, "results": folder / "results"},
            "prediction": None,
            "callbacks": {"networks": ["127.0.0.0/8"], "first_wait_s": 0.05},
        }
    )


def _cell(me_host: str, zone: str, lat: float, number: int) -> dict[str, Any]:
    return {
        "me_host": me_host,
        "zone": zone,
        "lat": lat,
        "lon": -74.08,
        "range_m": 1000,
        "cell_id": f"{number:028b}",
    }


if __name__ == "__main__":
    play(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
