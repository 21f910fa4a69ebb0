#!/usr/bin/python
# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: image_sync
short_description: Make an image present on an ME host (pre-copy 1)
version_added: 0.1.0
description:
  - Makes sure that the container engine of the ME host that the task runs on has an image, and that
    the image's name means it. This is the pre-copy of the base image, done while the source serves.
  - Images are compared by digest, never by tag. An image that is present is not pulled again; a tag
    that means another image in the repository than on the host is followed.
author:
  - The mec.relocation authors (@mec-relocation)
options:
  image:
    description:
      - The image as C(name:tag) or C(name@sha256:digest), without the repository's address.
      - An image that is given by digest is named C(name:sha256-...) on the host.
    type: str
    required: true
  from:
    description:
      - With V(registry), the engine pulls the image from the repository.
      - With V(source), the engine of the ME host O(source) exports the image and this host's engine
        loads it. Layers that this host has are left out. The repository is not needed.
    type: str
    choices: [registry, source]
    default: registry
  source:
    description:
      - The ME host that the image comes from.
      - Required if O(from=source).
    type: str
  at_s:
    description:
      - When the step began, in seconds since the handoff message, for the relocation record.
    type: float
    default: 0.0
extends_documentation_fragment:
  - mec.relocation.relocation.host
attributes:
  check_mode:
    description: Can run in C(check_mode) and return changed status without modifying the target.
    support: full
    details:
      - RV(bytes) and RV(layers_moved) then tell what would come.
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in check_mode).
    support: full
  idempotent:
    description:
      - When run twice in a row outside check mode, with the same arguments, the second invocation
        indicates no change.
    support: full
    details:
      - A tag that was moved in the repository between the two is a change.
seealso:
  - module: mec.relocation.volume_sync
    description: Pre-copy 2, of the persistent volume.
"""

EXAMPLES = r"""
- name: Put the image on the target while the source serves
  mec.relocation.image_sync:
    image: videoapp:1.0

- name: Take it straight from the source, without the repository
  mec.relocation.image_sync:
    image: videoapp:1.0
    from: source
    source: worker1
"""

RETURN = r"""
image:
  description: The image that was asked for.
  type: str
  returned: success
  sample: videoapp:1.0
reference:
  description: The name of the image on the host.
  type: str
  returned: success
  sample: repository.mec.test:5000/videoapp:1.0
digest:
  description:
    - Digest of the image's manifest in the repository.
    - V(none) where the image came from a source whose engine knows none.
  type: str
  returned: success
  sample: sha256:0b5a2e6b2a0e5a4b1c1a3e0e6a7c3fbd2d9f3a8b7e0c8d9a6b5c4d3e2f1a0b9c
image_id:
  description: Id of the image on the host, which instances are started from.
  type: str
  returned: success
  sample: sha256:28c1e3ba29775749763e9634cf8f16e2543a3e0efea99b0a013dddbccf313aea
present_before:
  description: Whether the host had the image, under any name.
  type: bool
  returned: success
bytes:
  description:
    - What crossed the network for the image, in bytes.
    - From the repository, the compressed sizes of the layers that the engine downloaded. From a
      source, the size of the exported archive.
  type: int
  returned: success
  sample: 35011246
layers_moved:
  description: How many layers came.
  type: int
  returned: success
  sample: 3
duration_s:
  description: How long it took, in seconds.
  type: float
  returned: success
  sample: 0.81
phase:
  description: The pre-copy as a phase of the relocation record.
  type: dict
  returned: success
from:
  description: Where the image comes from, V(registry) or the name of the source.
  type: str
  returned: success
  sample: registry
ansible_facts:
  description: The same values as facts.
  type: dict
  returned: success
  contains:
    mec_relocation:
      description: Facts of the relocation.
      type: dict
      returned: success
      contains:
        image_sync:
          description: The return values of this module.
          type: dict
          returned: success
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.mec.relocation.plugins.module_utils.programs.command import carry_out

ARGUMENT_SPEC: dict[str, Any] = {
    "image": {"type": "str", "required": True},
    "from": {"type": "str", "choices": ["registry", "source"], "default": "registry"},
    "source": {"type": "str"},
    "at_s": {"type": "float", "default": 0.0},
}
REQUIRED_IF = [("from", "source", ["source"])]


def main() -> None:
    """Make the image present."""
    # Not above: who only wants to know the parameters need not load what they are for.
    from ansible_collections.mec.relocation.plugins.module_utils.commands.image_sync import run

    module = AnsibleModule(
        argument_spec=ARGUMENT_SPEC, required_if=REQUIRED_IF, supports_check_mode=True
    )
    carry_out(module, run)


if __name__ == "__main__":
    main()
