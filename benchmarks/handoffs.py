#!/usr/bin/env python3
# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Many handoffs back and forth, under the probe and a viewer who writes: `make handoffs`.

One `ansible-playbook` a handoff, all into one results folder: the records, the raw samples of every
probe, what the viewer found, and a summary of them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from typing import Any

from mec_bench.handoff import handoff
from mec_bench.site import CommandError
from mec_bench.viewer import writing
from mec_ue.testbed import PROJECT, find_ue

UE = "ue1"
HOST = "videoapp.mec.test"
OTHER_CELL = {"cell1": "cell2", "cell2": "cell1"}


def spread(values: list[float]) -> dict[str, float]:
    """Median and the ends of a distribution."""
    ordered = sorted(values)
    last = len(ordered) - 1
    return {
        "min": ordered[0],
        "median": statistics.median(ordered),
        "p90": ordered[round(0.9 * last)],
        "p99": ordered[round(0.99 * last)],
        "max": ordered[-1],
    }


def summary(records: list[dict[str, Any]], viewer: dict[str, Any]) -> dict[str, Any]:
    """What a run of handoffs shows."""
    verified = [r["verification"]["verified"] for r in records if r["verification"]]
    return {
        "handoffs": len(records),
        "completed": sum(record["outcome"] == "completed" for record in records),
        "verified": sum(verified),
        "not_verified": len(verified) - sum(verified),
        "downtime_s": spread([record["downtime_s"] for record in records]),
        "longest_gap_s": spread([record["client"]["longest_gap_s"] for record in records]),
        "requests": sum(record["client"]["requests"] for record in records),
        "failed": sum(record["client"]["failed"] for record in records),
        "bytes": spread([sum(phase["bytes"] for phase in r["phases"]) for r in records]),
        "viewer": viewer,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--video", default="aurora")
    parser.add_argument(
        "--reactive", action="store_true", help="the UE moves, and only then it is heard of"
    )
    parser.add_argument("--run", help="add to this run, of another platform perhaps")
    options = parser.parse_args()
    run = options.run or time.strftime("handoffs-%Y%m%d-%H%M%S")
    status = "in_execution" if options.reactive else ""
    folder = PROJECT / "results" / run
    ue = find_ue(UE)
    cell = ue.cell()
    viewer: dict[str, Any] = {}
    with writing(ue, HOST, options.video, viewer):
        for number in range(1, options.count + 1):
            cell = OTHER_CELL[cell]
            handoff(UE, cell, run=run, ho_status=status)
            record = json.loads((folder / "relocations.jsonl").read_text().splitlines()[-1])
            print(
                f"{number:3d}/{options.count}  {record['source']} -> {record['target']}  "
                f"downtime {record['downtime_s'] * 1000:6.1f} ms  "
                f"longest gap {record['client']['longest_gap_s'] * 1000:6.1f} ms  "
                f"failed {record['client']['failed']}",
                flush=True,
            )
    lines = (folder / "relocations.jsonl").read_text().splitlines()[-options.count :]
    result = summary([json.loads(line) for line in lines], viewer)
    (folder / "handoffs.json").write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))
    print(f"records, samples and summary: results/{run}/")
    lost = viewer.get("lost", True) or viewer.get("went_back", 1)
    failed = result["failed"] or result["not_verified"]
    sys.exit(1 if lost or failed or result["completed"] < options.count else 0)


if __name__ == "__main__":
    try:
        main()
    except CommandError as error:
        sys.exit(f"handoffs: {error}")
