# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs a module of this collection by the library that is installed on the host.

A module that Ansible packs, sends and compiles costs about half a second before it does anything;
the library on the host is loaded already. It runs the same code with the same parameters. Where
it is not installed, or not the same, the module is sent as any other.

The action plugins of the modules are this one.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.mec.relocation.plugins.module_utils.ground import library
from ansible_collections.mec.relocation.plugins.module_utils.programs import task
from ansible_collections.mec.relocation.plugins.plugin_utils.parameters import (
    command_and_parameters,
)

# Without the site's packages, Python is there in a few milliseconds.
COMMAND = (
    "exec /usr/bin/python3 -I -S /usr/lib/mec-relocation/mec_relocation/programs/client.py task"
)


class ActionModule(ActionBase):  # type: ignore[misc]
    """The action of every module whose code a host can have."""

    _requires_connection = True
    _supports_async = True
    _supports_check_mode = True

    def run(
        self, tmp: str | None = None, task_vars: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Run the module, one way or the other."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        answer = None if self._task.async_val else self._ask()
        if answer is None:
            answer = self._execute_module(task_vars=task_vars, wrap_async=self._task.async_val)
        result.update(answer)
        return result

    def _ask(self) -> dict[str, Any] | None:
        """The answer of the installed library; None where it has not taken the task."""
        command, params = command_and_parameters(self)
        request = {
            "command": command,
            "params": params,
            "check": self._task.check_mode,
            "library": _digests(),
        }
        done = self._low_level_execute_command(COMMAND, in_data=json.dumps(request).encode())
        taken, _, answer = done["stdout"].partition("\n")
        if taken != task.TAKEN:
            return None
        try:
            result: dict[str, Any] = json.loads(answer)
        except ValueError:
            raise AnsibleActionFail(
                f"The relocation library broke off with {done['rc']}: {done['stderr'][-2000:]}"
            ) from None
        return result


def _digests() -> dict[str, str]:
    """The library's files on this controller."""
    return {
        str(file.relative_to(library.ROOT)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in library.ROOT.rglob("*.py")
    }
