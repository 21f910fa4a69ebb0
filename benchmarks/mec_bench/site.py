# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The testbed, as benchmarks see it: places, UE, and what all schemes share."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mec_ue.testbed import Ue

from . import PROJECT

TIMEOUT_S = 600.0
# The inventory's values are templates: Ansible itself fills them in.
_ASKED = """{{ {
    "repository": mec_repository, "image": mec_apps[0].image, "cells": mec_cells,
    "addresses": groups.all | map("extract", hostvars)
                 | selectattr("mec_backbone_address", "defined")
                 | items2dict("inventory_hostname", "mec_backbone_address"),
} }}"""


class CommandError(Exception):
    """A command failed; the message has its output."""


def run(
    command: list[str],
    given: str = "",
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> str:
    """Run a command here; returns what it printed, raises CommandError when it fails.

    It gives way to the hosts, which share this machine with what is a controller elsewhere.

    `env` is added to the environment of this process.
    """
    with subprocess.Popen(
        ["nice", "-n", "10", *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
        env={**os.environ, **(env or {})},
        # An interrupt from the terminal is for this process alone.
        start_new_session=True,
    ) as process:
        try:
            out, error = process.communicate(given, TIMEOUT_S)
        except KeyboardInterrupt:
            # Its part on another host would go on, and meet what cleans up.
            process.communicate()
            raise
        except subprocess.TimeoutExpired:
            process.kill()
            raise CommandError(f"{_shown(command)}: nothing after {TIMEOUT_S:g} s") from None
    if process.returncode != 0:
        said = f"{out[-4000:]}{error[-4000:]}".strip()
        raise CommandError(f"{_shown(command)}: status {process.returncode}\n{said}")
    return out


def _shown(command: list[str]) -> str:
    return shlex.join(command)[:500]


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
        others: the other hosts on the backbone; what the repository sends counts, too.
        ssh_config: of the testbed; knows each of its hosts by name.
        repository: the image repository, as the hosts name it.
        image: of the app, in the repository.
        environment: of a container of the app, secrets included: never on a command line. With it
            the app keeps its state folder on the volume, and serves as soon as it runs.
        folder: of this run; a scheme may keep files of its own in it.
        sockets: a folder for connections that are kept open during this run.
    """

    ue: Ue
    workers: tuple[Place, Place]
    others: tuple[Place, ...]
    ssh_config: Path
    repository: str
    image: str
    environment: Mapping[str, str]
    folder: Path
    sockets: Path


def place(name: str, address: str, cell: str, ssh_config: Path, sockets: Path) -> Place:
    """A host of the testbed, by its name in the SSH configuration."""
    options = {
        "BatchMode": "yes",
        "ControlMaster": "auto",
        "ControlPath": f"{sockets}/%C",
        "ControlPersist": "60",
        # What goes straight from host to host is authenticated by the agent of this run.
        "ForwardAgent": "yes",
    }
    words = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
    return Place(name, ("ssh", "-F", str(ssh_config), *words, name), address, cell)


def find_site(ue: Ue, folder: Path, sockets: Path) -> Site:
    """The testbed of the inventory."""
    answer = run(
        ["ansible", "localhost", "-m", "ansible.builtin.debug", "-a", json.dumps({"msg": _ASKED})],
        cwd=PROJECT,
        env={"ANSIBLE_CALLBACK_RESULT_FORMAT": "json", "ANSIBLE_NOCOLOR": "1"},
    )
    known: dict[str, Any] = json.loads(answer.partition("=>")[2])["msg"]
    ssh_config = ue.state_dir / "ssh" / "config"
    workers = [
        place(cell["me_host"], known["addresses"][cell["me_host"]], name, ssh_config, sockets)
        for name, cell in known["cells"].items()
    ]
    environment = {
        "VIDEOAPP_USER": "viewer",
        "VIDEOAPP_PASSWORD": ue.secret("videoapp_password"),
        "VIDEOAPP_STATE_DIR": "/data",
    }
    return Site(
        ue=ue,
        workers=(workers[0], workers[1]),
        others=tuple(
            place(name, address, "", ssh_config, sockets)
            for name, address in known["addresses"].items()
            if name not in [worker.name for worker in workers]
        ),
        ssh_config=ssh_config,
        repository=known["repository"],
        image=known["image"],
        environment=environment,
        folder=folder,
        sockets=sockets,
    )
