#!/usr/bin/python
# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: app_relocate
short_description: Relocate a running app to another ME host
version_added: 0.1.0
author:
  - The mec.relocation authors (@mec-relocation)
description:
  - The cutover of a relocation. Runs on the source as one process with a warm channel to the target
    and to every other gateway.
  - Requests are held at the gateways, those under way may finish, the source is frozen and fenced,
    the last delta of the volume crosses, the target is activated, the gateways switch and release.
  - Until the target is asked to activate, every failure ends with the source serving again. The
    record then says V(aborted) and the module fails.
  - Where it cannot be known whether the target serves, the source stays fenced and the record says
    V(uncertain). It ends by itself as soon as the two hosts see each other, and the source's record
    then says how (M(mec.relocation.app_info), C(last_relocation)). Only where the target is gone
    for good a person has to decide, with the command that the error names.
extends_documentation_fragment:
  - mec.relocation.attributes
  - mec.relocation.attributes.changes
  - mec.relocation.relocation.host
  - mec.relocation.relocation.handoff
  - mec.relocation.relocation.target
options:
  state:
    description:
      - V(relocated), the app serves on O(target).
      - V(prepared), it goes on serving here, and an instance on O(target) is ready for the cutover.
        The image and the first pass over the volume have to be there.
    type: str
    choices: [prepared, relocated]
    default: relocated
  ue:
    description: The UE whose handoff this is, for the record.
    type: str
  scenario:
    description:
      - V(proactive), the image is on the target, and the volume follows.
      - V(reactive), nothing is on the target. The container layer is committed, pushed to the
        repository and pulled by the target, and the volume follows. What the app keeps outside its
        volume arrives, too.
    type: str
    choices: [proactive, reactive]
    default: proactive
  first_commit:
    description:
      - With O(scenario=reactive), commit, push and pull a first time while the source serves, and
        only what has changed since within the hold.
      - V(false) does all of it within the hold, one after another, with the engine's own commit,
        push and pull. That is the order of the paper, kept as a baseline.
    type: bool
    default: true
  verify:
    description:
      - Compare the volume on O(target) with that of the source, path by path with all content and
        attributes, after the app serves there. The requests do not wait for it, the module does.
      - What the app has changed since is no difference. A difference, or that nothing could be
        compared, is in the record's C(error), and a warning. The app serves on O(target) all the
        same.
    type: bool
    default: false
  earlier:
    description: The phases of the handoff before this one, as the other modules returned them.
    type: list
    elements: dict
    default: []
  hold_s:
    description:
      - How long a request may wait at a gateway before it is answered with 503.
      - While the source serves, changes of the volume are sent again and again until what is left
        is small. Where the app writes too fast for that, the relocation is refused if the rest
        would take longer than this. Otherwise the record's C(warning) tells how long it takes.
    type: float
    default: 2.0
  drain_s:
    description:
      - How long requests under way may take to finish before the source is frozen.
      - One that takes longer is cut off when the source ends. Its client sees a 502, or an answer
        that breaks off.
      - Tunnels and event streams are not waited for.
    type: float
    default: 0.2
  activate_s:
    description: How long the target may take to serve. After that the relocation is aborted.
    type: float
    default: 30.0
"""

EXAMPLES = r"""
- name: Relocate the video service to worker2
  mec.relocation.app_relocate:
    app: videoapp
    target: worker2
    handoff: 20260102T030405-1f2e3d4c
    ue: ue1
  register: relocation

- name: Tell the downtime
  ansible.builtin.debug:
    msg: "{{ relocation.record.downtime_s }} s"
"""

RETURN = r"""
record:
  description: The relocation record.
  returned: when the app was not on the target already, and not in check mode
  type: dict
  contains:
    outcome:
      description:
        - How it ended, V(completed), V(aborted) or V(uncertain).
        - V(uncertain) is what is known when the module ends, and not the last word.
      type: str
      returned: always
    downtime_s:
      description:
        - Seconds from before the hold was asked for until every gateway had confirmed the release.
        - The paper's B - A.
      type: float
      returned: always
    phases:
      description: The phases with their start, duration and the bytes that they moved.
      type: list
      elements: dict
      returned: always
    verification:
      description:
        - What the comparison of the two volumes found. C(null) without O(verify), without a volume,
          and where the outcome is not V(completed).
      type: dict
      returned: always
      contains:
        verified:
          description: Whether all is equal but for what the app has changed since.
          type: bool
          returned: always
        files:
          description: The number of paths that were compared, of every kind.
          type: int
          returned: always
        bytes:
          description: The size of the files among them.
          type: int
          returned: always
        changed_since:
          description: The number of paths that the app has changed since its activation.
          type: int
          returned: always
        differing:
          description: The number of paths that differ otherwise.
          type: int
          returned: always
        differences:
          description: Some of those, and in what they differ.
          type: list
          elements: str
          returned: always
        error:
          description: Why nothing could be compared.
          type: str
          returned: always
        duration_s:
          description: How long it took, in seconds. It is not part of the relocation's times.
          type: float
          returned: always
ansible_facts:
  description: The same, as C(mec_relocation.record).
  returned: as RV(record)
  type: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.mec.relocation.plugins.module_utils.programs.command import carry_out

ARGUMENT_SPEC: dict[str, Any] = {
    "app": {"type": "str", "required": True},
    "target": {"type": "str", "required": True},
    "handoff": {"type": "str", "required": True},
    "state": {
        "type": "str",
        "choices": ["prepared", "relocated"],
        "default": "relocated",
    },
    "ue": {"type": "str"},
    "scenario": {
        "type": "str",
        "choices": ["proactive", "reactive"],
        "default": "proactive",
    },
    "first_commit": {"type": "bool", "default": True},
    "verify": {"type": "bool", "default": False},
    "at_s": {"type": "float", "default": 0.0},
    "earlier": {"type": "list", "elements": "dict", "default": []},
    "hold_s": {"type": "float", "default": 2.0},
    "drain_s": {"type": "float", "default": 0.2},
    "activate_s": {"type": "float", "default": 30.0},
}


def main() -> None:
    """Relocate."""
    # Not above: who only wants to know the parameters need not load what they are for.
    from ansible_collections.mec.relocation.plugins.module_utils.commands.app_relocate import run

    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    carry_out(module, run)


if __name__ == "__main__":
    main()
