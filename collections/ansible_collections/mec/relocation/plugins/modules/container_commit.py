#!/usr/bin/python
# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: container_commit
short_description: Commit an app's instance and push it to the repository
version_added: 0.1.0
author:
  - The mec.relocation authors (@mec-relocation)
description:
  - Makes an image of what the instance on this ME host has changed above its base image, and has it
    in the repository. Only the container layer crosses. The base layers are there.
  - The instance goes on. A commit is a first one, whose rest M(mec.relocation.app_relocate) sends
    within the cutover of a re-active relocation.
  - What was pushed of the instance before is not sent again. Where nothing has changed since,
    nothing is pushed.
  - The image carries none of the app's environment. It has the tag C(relocation-<app>) in the
    repository until the next commit.
extends_documentation_fragment:
  - mec.relocation.attributes
  - mec.relocation.attributes.changes
  - mec.relocation.relocation.host
  - mec.relocation.relocation.handoff
options:
  plain:
    description:
      - Commit and push with the engine, as the paper does, instead of reading the container layer
        where the engine keeps it.
      - An engine whose storage is not overlay2 commits in this way in any case.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Commit the video service while it serves
  mec.relocation.container_commit:
    app: videoapp
    handoff: 20260102T030405-1f2e3d4c
  register: commit

- name: Have it on the target
  mec.relocation.image_sync:
    image: "{{ commit.image }}"
  delegate_to: worker2
"""

RETURN = r"""
image:
  description: The image in the repository, by its digest. In check mode, the one committed last.
  returned: success
  type: str
  sample: videoapp@sha256:0b5a2e6b2a0e5a4b1c1a3e0e6a7c3fbd2d9f3a8b7e0c8d9a6b5c4d3e2f1a0b9c
image_id:
  description: The digest of its config, by which an engine knows it.
  returned: success
  type: str
layer_bytes:
  description: The size of the files that are new or have changed, uncompressed.
  returned: success
  type: int
bytes:
  description: What was sent to the repository, compressed.
  returned: success
  type: int
duration_s:
  description: How long it took, in seconds.
  returned: success
  type: float
phase:
  description: The commit as a phase of the relocation record.
  returned: success
  type: dict
ansible_facts:
  description: The same, as C(mec_relocation.container_commit).
  returned: success
  type: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.mec.relocation.plugins.module_utils.programs.command import carry_out

ARGUMENT_SPEC: dict[str, Any] = {
    "app": {"type": "str", "required": True},
    "handoff": {"type": "str", "required": True},
    "plain": {"type": "bool", "default": False},
    "at_s": {"type": "float", "default": 0.0},
}


def main() -> None:
    """Commit and push."""
    # Not above: who only wants to know the parameters need not load what they are for.
    from ansible_collections.mec.relocation.plugins.module_utils.commands.container_commit import (
        run,
    )

    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    carry_out(module, run)


if __name__ == "__main__":
    main()
