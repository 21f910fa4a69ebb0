# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One task of a playbook, taken by the library that is installed here.

The action plugin ``installed`` asks for this over the connection that Ansible has open, and the
``server`` runs it. It spares the time in which Ansible packs a module and the host loads it.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import sys
from collections.abc import Mapping
from typing import IO, Any

from .. import commands
from ..ground.errors import RelocationError

# Said before anything is done: without it, nothing was, and the module may be sent instead.
TAKEN = "taken"


def names() -> set[str]:
    """Return the names of the commands that are installed here."""
    return {module.name for module in pkgutil.iter_modules(commands.__path__)}


def take(request: dict[str, Any], out: IO[str], installed: Mapping[str, str]) -> None:
    """Do what the request asks for, if the library is the same at both ends.

    Args:
        request: ``command``, ``params`` and ``check``, and in ``library`` the digests of the
            controller's files.
        out: where the answer goes: ``TAKEN``, and the result as JSON on the next line.
        installed: the digests of the files that this process has loaded.
    """
    if request["command"] not in names() or not installed.items() <= request["library"].items():
        return
    out.write(f"{TAKEN}\n")
    out.flush()
    command = importlib.import_module(f"{commands.__name__}.{request['command']}")
    try:
        result = command.run(request["params"], check=request["check"])
    except RelocationError as error:
        result = {"failed": True, "msg": str(error), **error.result}
    out.write(json.dumps(result) + "\n")


def main(installed: Mapping[str, str]) -> None:
    """Take the task that standard input describes."""
    take(json.load(sys.stdin), sys.stdout, installed)
