# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is varied: one table a sweep, one row a load."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB


@dataclass(frozen=True)
class Load:
    """What every scheme carries while it is measured.

    Attributes:
        files, size_bytes: what lies on the volume beside the app's own files.
        dirty_bytes_s: written by a process within the instance.
        changed_bytes: rewritten between two relocations, while nothing is measured.
        viewer: whether a viewer writes, and the probe asks every few milliseconds. Without, only
            the relocation itself crosses the backbone.
        apps: relocated in one handoff; one of them is watched.
        rate_bit_s: of the backbone; None: what it gives.
    """

    files: int = 10
    size_bytes: int = 10 * MIB
    dirty_bytes_s: int = 0
    changed_bytes: int = 0
    viewer: bool = True
    apps: int = 1
    rate_bit_s: int | None = None


@dataclass(frozen=True)
class Sweep:
    """Rows that differ in one thing, and the schemes that are compared in them.

    Attributes:
        axis: what the rows differ in; a row's name is its value.
        rows: each row's name, and its load.
        schemes: their names; the first is what all others are set against.
    """

    title: str
    axis: str
    rows: Mapping[str, Load]
    schemes: tuple[str, ...]


ALL = (
    "standby-proactive",
    "cold-proactive",
    "standby-reactive",
    "cold-reactive",
    "script",
    "playbook",
    "podman",
    "floor",
)
_FEW = ("standby-proactive", "script", "floor")

SWEEPS: Mapping[str, Sweep] = {
    "schemes": Sweep("All schemes, one load", "load", {"usual": Load()}, ALL),
    "files": Sweep(
        "Number of files on the volume, 100 MiB together",
        "files",
        {f"{files}": Load(files=files, size_bytes=100 * MIB) for files in (10, 1_000, 10_000)}
        | {"100000": Load(files=100_000, size_bytes=100 * MIB)},
        _FEW,
    ),
    "size": Sweep(
        "Size of the volume, in 1,000 files",
        "MiB",
        {f"{size // MIB}": Load(files=1_000, size_bytes=size) for size in (10 * MIB, 100 * MIB)}
        | {"1024": Load(files=1_000, size_bytes=GIB)},
        _FEW,
    ),
    "volume": Sweep(
        "A small volume and a large one",
        "files, MiB",
        {"10-10": Load(), "100000-1024": Load(files=100_000, size_bytes=GIB)},
        _FEW,
    ),
    "dirty": Sweep(
        "Rate at which the instance writes",
        "kB/s",
        {f"{rate}": Load(dirty_bytes_s=rate * 1000) for rate in (0, 100, 1_000, 10_000)},
        _FEW,
    ),
    "return": Sweep(
        "Bytes of a return trip, by what was changed before it",
        "MiB changed",
        {
            f"{size}": Load(files=100, size_bytes=100 * MIB, changed_bytes=size * MIB, viewer=False)
            for size in (0, 1, 10, 50)
        },
        ("standby-proactive", "script"),
    ),
    "apps": Sweep(
        "Apps relocated in one handoff",
        "apps",
        {f"{apps}": Load(apps=apps) for apps in (1, 5, 20, 50)},
        ("standby-proactive",),
    ),
    "rate": Sweep(
        "Rate of the backbone",
        "Mbit/s",
        {f"{rate}": Load(rate_bit_s=rate * 1_000_000) for rate in (1_000, 100, 10)},
        _FEW,
    ),
}
