# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The tables of the report, from what summary.json holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from . import units
from .table import Group, Row, Table, plain

Json = dict[str, Any]
Show = Callable[[float | None], str]

FIGURES: dict[str, tuple[str, Show]] = {
    "downtime_s": ("Downtime", units.seconds),
    "longest_gap_s": ("Longest gap at the UE", units.seconds),
    "slowest_request_s": ("Slowest request", units.seconds),
    "failed_requests": ("Failed requests", units.number),
    "total_s": ("Total relocation time", units.seconds),
    "bytes": ("Bytes moved", units.size),
    "longest_stall_s": ("Longest stall of the video", units.seconds),
}


def table_4(summary: Json) -> Table:
    """The paper's Table 4, and the same of each series of this folder."""
    paper = summary["paper"]
    rows: tuple[Row, ...] = tuple(
        (
            units.number(each["number"]),
            units.paper_seconds(each["downtime_s"]),
            _instance(None, each["source_instance"]),
            _instance(None, each["target_instance"]),
            units.NOTHING,
            units.NOTHING,
        )
        for each in paper["repetitions"]
    )
    groups = [Group("The paper, on its own machines", rows, _mean(paper["mean_downtime_s"]))]
    for series in summary["series"]:
        downtime = series["figures"]["downtime_s"]
        rows = tuple(_repetition(each) for each in series["repetitions"])
        groups.append(Group(series["title"], rows, _mean(downtime and downtime["mean"])))
    return Table(
        "Table 4. Downtime of each repetition",
        ("No", "Downtime (s)", "Source instance", "Target instance", "Session", "Watch time"),
        tuple(groups),
        frozenset({2, 3, 4, 5}),
    )


def _mean(value_s: float | None) -> Row:
    return ("mean", units.paper_seconds(value_s), "", "", "", "")


def _repetition(each: Json) -> Row:
    completed = each["outcome"] == "completed"
    return (
        units.number(each["number"]),
        units.paper_seconds(each["downtime_s"]) if completed else each["outcome"],
        _instance(each["source"], each["source_instance"]),
        _instance(each["target"], each["target_instance"]),
        units.kept(each["session_kept"]),
        units.kept(each["watch_time_kept"]),
    )


def _instance(host: str | None, instance: Json | None) -> str:
    named = [instance["name"], instance["address"]] if instance else [units.NOTHING]
    return " ".join([host, *named] if host else named)


def overview(series: Sequence[Json]) -> Table:
    """What one wants to know first, a row a series."""
    return plain(
        "The series at a glance",
        (
            "Series",
            "Relocations",
            "Completed",
            "Aborted",
            "Uncertain",
            "Mean downtime",
            "Times the paper's mean",
            "Median longest gap",
            "Failed requests",
            "Volume verified",
            "Session kept",
            "Watch time kept",
        ),
        [
            (
                each["title"],
                *(units.number(count) for count in each["outcomes"].values()),
                units.seconds(_of(each, "downtime_s", "mean")),
                units.number(each["ratio_to_paper"]),
                units.seconds(_of(each, "longest_gap_s", "median")),
                units.share(each["requests"]),
                units.kept_of(each["volume_verified"]),
                units.kept_of(each["session_kept"]),
                units.kept_of(each["watch_time_kept"]),
            )
            for each in series
        ],
    )


def _of(series: Json, figure: str, statistic: str) -> float | None:
    spread = series["figures"][figure]
    value: float | None = spread and spread[statistic]
    return value


def figures_of(series: Json) -> Table:
    """All figures of one series."""
    rows = []
    for name, (title, show) in FIGURES.items():
        spread = series["figures"][name]
        if spread:
            rows.append(
                (
                    title,
                    units.number(spread["count"]),
                    show(spread["mean"]),
                    _interval(spread["mean_interval"], show),
                    show(spread["median"]),
                    _interval(spread["median_interval"], show),
                    *(show(spread[name]) for name in ("p95", "p99", "min", "max")),
                )
            )
    columns = ("Completed relocations", "n", "Mean", "95 % interval", "Median", "95 % interval")
    return plain(series["title"], (*columns, "p95", "p99", "Min", "Max"), rows)


def _interval(interval: Sequence[float] | None, show: Show) -> str:
    return " to ".join(show(end) for end in interval) if interval else units.NOTHING


def phases(order: Sequence[str], series: Sequence[Json]) -> Table:
    """Medians by phase, with two columns a series."""
    by_name = [{phase["name"]: phase for phase in each["phases"]} for each in series]
    columns = ["Phase"]
    for each in series:
        columns += [f"{each['title']}: time", "bytes"]
    rows = []
    for name in order:
        row = [name]
        for each in by_name:
            phase = each.get(name, {})
            row += [units.seconds(phase.get("duration_s")), units.size(phase.get("bytes"))]
        rows.append(row)
    return plain("Medians by phase", columns, rows)


def replay(policies: Sequence[Json]) -> Table:
    """What each policy made of the trace, with a column a policy."""
    figures: list[tuple[str, Callable[[Json], str]]] = [
        ("Events of the trace", lambda p: units.number(p["events"])),
        ("Announced ahead", lambda p: units.number(p["announced"])),
        ("Handoffs that came", lambda p: units.number(p["came"])),
        (
            "Came, without a completed relocation",
            lambda p: units.number(p["came_without_completion"]),
        ),
        ("Relocations", lambda p: units.number(p["outcomes"]["count"])),
        ("Completed", lambda p: units.number(p["outcomes"]["completed"])),
        ("Aborted", lambda p: units.number(p["outcomes"]["aborted"])),
        ("Uncertain", lambda p: units.number(p["outcomes"]["uncertain"])),
        ("Service interruption, sum of downtime", lambda p: units.seconds(p["downtime_sum_s"])),
        ("Median downtime", lambda p: units.seconds(_statistic(p["downtime_s"], "median"))),
        ("Longest gap at the UE", lambda p: units.seconds(p["longest_gap_s"])),
        ("Failed requests", lambda p: units.share(p["requests"])),
        ("Bytes moved in total", lambda p: units.size(p["bytes"]["total"])),
        ("Bytes moved by relocations", lambda p: units.size(p["bytes"]["relocations"])),
        ("Bytes moved by preparations", lambda p: units.size(p["bytes"]["preparations"])),
        ("Announced, never came", lambda p: units.number(p["wasted"]["in_vain"]["handoffs"])),
        (
            "Bytes prepared for these",
            lambda p: units.size(p["wasted"]["in_vain"]["bytes"]),
        ),
        (
            "Preparations without a completed relocation",
            lambda p: units.number(p["wasted"]["without_completion"]["preparations"]),
        ),
        (
            "Bytes prepared without a completed relocation",
            lambda p: units.size(p["wasted"]["without_completion"]["bytes"]),
        ),
        ("Late, median", lambda p: units.seconds(_statistic(p["late_s"], "median"))),
        ("Late, p95", lambda p: units.seconds(_statistic(p["late_s"], "p95"))),
        ("Late, at most", lambda p: units.seconds(_statistic(p["late_s"], "max"))),
    ]
    rows = [(title, *(show(policy) for policy in policies)) for title, show in figures]
    return plain("Replay, by policy", ("Figure", *(each["title"] for each in policies)), rows)


def _statistic(spread: Json | None, name: str) -> float | None:
    return spread[name] if spread else None


def relocations(summary: Json) -> Table:
    """Every relocation of the folder."""
    rows = [
        (
            each["id"],
            each["series"] or "not counted",
            each["app"],
            each["source"],
            each["target"],
            each["outcome"],
            units.seconds(each["downtime_s"]),
            units.seconds(each["longest_gap_s"]),
            units.number(each["failed"]),
            units.size(each["bytes"]),
            "; ".join(text for text in (each["error"], each["warning"], each["fallback"]) if text),
        )
        for each in summary["relocations"]
    ]
    texts = ("Handoff", "Series", "App", "From", "To", "Outcome")
    figures = ("Downtime", "Longest gap", "Failed", "Bytes")
    return plain(
        "All relocations",
        (*texts, *figures, "Error, warning or fallback"),
        rows,
        {0, 1, 2, 3, 4, 5, 10},
    )


def environment(found: Json) -> Table:
    """Whatever environment.json says, a group for each object in it."""
    alone = {key: value for key, value in found.items() if not isinstance(value, dict)}
    parts = {key: value for key, value in found.items() if isinstance(value, dict)}
    groups = [Group("", tuple(_leaves(alone)))] if alone else []
    groups += [Group(_words(key), tuple(_leaves(value))) for key, value in parts.items()]
    return Table("Machine and versions", ("What", "Value"), tuple(groups), frozenset({0, 1}))


def _leaves(found: Json, prefix: str = "") -> list[Row]:
    rows: list[Row] = []
    for key, value in found.items():
        name = f"{prefix}{_words(key)}"
        if isinstance(value, dict):
            rows += _leaves(value, f"{name}, ")
        else:
            rows.append((name, _value(key, value)))
    return rows


def _value(key: str, value: object) -> str:
    if isinstance(value, list):
        return ", ".join(_value(key, each) for each in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float) and key.endswith("_bytes"):
        return units.size(value)
    if isinstance(value, int | float) and key.endswith("_s"):
        return f"{value:g} s"
    return units.NOTHING if value is None else str(value)


def _words(key: str) -> str:
    return key.removesuffix("_bytes").removesuffix("_s").replace("_", " ")


def files(summary: Json) -> Table:
    """What was read, with the samples of all probes as one."""
    found: dict[str, int] = summary["files"]
    probes = [count for name, count in found.items() if name.startswith("probe-")]
    rows = [
        (name, "1", units.number(count))
        for name, count in found.items()
        if not name.startswith("probe-")
    ]
    if probes:
        rows.append(("probe-*.csv", units.number(len(probes)), units.number(sum(probes))))
    return plain("Files that this report was computed from", ("File", "Files", "Lines"), rows)
