# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The tables of a benchmark's report."""

from __future__ import annotations

from typing import Any

from mec_report import units
from mec_report.table import Table, plain

from .ratios import Ratio

Json = dict[str, Any]


def targets(summary: Json) -> Table:
    """What is wanted, what was found, and whether that is it."""
    rows = [
        (
            target["text"],
            f"{'at most' if target['at_most'] else 'at least'} {target['bound']:g}",
            *_ratio(target["found"]),
            {True: "yes", False: "no", None: "not measured"}[target["met"]],
        )
        for target in summary["targets"]
    ]
    return plain("Targets", ("Figure", "Wanted", "Found", "95 % interval", "Met"), rows, {0, 1, 4})


def ratios(sweep: Json, row: Json) -> Table:
    """Longest gaps of all schemes, against ours and against the floor."""
    columns = ("Scheme", "Rounds", "Median longest gap", "95 % interval")
    against = ("Times ours", "95 % interval", "Times the floor", "95 % interval")
    rows = [
        (
            scheme["title"],
            units.number(scheme["rounds"] - scheme["failed_rounds"]),
            *_median(scheme["longest_gap_s"]),
            *_ratio(scheme["times_ours"]),
            *_ratio(scheme["times_floor"]),
        )
        for scheme in row["schemes"]
    ]
    return plain(_caption(sweep, row, "the UE's longest gap"), (*columns, *against), rows)


def others(sweep: Json, row: Json) -> Table:
    """What else was measured of all schemes: medians, and sums of requests and writes."""
    columns = (
        "Scheme",
        "Failed rounds",
        "Failed requests",
        "Writes",
        "Rounds with a write lost",
        "Gap at the switch",
        "Bytes over the backbone",
        "Command to service",
        "Message to service",
        "Command to end",
        "Downtime by its own account",
    )
    rows = [
        (
            scheme["title"],
            units.number(scheme["failed_rounds"]),
            units.share({"failed": scheme["failed"], "sent": scheme["requests"]}),
            units.number(scheme["written"]),
            units.number(scheme["rounds_with_loss"]),
            units.seconds(_of(scheme, "switch_gap_s")),
            units.size(_of(scheme, "backbone_bytes")),
            *(
                units.seconds(_of(scheme, field))
                for field in ("served_s", "message_s", "total_s", "downtime_s")
            ),
        )
        for scheme in row["schemes"]
    ]
    return plain(_caption(sweep, row, "medians, and sums of all rounds"), columns, rows)


def failures(summary: Json) -> Table:
    """Rounds without figures, and why."""
    rows = [(each["sample"], each["error"]) for each in summary["samples"]["failed"]]
    return plain("Rounds that failed", ("Round", "Reason"), rows, {0, 1})


def _caption(sweep: Json, row: Json, what: str) -> str:
    return f"{sweep['title']}; {sweep['axis']}: {row['name']}; {what}"


def _of(scheme: Json, field: str) -> float | None:
    value: float | None = scheme[field] and scheme[field]["median"]
    return value


def _median(spread: Json | None) -> tuple[str, str]:
    if spread is None:
        return units.NOTHING, units.NOTHING
    interval = spread["median_interval"]
    ends = " to ".join(units.seconds(end) for end in interval) if interval else units.NOTHING
    return units.seconds(spread["median"]), ends


def _ratio(found: Ratio | None) -> tuple[str, str]:
    if found is None:
        return units.NOTHING, units.NOTHING
    interval = found["interval"]
    ends = " to ".join(f"{end:,.2f}" for end in interval) if interval else units.NOTHING
    return f"{found['value']:,.2f}", ends
