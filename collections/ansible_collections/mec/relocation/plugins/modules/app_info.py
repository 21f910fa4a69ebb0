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
  - Tells what an ME host knows of its apps. That is their declaration, the part that the host plays
    for them, their instance, who works on them, and the last relocation.
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

- name: Tell how a relocation that was uncertain has ended
  ansible.builtin.debug:
    msg: "{{ situation.apps.videoapp.last_relocation.outcome }}"
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
  description: The apps that the host knows, by name. Each value has the keys below.
  returned: success
  type: dict
  contains:
    declaration:
      description:
        - The app as it was deployed here, without its secrets.
        - C(null) where the host has only been told which one owns the app.
      type: dict
      returned: always
    state:
      description:
        - The part that this host plays for the app, as its note says. V(absent), V(prepared),
          V(taking), V(serving), V(relocating), V(retired), or V(lost) where that note is damaged.
        - Only where it is V(serving) may an instance write.
      type: str
      returned: always
    handoff:
      description: On whose behalf the note was written last. C(null) for nobody's.
      type: str
      returned: always
    epoch:
      description: The newest epoch of an owner of the app that this host knows of.
      type: int
      returned: always
    copy:
      description:
        - The epoch as of whose end the volume here is whole.
        - V(0) where there is none, or where a copy is being brought in step.
      type: int
      returned: always
    peer:
      description:
        - The other host of a relocation that is under way, or was interrupted. Where another host
          is the owner, that host.
        - C(null) for none.
      type: str
      returned: always
    current:
      description: Whether this host has heard from the others who owns the app, since it began.
      type: bool
      returned: always
    busy:
      description:
        - On whose behalf a process works on the app now, and holds its lock. A handoff, or the name
          of a task.
        - C(null) for nobody's.
      type: str
      returned: always
    lease:
      description:
        - The handoff that keeps others away between two of its modules. C(null) for none.
        - Its times are on a clock that nobody sets, and that ends with the host.
      type: dict
      returned: always
      contains:
        owner:
          description: The id of the handoff.
          type: str
          returned: always
        held_s:
          description: For how many seconds it has had the lease.
          type: float
          returned: always
        left_s:
          description: In how many seconds the lease ends, unless the handoff goes on.
          type: float
          returned: always
    instance:
      description: Its name, address, images, whether it runs and answers. C(null) for none.
      type: dict
      returned: always
    volume:
      description: Where its volume is. C(null) for none.
      type: dict
      returned: always
    last_relocation:
      description:
        - The newest record of a relocation of the app in which this host took part.
        - Where a relocation was interrupted, the source's record of it says how it ended as soon as
          that is known. It has the same id then, and C(settled) is V(true).
      type: dict
      returned: always
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
