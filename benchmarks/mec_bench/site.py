# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The testbed, as benchmarks see it: places, UE, and what all schemes share."""

from __future__ import annotations

import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path

from mec_ue.testbed import Ue

TIMEOUT_S = 600.0


class CommandError(Exception):
    """A command failed; the message has its output."""


def run(command: list[str], given: str = "", cwd: Path | None = None) -> str:
    """Run a command here; returns what it printed, raises CommandError when it fails."""
    ended = subprocess.run(
        command,
        input=given,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    if ended.returncode != 0:
        said = f"{ended.stdout[-4000:]}{ended.stderr[-4000:]}".strip()
        raise CommandError(f"{shlex.join(command)[:500]}: status {ended.returncode}\n{said}")
    return ended.stdout


@dataclass(frozen=True)
class Place:
    """A host that can run the app, and the cell that it is nearest to.

    Attributes:
        ssh: the beginning of a command that runs on it, over a connection that is kept open.
        address: on the backbone.
    """

    name: str
    ssh: tuple[str, ...]
    address: str
    cell: str

    def run(self, *command: str, given: str = "") -> str:
        """Run a command there; returns what it printed, raises CommandError when it fails."""
        return run([*self.ssh, shlex.join(command)], given)


@dataclass(frozen=True)
class Site:
    """What a scheme is made from.

    Attributes:
        workers: the ME hosts, whose HAProxy are the gateways of the cells.
        image: of the app, with the repository's name in front.
        environment: of the app's container, secrets included: never on a command line.
        folder: of this run; a scheme may keep files of its own in it.
    """

    ue: Ue
    workers: tuple[Place, Place]
    image: str
    environment: dict[str, str]
    folder: Path
