# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Attach a UE to a cell."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from typing import Any

from ..ground.errors import RelocationError

COMMAND = "/usr/local/sbin/mec-ue-attach"


def run(params: Mapping[str, Any], *, check: bool) -> dict[str, Any]:
    """Attach the UE, or ask it.

    Raises:
        RelocationError: the UE cannot be attached; it stays where it is.
    """
    cell = params["cell"]
    if cell is None or check:
        answer = _attach("--status")
        previous = answer["cell"]
    else:
        answer = _attach(cell, "--grace-s", str(params["grace_s"]))
        previous = answer["previous"]
    wanted = cell or previous
    return {
        "changed": wanted != previous,
        "cell": wanted,
        "address": answer["address"],
        "diff": {"before": f"cell {previous}\n", "after": f"cell {wanted}\n"},
    }


def _attach(*arguments: str) -> dict[str, Any]:
    """Run the UE's program and read its answer."""
    try:
        done = subprocess.run([COMMAND, *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise RelocationError(
            f"There is no {COMMAND} here.", "Prepare the UE with the role ue."
        ) from None
    if done.returncode != 0:
        raise RelocationError(done.stderr.strip() or f"{COMMAND} ended with {done.returncode}.")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer
