# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Podman and CRIU: a container is moved with its memory, between two hosts of its own."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import yaml

from . import PROJECT
from .peers import PEERS, Peer
from .scheme import Moved
from .site import Place, Site, place, run

_INVENTORY = PROJECT / "benchmarks" / "inventory"
_HOSTS = "podman_hosts"
# What an ME host signs in to the repository with (role me_host).
_CREDENTIALS = "/etc/mec-relocation/repository.json"


class Podman(Peer):
    """Checkpoint, copy and restore, as a careful person writes it: podman.sh."""

    engine = "podman"
    port = 19004

    def __init__(self, site: Site) -> None:
        super().__init__(site, "podman", "podman checkpoint and restore")
        self._ssh_config = site.ssh_config.with_name("podman.config")
        first, second = (
            place(name, address, worker.cell, self._ssh_config, site.sockets)
            for (name, address), worker in zip(_hosts().items(), site.workers, strict=True)
        )
        self.places = (first, second)
        self.serving = first

    def create(self) -> None:
        """Have the hosts, the image on both of them, and the container on the first.

        On the other one it is made by its restore.
        """
        run([str(PROJECT / "testbed" / "image"), "podman"])
        _ansible("ansible-playbook", str(PEERS / "podman.yml"))
        credentials = json.loads(self.site.workers[0].run("cat", _CREDENTIALS))
        for here, there in (self.places, self.places[::-1]):
            _know(here, there)
            here.run(
                *("podman", "login", "--username", credentials["username"], "--password-stdin"),
                self.site.repository,
                given=credentials["password"],
            )
            here.run("podman", "pull", "--quiet", self.image)
        self.create_container(self.places[0])

    def move(self) -> Moved:
        source, target = self.serving, self.target
        arguments = [self.app, self.volume, f"{self.port}", source.name, target.name]
        gateways = [worker.name for worker in self.site.workers]
        said = run(
            [str(PEERS / "podman.sh"), *arguments, target.address, *gateways],
            env={"SSH_CONFIG": str(self._ssh_config), "SOCKETS": str(self.site.sockets)},
        )
        self.serving = target
        return Moved(phases=phases(said))

    def clean(self) -> None:
        self.gateways.forget(self.app)
        module = ("-m", "ansible.builtin.include_role", "-a", "name=testbed")
        _ansible("ansible", _HOSTS, *module, "-e", "testbed_state=removed")


def phases(said: str) -> dict[str, float]:
    """How long each phase of podman.sh took, from its lines of what has ended when."""
    ended_s = [(name, float(time_s)) for name, time_s in map(str.split, said.splitlines())]
    return {name: end - begin for (_, begin), (name, end) in pairwise(ended_s)}


def _hosts() -> dict[str, str]:
    """The hosts and their addresses on the backbone, in the order of the inventory."""
    inventory: Any = yaml.safe_load((_INVENTORY / "hosts.yml").read_text(encoding="utf-8"))
    hosts = inventory["all"]["children"]["testbed"]["children"][_HOSTS]["hosts"]
    return {name: host["mec_backbone_address"] for name, host in hosts.items()}


def _know(here: Place, there: Place) -> None:
    """Let a host know the SSH host key of another one."""
    key = there.run("cat", "/etc/ssh/ssh_host_ed25519_key.pub")
    known = f"{there.address} {key}"
    here.run("install", "-m", "0600", "/dev/stdin", "/root/.ssh/known_hosts", given=known)


def _ansible(program: str, *arguments: str) -> None:
    """Run Ansible with the testbed's hosts and those of this scheme."""
    both = (PROJECT / "inventories" / "local", _INVENTORY)
    inventories = [word for inventory in both for word in ("-i", str(inventory))]
    run([program, *inventories, *arguments], cwd=PROJECT)
