# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A results folder, read and checked as a whole."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from ansible_collections.mec.relocation.plugins.module_utils.probe import probe

from . import records
from .lines import FolderError, Line, read_lines, read_object, read_text

Object = TypeVar("Object")

_SAMPLE_FIELDS: dict[str, Callable[[str], object]] = {
    "seq": int,
    "start_s": float,
    "duration_s": float,
    "status": lambda text: int(text or 0),
    "retried": int,
}


@dataclass(frozen=True)
class Folder:
    """What a results folder holds.

    experiments, replay, environment: None where the folder has no such file.
    files: each file that was read, with its number of objects or samples.
    """

    name: str
    relocations: tuple[records.Relocation, ...]
    preparations: tuple[records.Preparation, ...]
    experiments: tuple[records.Experiment, ...] | None
    replay: tuple[records.Event, ...] | None
    environment: dict[str, Any] | None
    files: dict[str, int]


def read(path: Path) -> Folder:
    """Read a results folder.

    Raises:
        FolderError: there is no such folder, it has no relocations, or a line of it is malformed.
    """
    if not path.is_dir():
        raise FolderError(f"There is no folder {path}.")
    files: dict[str, int] = {}
    relocations = _relocations(path, files)
    environment = path / "environment.json"
    if environment.exists():
        files[environment.name] = 1
    preparations = _objects(path / "preparations.jsonl", records.preparation, files)
    experiments = _objects(path / "experiments.jsonl", records.experiment, files)
    replay = _objects(path / "replay.jsonl", records.event, files)
    known = {relocation.key for relocation in relocations}
    for experiment in experiments or ():
        if experiment.key not in known:
            reason = f"no relocation has the id {experiment.handoff!r} and app {experiment.app!r}"
            experiment.line.fail("handoff", reason)
    return Folder(
        name=path.resolve().name,
        relocations=relocations,
        preparations=preparations or (),
        experiments=experiments,
        replay=replay,
        environment=read_object(environment) if environment.exists() else None,
        files=files,
    )


def _relocations(path: Path, files: dict[str, int]) -> tuple[records.Relocation, ...]:
    file = path / "relocations.jsonl"
    lines = read_lines(file) if file.exists() else []
    if not lines:
        raise FolderError(f"{path} has no relocations (relocations.jsonl is missing or empty).")
    files[file.name] = len(lines)
    # The newest line of a relocation counts: it may have been tried twice, or its end may have been
    # uncertain at first. The samples are those of the last attempt.
    last = {(line.text("id"), line.text("app")): line for line in lines}
    found: dict[records.Key, records.Relocation] = {}
    for line in lines:
        key = line.text("id"), line.text("app")
        samples = _samples(path, key, files) if last[key] is line else None
        found[key] = records.relocation(line, samples)
    return tuple(found.values())


def _samples(
    path: Path, key: records.Key, files: dict[str, int]
) -> tuple[probe.Sample, ...] | None:
    """The raw samples of the UE's probe; None where there are none."""
    file = path / f"probe-{key[0]}-{key[1]}.csv"
    if not file.exists():
        return None
    lines = read_text(file).splitlines(keepends=True)
    rows = csv.DictReader(lines, strict=True)
    if tuple(rows.fieldnames or ()) != probe.FIELDS:
        raise FolderError(f"{file.name}, line 1: the columns are not {','.join(probe.FIELDS)}.")
    try:
        for row in rows:
            _check_sample(row, f"{file.name}, line {rows.line_num}")
    except csv.Error as error:
        raise FolderError(f"{file.name}, line {rows.line_num}: {error}.") from error
    samples = tuple(probe.read_samples(lines))
    files[file.name] = len(samples)
    return samples


def _check_sample(row: dict[str, str], place: str) -> None:
    if any(value is None for value in row.values()) or len(row) != len(probe.FIELDS):
        raise FolderError(f"{place}: {len(probe.FIELDS)} fields are expected.")
    for field, convert in _SAMPLE_FIELDS.items():
        try:
            value = convert(row[field])
        except ValueError:
            value = math.nan
        if not (isinstance(value, int | float) and math.isfinite(value) and value >= 0):
            raise FolderError(f"{place}, field {field}: {row[field]!r} is no number from 0 up.")


def _objects(
    file: Path, convert: Callable[[Line], Object], files: dict[str, int]
) -> tuple[Object, ...] | None:
    if not file.exists():
        return None
    lines = read_lines(file)
    files[file.name] = len(lines)
    return tuple(convert(line) for line in lines)
