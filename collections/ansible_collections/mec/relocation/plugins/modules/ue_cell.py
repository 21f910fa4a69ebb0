#!/usr/bin/python
# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ue_cell
short_description: Attach a UE to a cell
version_added: 0.1.0
author:
  - The mec.relocation authors (@mec-relocation)
description:
  - Attaches the UE that the module runs on to a cell. Its address and its route to the apps change,
    make-before-break.
  - Without O(cell), tells which cell the UE is in.
extends_documentation_fragment:
  - mec.relocation.attributes
  - mec.relocation.attributes.changes
requirements:
  - A UE prepared by the role C(ue).
options:
  cell:
    description: The cell to attach to.
    type: str
  grace_s:
    description: Seconds for which requests under way keep the old address.
    type: float
    default: 0.2
"""

EXAMPLES = r"""
- name: Hand the UE off to the second cell
  mec.relocation.ue_cell:
    cell: cell2

- name: Ask where it is
  mec.relocation.ue_cell:
  register: ue
"""

RETURN = r"""
cell:
  description: The cell that the UE is in.
  returned: success
  type: str
  sample: cell2
address:
  description: Its address there. In check mode, the address that it has now.
  returned: success
  type: str
  sample: 192.168.100.101
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.mec.relocation.plugins.module_utils.programs.command import carry_out

ARGUMENT_SPEC: dict[str, Any] = {
    "cell": {"type": "str"},
    "grace_s": {"type": "float", "default": 0.2},
}


def main() -> None:
    """Attach the UE, or ask it."""
    # Not above: who only wants to know the parameters need not load what they are for.
    from ansible_collections.mec.relocation.plugins.module_utils.commands.ue_cell import run

    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    carry_out(module, run)


if __name__ == "__main__":
    main()
