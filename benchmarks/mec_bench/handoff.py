# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One handoff of the collection, as its users start it."""

from __future__ import annotations

import json
from pathlib import Path

from . import PROJECT
from .site import run


def handoff(ue: str, cell: str, *, declarations: Path | None = None, **variables: object) -> None:
    """Run the playbook; raises CommandError when it fails.

    `declarations` is a file of variables that says what the apps are, in place of the inventory.
    """
    extra = ["-e", json.dumps({"ue": ue, "target_cell": cell, **variables})]
    if declarations is not None:
        extra += ["-e", f"@{declarations}"]
    run(["ansible-playbook", "playbooks/handoff.yml", *extra], cwd=PROJECT)
