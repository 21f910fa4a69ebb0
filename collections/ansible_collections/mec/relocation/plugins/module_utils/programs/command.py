# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a command of ``commands`` becomes a module."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn, Protocol

from ..ground.errors import RelocationError


class Command(Protocol):
    """What a module does."""

    def __call__(self, params: Mapping[str, Any], *, check: bool) -> dict[str, Any]:
        """Do it with these parameters; returns what the module returns.

        Args:
            params: the parameters, validated, with their defaults.
            check: only tell what would be done.

        Raises:
            RelocationError: it could not be done.
        """


class Module(Protocol):
    """What is used here of an ``AnsibleModule``."""

    params: dict[str, Any]
    check_mode: bool

    def exit_json(self, **result: object) -> NoReturn:
        """End with a result."""

    def fail_json(self, msg: str, **result: object) -> NoReturn:
        """End with a failure."""


def carry_out(module: Module, command: Command) -> NoReturn:
    """Do what the module is for, and end it."""
    try:
        result = command(module.params, check=module.check_mode)
    except RelocationError as error:
        module.fail_json(msg=str(error), **error.result)
    module.exit_json(**result)
