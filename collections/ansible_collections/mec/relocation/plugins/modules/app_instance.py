#!/usr/bin/python
# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: app_instance
short_description: Make an app serve on an ME host, stop it or remove it
version_added: 0.1.0
author:
  - The mec.relocation authors (@mec-relocation)
description:
  - Deploys an app on the ME host that the module runs on, from an image that is there already, and
    tells the gateways of all ME hosts where it is.
  - Refuses to start a second writer. An app that serves on another ME host is relocated with
    M(mec.relocation.app_relocate).
extends_documentation_fragment:
  - mec.relocation.attributes
  - mec.relocation.attributes.changes
  - mec.relocation.relocation.host
options:
  app:
    description:
      - The declaration of the app.
      - With any other O(state) than V(serving), its C(name) is enough.
    type: dict
    required: true
    suboptions:
      name:
        description: A DNS label. It is also the first label of the app's stable name.
        type: str
        required: true
      image:
        description: The image in the repository, with a tag or a digest.
        type: str
      port:
        description: The TCP port on which the container speaks HTTP.
        type: int
      volume:
        description: Where the persistent volume is mounted. Left out, the app has no state.
        type: str
      health:
        description: The path that is answered with 200 when, and only when, the app serves.
        type: str
      start:
        description:
          - With V(standby), the app runs on the target before the cutover and reads its volume when
            it is activated. With V(cold), it is started within the cutover.
        type: str
        choices: [standby, cold]
      ready:
        description: With C(start=standby), the path that is answered with 200 when the idle
          instance can be activated. Left out, any answer to C(health) will do.
        type: str
      activate:
        description:
          - How a standby instance is asked to serve. One of C(http) (a path, for POST),
            C(signal) (a name) and C(exec) (a list of words).
          - Every instance gets a secret of its own in the environment variable
            C(MEC_ACTIVATION_TOKEN). The POST says it (C(Authorization), bearer), and the app
            refuses, with 403, whoever does not.
          - An instance that waits to be activated answers C(health) with anything but 200. One that
            serves already is made anew, and a new one that does is refused.
          - Left out, the app serves from its start, and is not looked at.
        type: dict
      env:
        description: Environment variables. C(MEC_ACTIVATION_TOKEN) is not among them.
        type: dict
      secrets:
        description: Environment variables that are kept out of logs and facts.
        type: dict
      limits:
        description: What an instance may use, C(cpus) and C(memory).
        type: dict
      capabilities:
        description: Capabilities that the container keeps. All others are dropped.
        type: list
        elements: str
      host_port:
        description: The port on the ME host's backbone address. Left out, it follows from the name.
        type: int
      max_connections:
        description:
          - The connections that a gateway has open to the instance at a time. Further requests wait
            at the gateway. Left out, 256.
          - Tunnels and event streams are counted by themselves, up to the same number.
        type: int
  image_id:
    description: The id of the image on this host, as M(mec.relocation.image_sync) returns it.
      Needed with O(state=serving), unless O(resume=true).
    type: str
  state:
    description:
      - V(serving), the app serves here and nowhere else.
      - V(stopped), this host's instance is ended, its volume stays.
      - V(discarded), a preparation on this host is cleaned up, with its copy of the volume. Nothing
        happens on a host on which the app is not merely prepared.
      - V(absent), this host forgets the app. Its volume stays unless O(purge=true).
    type: str
    choices: [serving, stopped, discarded, absent]
    default: serving
  resume:
    description:
      - With O(state=serving), let this host's instance serve again after a relocation with an
        unknown outcome, as it was declared. The C(name) in O(app) is enough.
      - Only right when it is certain that no other host serves it. The playbook C(settle.yml) sees
        to that.
    type: bool
    default: false
  dead:
    description:
      - ME hosts of which a person says that they are gone for good, so that nobody need ask them.
      - One that answers all the same is not gone, and the module fails.
      - One that returns later is fenced, and its volume kept aside.
    type: list
    elements: str
    default: []
  purge:
    description: With O(state=absent), remove the volume, too.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Serve the video service here
  mec.relocation.app_instance:
    app:
      name: videoapp
      image: videoapp:1.0
      port: 8080
      volume: /data
      health: /healthz
      start: standby
      activate: {http: /-/activate}
    image_id: "{{ image.image_id }}"

- name: Remove it together with its volume
  mec.relocation.app_instance:
    app: {name: videoapp}
    state: absent
    purge: true
"""

RETURN = r"""
changes:
  description: What was changed, or would be.
  returned: success
  type: list
  elements: str
  sample: [instance, gateway]
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.mec.relocation.plugins.module_utils.ground.config import HostConfig
from ansible_collections.mec.relocation.plugins.module_utils.ground.errors import RelocationError
from ansible_collections.mec.relocation.plugins.module_utils.host.deploy import deploy

APP_OPTIONS = {
    "name": {"type": "str", "required": True},
    "image": {"type": "str"},
    "port": {"type": "int"},
    "volume": {"type": "str"},
    "health": {"type": "str"},
    "start": {"type": "str", "choices": ["standby", "cold"]},
    "ready": {"type": "str"},
    "activate": {"type": "dict"},
    "env": {"type": "dict"},
    "secrets": {"type": "dict", "no_log": True},
    "limits": {"type": "dict"},
    "capabilities": {"type": "list", "elements": "str"},
    "host_port": {"type": "int"},
    "max_connections": {"type": "int"},
}


def main() -> None:
    """Bring the app into its state."""
    module = AnsibleModule(
        argument_spec={
            "app": {"type": "dict", "required": True, "options": APP_OPTIONS},
            "image_id": {"type": "str"},
            "state": {
                "type": "str",
                "choices": ["serving", "stopped", "discarded", "absent"],
                "default": "serving",
            },
            "resume": {"type": "bool", "default": False},
            "dead": {"type": "list", "elements": "str", "default": []},
            "purge": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    params = module.params
    try:
        changes, warnings = deploy(
            HostConfig.load(),
            params["app"],
            params["state"],
            image_id=params["image_id"],
            resume=params["resume"],
            dead=params["dead"],
            purge=params["purge"],
            check=module.check_mode,
        )
    except RelocationError as error:
        module.fail_json(msg=str(error))
    for warning in warnings:
        module.warn(warning)
    module.exit_json(
        changed=bool(changes),
        changes=changes,
        diff={"prepared": "".join(f"{params['app']['name']}: {change}\n" for change in changes)},
    )


if __name__ == "__main__":
    main()
