# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the modules on ME hosts document alike."""

from __future__ import annotations


class ModuleDocFragment:
    """Fragments: C(mec.relocation.relocation), with C(.host), C(.handoff) or C(.target)."""

    # Modules that run on an ME host.
    HOST = r"""
options: {}
requirements:
  - An ME host prepared by the role C(me_host).
  - Debian's C(python3-docker) on the platform V(docker).
notes:
  - The module reads C(/etc/mec-relocation/host.json) on the host that it runs on.
"""

    # Modules that are one step of a handoff.
    HANDOFF = r"""
options:
  app:
    description:
      - The name of the app, a DNS label.
    type: str
    required: true
  handoff:
    description:
      - The id of the handoff that this step belongs to.
      - It owns the lease of the app. A step of another handoff is refused while a process of this
        one works on the app, and for some seconds after that.
    type: str
    required: true
  at_s:
    description:
      - When the step began, in seconds since the handoff message, for the relocation record.
    type: float
    default: 0.0
"""

    # Steps that lead to another ME host.
    TARGET = r"""
options:
  target:
    description:
      - The name of the ME host to which the app goes.
    type: str
    required: true
"""
