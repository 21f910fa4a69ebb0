# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which apps serve nowhere, so that a play that deploys them needs hosts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

DOCUMENTATION = r"""
name: unplaced
short_description: The declared apps that no ME host has
version_added: 0.1.0
author: The mec.relocation authors (@mec-relocation)
description:
  - Tells which of C(mec_apps) none of the ME hosts has, as the answers of
    M(mec.relocation.app_info) have it that the role C(survey) has kept.
  - While the answer of an ME host is missing, none is told, as that host may have it.
positional: me_hosts
options:
  _input:
    description: C(hostvars).
    type: dict
    required: true
  me_hosts:
    description: The names of the ME hosts.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Deploy what is declared and serves nowhere
  hosts: "{{ 'me_hosts' if hostvars | mec.relocation.unplaced(groups['me_hosts']) else [] }}"
  roles:
    - role: app
"""

RETURN = r"""
_value:
  description: The names of the apps.
  type: list
  elements: str
"""


def unplaced(hostvars: Mapping[str, Mapping[str, Any]], me_hosts: Iterable[str]) -> list[str]:
    """The names of the apps that are declared, and that no ME host has."""
    hosts = [hostvars[name] for name in me_hosts]
    answers = [host.get("survey_me_host", {}).get("apps") for host in hosts]
    placed: set[str] = set()
    for apps in answers:
        if apps is None:
            return []
        placed.update(name for name, app in apps.items() if app["state"] != "absent")
    return [app["name"] for app in hosts[0]["mec_apps"] if app["name"] not in placed]


class FilterModule:
    """For Ansible: the filters of this file."""

    def filters(self) -> dict[str, Callable[..., object]]:
        """By their names."""
        return {"unplaced": unplaced}
