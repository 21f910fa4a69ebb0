"""Twenty UEs that drive ten times faster than any would, on the way to a thousand handoffs.

A hundred of them is what `make test` waits for; RLAPP_HANDOFFS=1000 is the whole drive, and -s
shows what came of it.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
from played import TOKEN
from running import environment, process, write_config

HANDOFFS = int(os.environ.get("RLAPP_HANDOFFS", "100"))
# In the UEs' own time. With 1 there are 200 in a second of ours: how many a machine bears is to be
# measured, and what it cannot bear is dropped.
REPORT_S = os.environ.get("RLAPP_REPORT_S", "3")
UES = [f"sim{number}" for number in range(1, 21)]
LOOP = Path(__file__).parents[2] / "ue" / "traces" / "loop.geojson"
CELLS = {
    "cell1": {"me_host": "worker1", "zone": "zone1", "lat": 37.4990, "lon": 127.0300},
    "cell2": {"me_host": "worker2", "zone": "zone2", "lat": 37.5006, "lon": 127.0354},
}
# What runs a handoff of the real project takes longer; here it is the queue that is driven.
PHASE_S = 0.02
STATE_WITHIN_S = 1.0
# Half-way everything has happened once: what grows from then on grows for ever.
GROWTH_BYTES = 32 * 2**20


def settings() -> dict[str, Any]:
    """Twenty UEs, each with an app of its own."""
    cells = {
        name: {**cell, "range_m": 600, "cell_id": f"{number:028b}"}
        for number, (name, cell) in enumerate(CELLS.items(), 1)
    }
    apps = {ue: f"app-{ue}" for ue in UES}
    return {
        "cells": cells,
        "ues": {ue: {"address": f"acr:{ue}", "apps": [app]} for ue, app in apps.items()},
        "apps": {app: {"port": 8080} for app in apps.values()},
        "tokens": {"machine": {"file": "token"}},
        "prediction": {"lead_s": 5},
    }


def resident_bytes(number: int) -> int:
    """What a process has in memory."""
    pages = int(Path(f"/proc/{number}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def executed(client: httpx.Client) -> dict[str, list[dict[str, Any]]]:
    """The handoffs that moved a UE, of each UE in their order."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for handoff in reversed(client.get("/api/handoffs?limit=1000").json()):
        if handoff["ho_status"] in ("IN_EXECUTION", "COMPLETED"):
            found[handoff["ue"]].append(handoff)
    return found


def test_no_handoff_of_many_is_lost_or_run_twice(tmp_path: Path) -> None:
    wanted = settings()
    wanted["tokens"]["machine"]["file"] = str(tmp_path / "token")
    wanted["handoffs"] = {
        "project": str(tmp_path),
        "results": str(tmp_path / "results"),
        "parallel": 8,
    }
    file = write_config(tmp_path, **wanted)
    cells = tmp_path / "cells.json"
    cells.write_text(json.dumps({"cells": CELLS}))
    took_s: list[float] = []
    resident: list[int] = []
    with process(file, played_s=PHASE_S) as (client, running):
        drive = [sys.executable, "-m", "mec_ue.drive", str(LOOP), "--cells", str(cells), "--loop"]
        drive += ["--simulate", str(len(UES)), "--ue", "sim", "--speed-mps", "25"]
        drive += ["--times-faster", "10", "--report-s", REPORT_S, "--rlapp", str(client.base_url)]
        drive += ["--token-file", str(tmp_path / "token")]
        assert (tmp_path / "token").read_text().strip() == TOKEN
        began_s = time.monotonic()
        with subprocess.Popen(
            drive, env=environment(), stderr=subprocess.PIPE, text=True
        ) as driving:
            relocated = 0
            while relocated < HANDOFFS:
                assert time.monotonic() < began_s + 60 + HANDOFFS, f"{relocated} handoffs so far"
                assert driving.poll() is None
                time.sleep(1)
                asked_s = time.monotonic()
                state = client.get("/api/state", timeout=10)
                took_s.append(time.monotonic() - asked_s)
                assert state.status_code == 200
                resident.append(resident_bytes(running.pid))
                newest = client.get("/api/relocations?limit=1").json()
                relocated = newest[0]["rlapp_number"] if newest else 0
            lasted_s = time.monotonic() - began_s
            driving.terminate()
            assert driving.stderr is not None
            summary = json.loads(driving.stderr.read().splitlines()[-1])
        deadline_s = time.monotonic() + 30
        while any(h["state"] in ("queued", "running") for h in client.get("/api/handoffs").json()):
            assert time.monotonic() < deadline_s
            time.sleep(0.2)
        handoffs = executed(client)
        relocations = client.get("/api/relocations?limit=1000").json()

    assert (summary["refused"], summary["dropped"]) == (0, 0)
    assert set(handoffs) == set(UES)
    for ue, own in handoffs.items():
        assert all(handoff["state"] == "completed" for handoff in own), ue
        targets = [handoff["target_cell"] for handoff in own]
        # Each from where the one before has led, so none is missing, and none is there twice.
        assert all(a != b for a, b in pairwise(targets)), (ue, targets)
    runs = [record["rlapp_handoff"] for record in relocations]
    assert len(set(runs)) == len(runs)
    half = len(resident) // 2
    grown = resident[-1] - max(resident[: half + 1])
    slowest_s = statistics.quantiles(took_s, n=20)[-1]
    print(
        f"\n{relocated} relocations of {len(UES)} UEs in {lasted_s:.0f} s; {summary};"
        f" state: median {statistics.median(took_s) * 1000:.0f} ms, 95 % {slowest_s * 1000:.0f} ms;"
        f" resident {resident[0] / 2**20:.0f} MiB at first, {resident[half] / 2**20:.0f} half-way,"
        f" {resident[-1] / 2**20:.0f} in the end"
    )
    assert slowest_s < STATE_WITHIN_S
    assert grown < GROWTH_BYTES
