# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every figure that the report shows, as the object that becomes summary.json."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from . import figures, paper, replay
from .counts import outcomes, requests
from .folder import Folder
from .records import CRITICAL_PHASES, Client, Instance, Phase, Preparation, Relocation
from .series import Repetition, Series, origin, policies_by_handoff, series_of, title_of

Json = dict[str, Any]

# The record keeps microseconds; a difference beyond them is one.
_RECORD_RESOLUTION_S = 2e-6


def summary(folder: Folder) -> Json:
    """What the report of a folder says."""
    found = series_of(folder)
    relocations = _relocations(folder, found)
    result: Json = {
        "run": folder.name,
        "series_from": origin(folder),
        "paper": _paper(),
        "series": [_series(each, folder.preparations) for each in found],
        "phase_order": merged(
            [_phase_names(each.completed, folder.preparations) for each in found]
        ),
        "replay": replay.policies(folder),
        "relocations": relocations,
        "environment": folder.environment,
        "method": {
            "resamples": figures.RESAMPLES,
            "confidence_percent": figures.CONFIDENCE_PERCENT,
            "seed": figures.SEED,
        },
        "files": folder.files,
        "notes": _notes(folder, relocations),
    }
    return {key: _tidy(value) for key, value in result.items()}


def _paper() -> Json:
    return {
        "mean_downtime_s": paper.MEAN_DOWNTIME_S,
        "repetitions": [
            {
                "number": number,
                "downtime_s": downtime_s,
                "source_instance": _instance(source),
                "target_instance": _instance(target),
            }
            for number, (downtime_s, source, target) in enumerate(paper.TABLE_4, start=1)
        ],
    }


def _series(series: Series, preparations: Sequence[Preparation]) -> Json:
    completed = series.completed
    clients = [relocation.client for relocation in completed if relocation.client]
    downtimes_s = _numbers(relocation.downtime_s for relocation in completed)
    gaps_s = [gap for client in clients for gap in figures.gaps(client.answer_ends_s)]
    downtime = figures.figures(downtimes_s)
    experiments = [r.experiment for r in series.repetitions if r.experiment]
    return {
        "name": series.name,
        "title": series.title,
        "outcomes": outcomes(series.relocations),
        "requests": requests(series.relocations),
        "volume_verified": _kept(relocation.verified for relocation in completed),
        "session_kept": _kept(experiment.session_kept for experiment in experiments),
        "watch_time_kept": _kept(experiment.watch_time_kept for experiment in experiments),
        "figures": {
            "downtime_s": downtime,
            "longest_gap_s": figures.figures([client.longest_gap_s for client in clients]),
            "slowest_request_s": figures.figures(_numbers(client.slowest_s for client in clients)),
            "failed_requests": figures.figures([client.failed for client in clients]),
            "total_s": figures.figures(_numbers(relocation.total_s for relocation in completed)),
            "bytes": figures.figures([_bytes(found, preparations) for found in completed]),
            "longest_stall_s": figures.figures(
                _numbers(
                    repetition.experiment.longest_stall_s
                    for repetition in series.repetitions
                    if repetition.experiment and repetition.relocation.completed
                )
            ),
        },
        "ratio_to_paper": downtime and downtime["mean"] / paper.MEAN_DOWNTIME_S,
        "repetitions": [_repetition(repetition) for repetition in series.repetitions],
        "phases": _phases(completed, preparations),
        "gaps": {"count": len(gaps_s), "points": figures.curve(gaps_s)},
        "timeline": _timeline(completed),
    }


def _kept(answers: Iterable[bool | None]) -> Json:
    """How often something was kept or verified, of how many times that anyone looked."""
    looked = [answer for answer in answers if answer is not None]
    return {"kept": sum(looked), "of": len(looked)}


def _repetition(repetition: Repetition) -> Json:
    relocation, experiment = repetition.relocation, repetition.experiment
    return {
        "number": repetition.number,
        "id": relocation.id,
        "outcome": relocation.outcome,
        "downtime_s": relocation.downtime_s,
        "source": relocation.source,
        "source_instance": _instance(relocation.source_instance),
        "target": relocation.target,
        "target_instance": _instance(relocation.target_instance),
        "session_kept": experiment and experiment.session_kept,
        "watch_time_kept": experiment and experiment.watch_time_kept,
    }


def _bytes(relocation: Relocation, preparations: Sequence[Preparation]) -> int:
    """What a relocation moved, with the preparations that were made for it."""
    return sum(phase.bytes for phase in _all_phases(relocation, preparations))


def _phases(relocations: Sequence[Relocation], preparations: Sequence[Preparation]) -> list[Json]:
    """Medians by phase, in the order in which phases come; a phase left out counts as 0 bytes."""
    all_phases = [_all_phases(relocation, preparations) for relocation in relocations]
    found = []
    for name in _phase_names(relocations, preparations):
        same = [[phase for phase in phases if phase.name == name] for phases in all_phases]
        durations_s = [sum(phase.duration_s for phase in phases) for phases in same if phases]
        moved = [sum(phase.bytes for phase in phases) for phases in same]
        found.append(
            {
                "name": name,
                "count": len(durations_s),
                "duration_s": statistics.median(durations_s),
                "bytes": statistics.median(moved),
            }
        )
    return found


def _phase_names(
    relocations: Sequence[Relocation], preparations: Sequence[Preparation]
) -> list[str]:
    return merged(
        list(dict.fromkeys(phase.name for phase in _all_phases(relocation, preparations)))
        for relocation in relocations
    )


def _all_phases(relocation: Relocation, preparations: Sequence[Preparation]) -> list[Phase]:
    """The phases of a relocation, after those of the preparations that were made for it."""
    ahead = [made.phases for made in preparations if made.key == relocation.key]
    return [phase for phases in (*ahead, relocation.phases) for phase in phases]


def merged(orders: Iterable[Sequence[str]]) -> list[str]:
    """One order of all names: what is new in an order follows what it follows there."""
    result: list[str] = []
    for order in orders:
        place = 0
        for name in order:
            if name not in result:
                result.insert(place, name)
            place = result.index(name) + 1
    return result


def _timeline(completed: Sequence[Relocation]) -> Json | None:
    """The phases of the relocation with the median downtime (nearest rank)."""
    measured = [found for found in completed if found.downtime_s is not None]
    if not measured:
        return None
    ordered = sorted(measured, key=lambda found: (found.downtime_s or 0, found.id))
    shown = ordered[(len(ordered) - 1) // 2]
    return {
        "id": shown.id,
        "downtime_s": shown.downtime_s,
        "phases": [dataclasses.asdict(phase) for phase in shown.phases],
        "critical": _critical(shown.phases),
    }


def _critical(phases: Sequence[Phase]) -> Json | None:
    """The critical section: from the beginning of `hold` to the end of `switch`."""
    first, last = CRITICAL_PHASES
    begins_s = [phase.start_s for phase in phases if phase.name == first]
    ends_s = [phase.end_s for phase in phases if phase.name == last]
    if not begins_s or not ends_s:
        return None
    return {"start_s": min(begins_s), "end_s": max(ends_s)}


def _relocations(folder: Folder, found: Sequence[Series]) -> list[Json]:
    titles = {r.relocation: each.title for each in found for r in each.repetitions}
    policies = policies_by_handoff(folder)
    return [
        {
            "id": relocation.id,
            "time": relocation.time,
            "series": titles.get(relocation)
            or (title_of(policies[relocation.id]) if relocation.id in policies else None),
            "app": relocation.app,
            "ue": relocation.ue,
            "source": relocation.source,
            "target": relocation.target,
            "outcome": relocation.outcome,
            "downtime_s": relocation.downtime_s,
            "total_s": relocation.total_s,
            **_seen(relocation.client),
            "bytes": _bytes(relocation, folder.preparations),
            "verified": relocation.verified,
            "fallback": relocation.fallback,
            "warning": relocation.warning,
            "error": relocation.error,
        }
        for relocation in folder.relocations
    ]


def _seen(client: Client | None) -> Json:
    if client is None:
        return dict.fromkeys(("longest_gap_s", "slowest_request_s", "requests", "failed"))
    return {
        "longest_gap_s": client.longest_gap_s,
        "slowest_request_s": client.slowest_s,
        "requests": client.sent,
        "failed": client.failed,
    }


def _notes(folder: Folder, relocations: Sequence[Json]) -> list[str]:
    """What a reader has to know before he believes the figures."""
    notes = []
    uncounted = sum(relocation["series"] is None for relocation in relocations)
    if uncounted:
        notes.append(f"{_some(uncounted)} in no series and counted nowhere.")
    unseen = sum(relocation.client is None for relocation in folder.relocations)
    if unseen:
        notes.append(f"{_some(unseen)} without samples of the UE's probe.")
    differing = sum(
        abs(client.longest_gap_s - client.recorded_gap_s) > _RECORD_RESOLUTION_S
        for client in (relocation.client for relocation in folder.relocations)
        if client
    )
    if differing:
        records = "1 record says" if differing == 1 else f"{differing} records say"
        notes.append(f"{records} another longest gap than the samples.")
    return notes


def _some(count: int) -> str:
    return "1 relocation is" if count == 1 else f"{count} relocations are"


def _instance(instance: Instance | None) -> Json | None:
    return None if instance is None else dataclasses.asdict(instance)


def _numbers(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _tidy(value: Any) -> Any:
    """Without the digits that only binary fractions have."""
    if isinstance(value, float):
        return round(value, 9)
    if isinstance(value, dict):
        return {key: _tidy(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_tidy(each) for each in value]
    return value
