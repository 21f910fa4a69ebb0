"""Handoffs that are played and not run, and what tests send."""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rlapp.config import Config
from rlapp.runner import End, Job, Progress

TOKEN, UE_TOKEN, PASSWORD = (secrets.token_urlsafe() for _ in range(3))


class PlayedRunner:
    """Plays handoffs of two ME hosts. `fail`, `hold`: what the next runs do."""

    def __init__(self, results: Path) -> None:
        self.results = results
        self.jobs: list[Job] = []
        self.at = {"videoapp": "worker1", "other": "worker1"}
        self.outcome = "completed"
        self.end = End("successful")
        self.go_on = threading.Event()
        self.go_on.set()
        self.orphans: set[str] = set()
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
            }
            for app in job.apps
        ]
        tell(Progress("task", {"task": "Plan the handoff"}))
        tell(Progress("plan", {"move_ue": execute, "relocations": planned}))
        while not self.go_on.wait(0.01):
            if cancelled():
                return End("canceled")
        if execute:
            tell(Progress("moved", {}))
        tell(Progress("phase", {"name": "image_sync", "start_s": 0.1, "duration_s": 0.1}))
        records = [record(item, job, self.outcome) for item in planned if item["execute"]]
        write_records(self.results, job.run, records)
        if self.outcome == "completed":
            for item in planned:
                self.at[item["app"]] = item["target"] if item["execute"] else item["source"]
        return self.end

    def survey(self) -> dict[str, dict[str, Any]]:
        return {
            me_host: {
                "apps": {
                    app: {
                        "state": "serving" if at == me_host else "absent",
                        "lease": None,
                        "last_relocation": None,
                        "instance": {"name": f"{app}-{me_host}", "address": "172.17.0.2"}
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


def record(item: dict[str, Any], job: Job, outcome: str) -> dict[str, Any]:
    """A relocation record."""
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
        "downtime_s": 0.02,
        "phases": [],
    }


def write_records(results: Path, run: str, records: list[dict[str, Any]]) -> None:
    """Write them as the playbook does."""
    folder = results / run
    folder.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(item) + "\n" for item in records)
    (folder / "relocations.jsonl").write_text(lines)


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
