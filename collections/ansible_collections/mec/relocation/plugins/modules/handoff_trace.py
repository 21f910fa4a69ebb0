#!/usr/bin/python
# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: handoff_trace
short_description: Turn a handoff trace into handoff messages
version_added: 0.1.0
author:
  - The mec.relocation authors (@mec-relocation)
description:
  - Reads a trace of handoffs, checks all of it, and tells which handoff message comes when under a
    policy.
  - A trace is CSV with the columns C(time_s), C(ue), C(source_cell), C(target_cell),
    C(announced_s) and C(ho_status). C(announced_s) tells how long before C(time_s) the handoff was
    announced, and is empty for a surprise. C(ho_status) is V(completed), or V(cancelled) for a
    handoff that was announced and never came.
extends_documentation_fragment:
  - mec.relocation.attributes
  - mec.relocation.attributes.reads
options:
  path:
    description: The trace.
    type: path
    required: true
  policy:
    description:
      - Under V(reactive) nothing is known of a handoff before the UE moves, and nothing of one that
        never comes.
    type: str
    choices: [adaptive, proactive, reactive]
    default: adaptive
  ues:
    description: The UEs that there are.
    type: list
    elements: str
    required: true
  cells:
    description: The cells that there are.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Read the trace
  mec.relocation.handoff_trace:
    path: benchmarks/traces/commute.csv
    policy: reactive
    ues: [ue1]
    cells: [cell1, cell2]
  register: trace
"""

RETURN = r"""
events:
  description: The handoffs of the trace, in its order.
  returned: success
  type: list
  elements: dict
messages:
  description:
    - The messages by time, each with C(at_s) (seconds since the beginning), the C(event) that it
      belongs to, and what M(mec.relocation.handoff_plan) asks for.
  returned: success
  type: list
  elements: dict
"""

from dataclasses import asdict
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.mec.relocation.plugins.module_utils.ground.errors import RelocationError
from ansible_collections.mec.relocation.plugins.module_utils.handoff.plan import POLICIES
from ansible_collections.mec.relocation.plugins.module_utils.handoff.trace import (
    messages,
    read_trace,
)


def main() -> None:
    """Read and check."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "policy": {"type": "str", "choices": list(POLICIES), "default": "adaptive"},
            "ues": {"type": "list", "elements": "str", "required": True},
            "cells": {"type": "list", "elements": "str", "required": True},
        },
        supports_check_mode=True,
    )
    params = module.params
    try:
        lines = Path(params["path"]).read_text(encoding="utf-8").splitlines()
        events = read_trace(lines, params["path"], params["ues"], params["cells"])
        found = messages(events, params["policy"])
    except (OSError, UnicodeDecodeError) as error:
        module.fail_json(msg=f"The trace {params['path']} cannot be read: {error}.")
    except RelocationError as error:
        module.fail_json(msg=str(error))
    module.exit_json(
        changed=False,
        events=[asdict(event) for event in events],
        messages=[asdict(message) for message in found],
    )


if __name__ == "__main__":
    main()
