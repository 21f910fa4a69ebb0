# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bring a volume in step with the target."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..ground.config import HostConfig
from ..relocation.precopy import precopy_volume
from ..wire.channel import Channel


def run(params: Mapping[str, Any], *, check: bool) -> dict[str, Any]:
    """Make the pass.

    Raises:
        RelocationError: the app does not serve here, or the target cannot take its volume.
    """
    config = HostConfig.load()
    with Channel(config, params["target"]) as target:
        done = precopy_volume(config, params["app"], target, params["handoff"], check=check)
    duration_s = round(done.duration_s, 6)
    facts = {
        "bytes": done.bytes,
        "files": len(done.changes),
        "duration_s": duration_s,
        "phase": {
            "name": "volume_sync",
            "start_s": params["at_s"],
            "duration_s": duration_s,
            "bytes": done.bytes,
        },
    }
    return {
        "changed": bool(done.changes),
        "diff": {"prepared": "".join(f"{change}\n" for change in done.changes)},
        "ansible_facts": {"mec_relocation": {"volume_sync": facts}},
        **facts,
    }
