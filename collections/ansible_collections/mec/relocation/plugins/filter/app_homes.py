# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where apps are to be served."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

DOCUMENTATION = r"""
name: app_homes
short_description: Tell on which ME host each app is to be served
version_added: 0.2.0
author: The mec.relocation authors (@mec-relocation)
description:
  - An app that an ME host owns is served there, also while it is being relocated.
  - One that nobody owns is served where its newest volume is.
  - A new one is served on the first host.
options:
  _input:
    description: The names of the apps.
    type: list
    elements: str
    required: true
  answers:
    description: What M(mec.relocation.app_info) returned as C(apps) on each ME host, by host.
    type: dict
    required: true
  first:
    description: Where a new app is served.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Tell where the apps are to be served
  ansible.builtin.debug:
    msg: "{{ ['videoapp'] | mec.relocation.app_homes(answers, 'worker1') }}"
"""

RETURN = r"""
_value:
  description: The ME host of each app.
  type: dict
"""

_OWNERS = ("serving", "relocating", "taking")


def app_homes(
    apps: Sequence[str], answers: Mapping[str, Mapping[str, Any]], first: str
) -> dict[str, str]:
    """Return the ME host on which each app is to be served."""
    return {app: _home(app, answers, first) for app in apps}


def _home(app: str, answers: Mapping[str, Mapping[str, Any]], first: str) -> str:
    known = {host: told[app] for host, told in answers.items() if app in told}
    owners = {host: part for host, part in known.items() if part["state"] in _OWNERS}
    if owners:
        return max(owners, key=lambda host: owners[host]["epoch"])
    copies = {host: part["copy"] for host, part in known.items() if part["copy"]}
    return max(copies, key=lambda host: copies[host]) if copies else first


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return them by name."""
        return {"app_homes": app_homes}
