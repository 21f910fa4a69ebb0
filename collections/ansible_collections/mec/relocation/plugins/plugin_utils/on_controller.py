# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs a module that only computes, within Ansible's own process."""

from __future__ import annotations

import importlib
import json
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.mec.relocation.plugins.module_utils.ground.errors import RelocationError
from ansible_collections.mec.relocation.plugins.plugin_utils.parameters import (
    command_and_parameters,
)

_COMMANDS = "ansible_collections.mec.relocation.plugins.module_utils.commands"


class ActionModule(ActionBase):  # type: ignore[misc]
    """The action of every module that is a pure function."""

    _requires_connection = False
    _supports_check_mode = True

    def run(
        self, tmp: str | None = None, task_vars: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Compute."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        command, params = command_and_parameters(self)
        try:
            answer = importlib.import_module(f"{_COMMANDS}.{command}").run(
                params, check=self._task.check_mode
            )
        except RelocationError as error:
            answer = {"failed": True, "msg": str(error), **error.result}
        # As a module's answer comes: lists, dictionaries and what is in them.
        result.update(json.loads(json.dumps(answer)))
        return result
