# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One handoff of the collection, as its users start it."""

from __future__ import annotations

from collections.abc import Mapping

from . import PROJECT
from .site import run


def handoff(ue: str, cell: str, **variables: str) -> None:
    """Run the playbook; raises CommandError when it fails."""
    given: Mapping[str, str] = {"ue": ue, "target_cell": cell, **variables}
    extra = [word for name, value in given.items() for word in ("-e", f"{name}={value}")]
    run(["ansible-playbook", "playbooks/handoff.yml", *extra], cwd=PROJECT)
