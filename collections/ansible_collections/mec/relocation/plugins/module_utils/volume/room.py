# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The room that a volume takes, and that the target has to have for it."""

from __future__ import annotations

import os

from ..ground.config import HostConfig
from ..ground.errors import RelocationError
from ..wire.host import Host
from ..wire.steps import Space

# What the target keeps free beside the volume: logs, the container layer, files in transit.
_RESERVE_BYTES = 16 * 1024 * 1024


def require_room(config: HostConfig, app: str, target: Host) -> None:
    """Raise unless the volume fits on the target, beside what the target has of it already."""
    room = target.begin(Space(app)).result()
    needed = tree_bytes(str(config.pv_root / app)) - room["present_bytes"] + _RESERVE_BYTES
    if needed > room["free_bytes"]:
        raise RelocationError(
            f"The volume of {app!r} needs {_mib(needed)} more on {target.name}, which has "
            f"{_mib(room['free_bytes'])} free below its PV root.",
            f"Make room on {target.name}.",
        )


def tree_bytes(path: str) -> int:
    """The bytes that the files below a path take on disk, each hard link once."""
    total, seen = 0, set()
    for folder, _folders, files in os.walk(path):
        for file in files:
            try:
                status = os.lstat(os.path.join(folder, file))
            except FileNotFoundError:
                continue
            if (status.st_dev, status.st_ino) not in seen:
                seen.add((status.st_dev, status.st_ino))
                total += status.st_blocks * 512
    return total


def _mib(size_bytes: int) -> str:
    return f"{size_bytes / 2**20:.1f} MiB"
