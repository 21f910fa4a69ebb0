# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which relocations belong together: the series of an experiment, or what stands for them."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass

from .folder import Folder
from .records import Experiment, Key, Relocation

TITLES = {
    "proactive": "Pro-active",
    "reactive": "Re-active",
    "reactive-paper": "Re-active, the paper's order",
    "adaptive": "Adaptive",
}


@dataclass(frozen=True)
class Repetition:
    """A relocation at its place in a series. `experiment` is None outside of an experiment."""

    number: int
    relocation: Relocation
    experiment: Experiment | None = None


@dataclass(frozen=True)
class Series:
    """Relocations that are summed up together. `name` fits into a file name."""

    name: str
    title: str
    repetitions: tuple[Repetition, ...]

    @property
    def relocations(self) -> list[Relocation]:
        return [repetition.relocation for repetition in self.repetitions]

    @property
    def completed(self) -> list[Relocation]:
        return [relocation for relocation in self.relocations if relocation.completed]


def title_of(name: str) -> str:
    """What readers call a series or policy."""
    return TITLES.get(name, name.capitalize())


def origin(folder: Folder) -> str:
    """What says to which series a relocation belongs: experiments, replay or scenario."""
    if folder.experiments is not None:
        return "experiments"
    return "scenario" if folder.replay is None else "replay"


def series_of(folder: Folder) -> list[Series]:
    """The series of a folder, in the order in which they are reported.

    Relocations that the experiment or the replay does not name are in none. Apps are kept apart,
    and platforms.
    """
    named = _from_experiments(folder) if folder.experiments is not None else _from_records(folder)
    apps = {repetition.relocation.app for _, repetition in named}
    platforms = {repetition.relocation.platform for _, repetition in named}
    groups: dict[tuple[str, str, str], list[Repetition]] = {}
    for name, repetition in named:
        found = repetition.relocation
        groups.setdefault((name, found.app, found.platform), []).append(repetition)
    result = []
    for name, app, platform in sorted(groups, key=_rank):
        repetitions = groups[name, app, platform]
        if repetitions[0].experiment is None:
            repetitions = [
                dataclasses.replace(repetition, number=number)
                for number, repetition in enumerate(repetitions, start=1)
            ]
        apart = [app] if len(apps) > 1 else []
        apart += [platform] if len(platforms) > 1 else []
        result.append(
            Series(
                slug("-".join([name, *apart])),
                ", ".join([title_of(name), *apart]),
                tuple(sorted(repetitions, key=lambda repetition: repetition.number)),
            )
        )
    return result


def slug(name: str) -> str:
    """A name as a part of a file name."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "unnamed"


def policies_by_handoff(folder: Folder) -> dict[str, str]:
    """Which policy made a handoff."""
    return {id_: event.policy for event in folder.replay or () for id_ in event.handoffs}


def _rank(group: tuple[str, str, str]) -> tuple[int, str, str, str]:
    name, app, platform = group
    known = list(TITLES)
    return (known.index(name) if name in known else len(known), name, app, platform)


def _from_experiments(folder: Folder) -> list[tuple[str, Repetition]]:
    # The last record of a handoff that was tried twice is the one that counts.
    by_key: dict[Key, Relocation] = {found.key: found for found in folder.relocations}
    return [
        (experiment.series, Repetition(experiment.repetition, by_key[experiment.key], experiment))
        for experiment in folder.experiments or ()
    ]


def _from_records(folder: Folder) -> list[tuple[str, Repetition]]:
    if folder.replay is None:
        return [(found.scenario, Repetition(0, found)) for found in folder.relocations]
    policies = policies_by_handoff(folder)
    return [
        (policies[found.id], Repetition(0, found))
        for found in folder.relocations
        if found.id in policies
    ]
