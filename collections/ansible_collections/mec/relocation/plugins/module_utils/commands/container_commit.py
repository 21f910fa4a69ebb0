# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Commit a running app and push the image."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ..ground.config import HostConfig
from ..relocation.relocate import commit


def run(params: Mapping[str, Any], *, check: bool) -> dict[str, Any]:
    """Commit and push.

    Raises:
        RelocationError: the app does not serve here, or the repository does not take the image.
    """
    begin_s = time.monotonic()
    done, sent_bytes = commit(
        HostConfig.load(), params["app"], params["handoff"], plain=params["plain"], check=check
    )
    duration_s = round(time.monotonic() - begin_s, 6)
    facts = {
        "image": done.image,
        "image_id": done.image_id,
        "layer_bytes": done.layer_bytes,
        "bytes": sent_bytes,
        "duration_s": duration_s,
        "phase": {
            "name": "container_commit",
            "start_s": params["at_s"],
            "duration_s": duration_s,
            "bytes": sent_bytes,
        },
    }
    pushed = f"push {done.layer_bytes} bytes of {params['app']}\n"
    return {
        "changed": done.changed,
        "diff": {"prepared": pushed} if done.changed else {},
        "ansible_facts": {"mec_relocation": {"container_commit": facts}},
        **facts,
    }
