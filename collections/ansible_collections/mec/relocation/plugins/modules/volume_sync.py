#!/usr/bin/python
# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: volume_sync
short_description: Make one pass over a persistent volume towards the target
version_added: 0.1.0
author:
  - The mec.relocation authors (@mec-relocation)
description:
  - Pre-copy 2. Brings an app's persistent volume on another ME host up to date with one pass of
    rsync, while the app goes on serving here. Only what differs crosses.
  - Repeat it until RV(bytes) of the answer is small. The last delta is sent by
    M(mec.relocation.app_relocate) within the cutover.
extends_documentation_fragment:
  - mec.relocation.attributes
  - mec.relocation.attributes.changes
  - mec.relocation.relocation.host
  - mec.relocation.relocation.handoff
  - mec.relocation.relocation.target
"""

EXAMPLES = r"""
- name: Bring the volume on worker2 up to date while the app serves
  mec.relocation.volume_sync:
    app: videoapp
    target: worker2
    handoff: 20260102T030405-1f2e3d4c
  register: volume
  until: volume.bytes < 65536
  retries: 5
  delay: 0
"""

RETURN = r"""
bytes:
  description: What crossed between the hosts, in both directions.
  returned: success
  type: int
files:
  description: The number of files that were sent, changed or deleted.
  returned: success
  type: int
duration_s:
  description: How long the pass took, in seconds.
  returned: success
  type: float
phase:
  description: The pass as a phase of the relocation record.
  returned: success
  type: dict
ansible_facts:
  description: The same, as C(mec_relocation.volume_sync).
  returned: success
  type: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.mec.relocation.plugins.module_utils.programs.command import carry_out

ARGUMENT_SPEC: dict[str, Any] = {
    "app": {"type": "str", "required": True},
    "target": {"type": "str", "required": True},
    "handoff": {"type": "str", "required": True},
    "at_s": {"type": "float", "default": 0.0},
}


def main() -> None:
    """Make the pass."""
    # Not above: who only wants to know the parameters need not load what they are for.
    from ansible_collections.mec.relocation.plugins.module_utils.commands.volume_sync import run

    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    carry_out(module, run)


if __name__ == "__main__":
    main()
