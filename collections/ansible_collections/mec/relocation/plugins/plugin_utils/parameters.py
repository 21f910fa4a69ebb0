# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a task asks for, as the module would see it."""

from __future__ import annotations

import importlib
from typing import Any

from ansible.plugins.action import ActionBase


def command_and_parameters(action: ActionBase) -> tuple[str, dict[str, Any]]:
    """The name of the module, and its parameters: validated, with their defaults.

    Raises:
        AnsibleActionFail: they are not what the module takes.
    """
    command = action._task.action.rpartition(".")[2]
    module = importlib.import_module(
        f"ansible_collections.mec.relocation.plugins.modules.{command}"
    )
    _, params = action.validate_argument_spec(
        argument_spec=module.ARGUMENT_SPEC, required_if=getattr(module, "REQUIRED_IF", None)
    )
    return command, params
