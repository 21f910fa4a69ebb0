#!/usr/bin/python
# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: app_check
short_description: Check the declarations of apps
version_added: 0.1.0
author:
  - The mec.relocation authors (@mec-relocation)
description:
  - Checks that each declaration is an app as the other modules take it, that no name stands twice
    and that no two apps take the same port of an ME host.
  - Runs on the controller and touches nothing, so that a mistake is told before a host is changed.
extends_documentation_fragment:
  - mec.relocation.attributes
  - mec.relocation.attributes.reads
options:
  apps:
    description: The declarations. See O(mec.relocation.app_instance#module:app) for their keys.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Check what is declared
  mec.relocation.app_check:
    apps: "{{ mec_apps }}"
"""

RETURN = r"""
apps:
  description: The declarations with every default filled in, without their secrets.
  returned: success
  type: list
  elements: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.mec.relocation.plugins.module_utils.ground.app import check_all
from ansible_collections.mec.relocation.plugins.module_utils.ground.errors import RelocationError


def main() -> None:
    """Check."""
    module = AnsibleModule(
        argument_spec={"apps": {"type": "list", "elements": "dict", "required": True}},
        supports_check_mode=True,
    )
    for declaration in module.params["apps"]:
        secrets = declaration.get("secrets")
        if isinstance(secrets, dict):
            module.no_log_values.update(str(value) for value in secrets.values())
    try:
        apps = [app.public() for app in check_all(module.params["apps"])]
    except RelocationError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, apps=apps)


if __name__ == "__main__":
    main()
