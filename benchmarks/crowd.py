#!/usr/bin/env python3
# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Handoffs of apps that know nothing of relocations, under a crowd of clients: `make crowd`.

The apps are the HTTP servers of Python's library, with threads and without: each has a backlog of
5 connections, and is started within the cutover. What waits in the hold is more than they take at
once. The target: no request fails, and the longest gap is the downtime and 50 ms at most.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

from handoffs import OTHER_CELL, spread
from mec_bench.handoff import handoff
from mec_bench.remote import PROGRAMS, install, running
from mec_bench.site import CommandError, run
from mec_ue.testbed import PROJECT, Ue, find_ue

DECLARATIONS = PROJECT / "benchmarks" / "mec_bench" / "plain" / "plain.yml"
APPS = ("plain-threads", "plain-single")
BEYOND_S = 0.05


def hand_off(ue: Ue, app: str, cell: str, clients: int, results: str) -> dict[str, Any]:
    """Hand off once; the record, with what the crowd saw."""
    program = install(ue.ssh, PROGRAMS / "crowd.py", "crowd.py")
    crowd: dict[str, Any] = {}
    command = ("python3", program, f"{app}.{ue.domain}", str(clients))
    with running(ue.ssh, *command, found=crowd):
        handoff(ue.name, cell, declarations=DECLARATIONS, handoff_apps=[app], run=results)
    lines = (PROJECT / "results" / results / "relocations.jsonl").read_text().splitlines()
    return {**json.loads(lines[-1]), "crowd": crowd}


def summary(records: list[dict[str, Any]]) -> dict[str, Any]:
    """What the handoffs of one app show."""
    beyond_s = [record["client"]["longest_gap_s"] - record["downtime_s"] for record in records]
    return {
        "handoffs": len(records),
        "completed": sum(record["outcome"] == "completed" for record in records),
        "downtime_s": spread([record["downtime_s"] for record in records]),
        "longest_gap_s": spread([record["client"]["longest_gap_s"] for record in records]),
        "gap_beyond_downtime_s": spread(beyond_s),
        "requests": sum(r["client"]["requests"] + r["crowd"]["requests"] for r in records),
        "failed": sum(r["client"]["failed"] + r["crowd"]["failed"] for r in records),
        "missed": sum(value > BEYOND_S for value in beyond_s),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=10, help="handoffs of each app")
    parser.add_argument("--clients", type=int, default=8)
    options = parser.parse_args()
    results = time.strftime("crowd-%Y%m%d-%H%M%S")
    ue = find_ue("ue1")
    records: dict[str, list[dict[str, Any]]] = {app: [] for app in APPS}
    deploy = ["ansible-playbook", "playbooks/deploy.yml", "-e", f"@{DECLARATIONS}"]
    run([*deploy, "--limit", "!manager"], cwd=PROJECT)
    try:
        for app in APPS:
            for number in range(1, options.count + 1):
                cell = OTHER_CELL[ue.cell()]
                record = hand_off(ue, app, cell, options.clients, results)
                if record["outcome"] != "completed":
                    raise CommandError(f"{app}: {record['error']}")
                records[app].append(record)
                gap_s, down_s = record["client"]["longest_gap_s"], record["downtime_s"]
                print(
                    f"{app} {number:3d}/{options.count}  downtime {down_s * 1000:6.1f} ms  "
                    f"longest gap {(gap_s - down_s) * 1000:+6.1f} ms  "
                    f"failed {record['client']['failed'] + record['crowd']['failed']} "
                    f"{record['crowd']['why'] or ''}",
                    flush=True,
                )
    finally:
        for app in APPS:
            gone = json.dumps({"app": {"name": app}, "state": "absent", "purge": True})
            run(
                ["ansible", "me_hosts", "-m", "mec.relocation.app_instance", "-a", gone],
                cwd=PROJECT,
            )
    found = {app: summary(seen) for app, seen in records.items()}
    folder = PROJECT / "results" / results
    (folder / "crowd.json").write_text(json.dumps({**found, "records": records}, indent=2) + "\n")
    print(json.dumps(found, indent=2))
    print(f"records, samples and summary: results/{results}/")
    sys.exit(any(seen["failed"] or seen["missed"] for seen in found.values()))


if __name__ == "__main__":
    try:
        main()
    except CommandError as error:
        sys.exit(f"crowd: {error}")
