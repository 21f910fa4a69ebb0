# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Relocate a running app to another ME host."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..ground.config import HostConfig
from ..ground.errors import RelocationError
from ..relocation.cutover import Bounds
from ..relocation.relocate import Order, is_there, prepare, relocate


def run(params: Mapping[str, Any], *, check: bool) -> dict[str, Any]:
    """Relocate, or prepare it.

    Raises:
        RelocationError: it was not begun, or it did not complete; then with the record.
    """
    order = Order(
        app=params["app"],
        target=params["target"],
        handoff=params["handoff"],
        ue=params["ue"],
        scenario=params["scenario"],
        first_commit=params["first_commit"],
        verify=params["verify"],
        at_s=params["at_s"],
        earlier=params["earlier"],
        bounds=Bounds(params["hold_s"], params["drain_s"], params["activate_s"]),
    )
    config = HostConfig.load()
    if is_there(config, order):
        return {"changed": False}
    if params["state"] == "prepared":
        return {"changed": prepare(config, order, check=check)}
    diff = {
        "before": f"{order.app} serves on {config.name}\n",
        "after": f"{order.app} serves on {order.target}\n",
    }
    if check:
        return {"changed": True, "diff": diff}
    record = relocate(config, order)
    result = {"record": record, "ansible_facts": {"mec_relocation": {"record": record}}}
    if record["outcome"] != "completed":
        raise RelocationError(record["error"], result=result)
    warnings = [told for told in (record["warning"], record["error"]) if told]
    return {"changed": True, "diff": diff, "warnings": warnings, **result}
