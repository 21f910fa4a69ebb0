# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Decide what a handoff asks for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..handoff.plan import Message, Situation, plan


def run(params: Mapping[str, Any], *, check: bool) -> dict[str, Any]:  # noqa: ARG001 - it reads
    """Decide.

    Raises:
        RelocationError: the message does not fit the situation.
    """
    message = Message(
        ue=params["ue"],
        target_cell=params["target_cell"],
        source_cell=params["source_cell"],
        ho_status=params["ho_status"],
        policy=params["policy"],
        apps=None if params["apps"] is None else tuple(params["apps"]),
    )
    situation = Situation(params["cells"], params["ues"], params["me_hosts"], params["declared"])
    decided = plan(message, situation, params["handoff"]).to_dict()
    facts = {"mec_relocation": {"plan": decided}}
    return {"changed": False, "plan": decided, "ansible_facts": facts}
