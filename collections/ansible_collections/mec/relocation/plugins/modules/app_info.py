#!/usr/bin/python
# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: app_info
short_description: Tell where apps are and what is prepared
version_added: 0.1.0
author:
  - The mec.relocation authors (@mec-relocation)
description:
  - Tells what an ME host knows of its apps. That is their declaration, the state of their instance,
    a running handoff, a preparation, and the last relocation.
  - Asked on every ME host, the answers are the situation from which M(mec.relocation.handoff_plan)
    decides.
extends_documentation_fragment:
  - mec.relocation.attributes
  - mec.relocation.attributes.reads
  - mec.relocation.relocation.host
options: {}
"""

EXAMPLES = r"""
- name: Ask every ME host what it runs
  mec.relocation.app_info:
  register: situation

- name: Show where the video service is
  ansible.builtin.debug:
    msg: "{{ situation.apps.videoapp.state }}"
"""

RETURN = r"""
host:
  description: The name of the ME host.
  returned: success
  type: str
  sample: worker1
platform:
  description: The platform of its instances.
  returned: success
  type: str
  sample: docker
version:
  description: The version of the relocation library.
  returned: success
  type: str
  sample: 0.1.0
free_bytes:
  description: Free space below the PV root.
  returned: success
  type: int
gateway:
  description: To which ME host this host's gateway sends the requests of each app.
  returned: success
  type: dict
  sample: {"videoapp": "worker1"}
apps:
  description:
    - The apps that the host knows, by name.
    - C(state) is V(serving), V(prepared), V(taking), V(relocating), V(retired) or V(absent).
    - C(declaration) is null where the host has only been told which one owns the app.
  returned: success
  type: dict
ansible_facts:
  description: The same, as C(mec_relocation.host).
  returned: success
  type: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.mec.relocation.plugins.module_utils.programs.command import carry_out

ARGUMENT_SPEC: dict[str, Any] = {}


def main() -> None:
    """Ask this host."""
    # Not above: who only wants to know the parameters need not load what they are for.
    from ansible_collections.mec.relocation.plugins.module_utils.commands.app_info import run

    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    carry_out(module, run)


if __name__ == "__main__":
    main()
