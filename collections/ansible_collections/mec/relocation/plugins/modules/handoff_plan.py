#!/usr/bin/python
# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: handoff_plan
short_description: Turn a handoff message into a plan
version_added: 0.1.0
author:
  - The mec.relocation authors (@mec-relocation)
description:
  - Decides what a handoff message asks for. That is the scenario, source and target of each app of
    the UE, and what is still to be prepared.
  - A pure function of its options. It runs on the controller and touches nothing.
extends_documentation_fragment:
  - mec.relocation.attributes
  - mec.relocation.attributes.reads
options:
  ue:
    description: The UE that changes its cell.
    type: str
    required: true
  target_cell:
    description: The cell that it goes to.
    type: str
    required: true
  source_cell:
    description: The cell that it comes from. Where given, it has to be the one that it is in.
    type: str
  ho_status:
    description:
      - The state of the handoff, as C(HoStatus) of ETSI GS MEC 012, in any case.
      - V(IN_PREPARATION) prepares. V(IN_EXECUTION) moves the UE and relocates its apps,
        V(COMPLETED) relocates them after the UE has moved by itself. What was prepared is
        completed, the rest is relocated re-actively. V(CANCELLED) and V(REJECTED) clean a
        preparation up.
      - Left out, the handoff is prepared and completed in one go, unless the UE has moved already.
    type: str
  policy:
    description:
      - V(adaptive), the message and what is prepared decide.
      - V(proactive) and V(reactive), one scenario in any case. It serves to compare them.
    type: str
    choices: [adaptive, proactive, reactive]
    default: adaptive
  apps:
    description: The apps of the UE that follow it. Left out, all of O(declared).
    type: list
    elements: str
  declared:
    description: The names of the apps that are declared.
    type: list
    elements: str
    required: true
  cells:
    description: The cells by name, each with its C(me_host).
    type: dict
    required: true
  ues:
    description: The UEs by name, each with the C(cell) that it is in.
    type: dict
    required: true
  me_hosts:
    description:
      - The ME hosts by name, each with what M(mec.relocation.app_info) returned there.
      - For one that does not answer, what Ansible registers (C(unreachable) and C(msg)).
    type: dict
    required: true
  handoff:
    description: The id of this handoff. A handoff that was prepared goes on under its own.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Decide what the handoff asks for
  mec.relocation.handoff_plan:
    ue: ue1
    target_cell: cell2
    handoff: 20260102T030405-1f2e3d4c
    declared: [videoapp]
    cells:
      cell1: {me_host: worker1}
      cell2: {me_host: worker2}
    ues:
      ue1: {cell: cell1}
    me_hosts:
      worker1: "{{ hostvars.worker1.situation }}"
      worker2: "{{ hostvars.worker2.situation }}"
  register: plan
"""

RETURN = r"""
plan:
  description:
    - What is to be done.
    - C(move_ue) tells whether the UE changes its cell, C(relocations) what happens to each app.
    - The C(decision) for an app is V(proactive), V(continue) (a pro-active one), V(reactive),
      V(abort) (and clean up) or V(nothing), and its C(reason) says in words why.
  returned: success
  type: dict
ansible_facts:
  description: The same, as C(mec_relocation.plan).
  returned: success
  type: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.mec.relocation.plugins.module_utils.programs.command import carry_out

ARGUMENT_SPEC: dict[str, Any] = {
    "ue": {"type": "str", "required": True},
    "target_cell": {"type": "str", "required": True},
    "source_cell": {"type": "str"},
    "ho_status": {"type": "str"},
    "policy": {
        "type": "str",
        "choices": ["adaptive", "proactive", "reactive"],
        "default": "adaptive",
    },
    "apps": {"type": "list", "elements": "str"},
    "declared": {"type": "list", "elements": "str", "required": True},
    "cells": {"type": "dict", "required": True},
    "ues": {"type": "dict", "required": True},
    "me_hosts": {"type": "dict", "required": True},
    "handoff": {"type": "str", "required": True},
}


def main() -> None:
    """Decide."""
    # Not above: who only wants to know the parameters need not load what they are for.
    from ansible_collections.mec.relocation.plugins.module_utils.commands.handoff_plan import run

    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    carry_out(module, run)


if __name__ == "__main__":
    main()
