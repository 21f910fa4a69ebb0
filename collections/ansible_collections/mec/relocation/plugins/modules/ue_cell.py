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

import json

from ansible.module_utils.basic import AnsibleModule

COMMAND = "/usr/local/sbin/mec-ue-attach"


def attach(module: AnsibleModule, *arguments: str) -> dict[str, str]:
    """Run the UE's program and read its answer."""
    code, output, errors = module.run_command([COMMAND, *arguments])
    if code != 0:
        module.fail_json(msg=errors.strip() or f"{COMMAND} ended with {code}.")
    answer: dict[str, str] = json.loads(output)
    return answer


def main() -> None:
    """Attach the UE, or ask it."""
    module = AnsibleModule(
        argument_spec={"cell": {"type": "str"}, "grace_s": {"type": "float", "default": 0.2}},
        supports_check_mode=True,
    )
    cell = module.params["cell"]
    before = attach(module, "--status")
    after, changed = before, cell is not None and cell != before["cell"]
    if changed and not module.check_mode:
        after = attach(module, cell, "--grace-s", str(module.params["grace_s"]))
    module.exit_json(
        changed=changed,
        cell=cell or before["cell"],
        address=after["address"],
        diff={"before": f"cell {before['cell']}\n", "after": f"cell {cell or before['cell']}\n"},
    )


if __name__ == "__main__":
    main()
