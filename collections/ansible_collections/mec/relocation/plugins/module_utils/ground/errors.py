# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one exception of the relocation library, and the next step that several errors name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class RelocationError(Exception):
    """Something that the caller has to know: the thing, the reason, the next step.

    Modules turn it into ``fail_json`` in one place; the agent sends it over the channel.

    Attributes:
        result: what a module returns beside the message.
    """

    def __init__(
        self, message: str, hint: str | None = None, result: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(f"{message} {hint}" if hint else message)
        self.message = message
        self.hint = hint
        self.result = dict(result or {})


def settle_command(app: str, keep: str, dead: str = "") -> str:
    """Return the command by which a person says which ME host keeps an app.

    Args:
        app: the app.
        keep: the host that keeps it.
        dead: the one that is gone for good; empty: none is.
    """
    command = f"ansible-playbook playbooks/settle.yml -e app={app} -e keep={keep}"
    return f"{command} -e dead={dead}" if dead else command


def damaged_note(app: str, host: str) -> RelocationError:
    """Return what is raised where it is not known whether an app serves on a host."""
    return RelocationError(
        f"The note about app {app!r} on {host} is damaged, so it may serve there.",
        f"Say which copy is to be kept: {settle_command(app, host)}",
    )
