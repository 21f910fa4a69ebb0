# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The floor: the least that lies between two instances that serve (programs/cut.py)."""

from __future__ import annotations

import json

from .peers import Peer
from .remote import FOLDER, PROGRAMS, install, install_library
from .scheme import Moved
from .site import Place, Site
from .volume import remove

_PROGRAM = "cut.py"


class Floor(Peer):
    """Freezes, sends, switches. What the target serves from is a copy made a moment before."""

    port = 19003

    def __init__(self, site: Site) -> None:
        super().__init__(site, "floor", "floor")
        self._since_ns = 0

    def prepare(self) -> None:
        super().prepare()
        for place in self.places:
            install_library(place.ssh)
            install(place.ssh, PROGRAMS / _PROGRAM, _PROGRAM)

    def ready(self) -> None:
        """Have the target's instance run on a copy that is consistent, and another one to send to.

        The source stands still for the end of it: nothing measures yet.
        """
        source, target = self.serving, self.target
        self._copy(target)
        source.run("docker", "pause", self.app)
        self._since_ns = int(source.run("date", "+%s%N"))
        self._copy(target)
        source.run("docker", "unpause", self.app)
        target.run("rm", "-rf", self._sent)
        target.run("cp", "-a", self.volume, self._sent)
        target.run("docker", "start", self.app)
        self.wait_until_healthy(target)

    def move(self) -> Moved:
        source, target = self.serving, self.target
        pid = source.run("docker", "inspect", "--format", "{{.State.Pid}}", self.app).strip()
        said = source.run(
            "python3", f"{FOLDER}/{_PROGRAM}", self.app, pid, target.name, f"{self._since_ns}"
        )
        found = json.loads(said)
        source.run("docker", "stop", self.app)
        self.serving = target
        return Moved([found["downtime_s"]], None, found["phases"])

    def clean(self) -> None:
        super().clean()
        for place in self.places:
            remove(place, self._sent)

    @property
    def _sent(self) -> str:
        return f"{self.volume}-sent"

    def _copy(self, target: Place) -> None:
        known_hosts = "/etc/mec-relocation/known_hosts"
        self.serving.run(
            *("rsync", "--archive", "--delete", f"--rsh=ssh -o UserKnownHostsFile={known_hosts}"),
            *(f"{self.volume}/", f"root@{target.address}:{self.volume}/"),
        )
