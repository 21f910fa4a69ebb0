# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What others do: a plain container on each ME host, its volume a folder."""

from __future__ import annotations

import json

from . import PROJECT
from .gateways import Gateways
from .scheme import Moved
from .site import Place, Site, run
from .volume import begin, remove

PEERS = PROJECT / "benchmarks" / "peers"
_HEALTHY_S = 30.0
# What the collection gives its instances, too.
_CONFINED = ("--cap-drop", "ALL", "--security-opt", "no-new-privileges")
_LIMITS = ("--cpus", "1", "--memory", "512m")


class Peer:
    """A container on each ME host, of which one runs. How it is relocated is the subclass's."""

    moves_ue = False
    engine = "docker"
    port: int

    def __init__(self, site: Site, name: str, title: str) -> None:
        self.name = name
        self.title = title
        self.app = f"bench-{name}"
        self.places = site.workers
        self.volume = f"/srv/mec/pv/{self.app}"
        self.image = f"{site.repository}/{site.image}"
        self.site = site
        self.gateways = Gateways(site.workers)
        self.serving = site.workers[0]

    def prepare(self) -> None:
        self.clean()
        self.create()
        first = self.places[0]
        begin(first, self.volume)
        first.run(self.engine, "start", self.app)
        self.wait_until_healthy(first)
        self.gateways.know(self.app, self.places, self.port)
        self.gateways.switch(self.app, first.name)
        self.serving = first

    def where(self) -> Place:
        return self.serving

    def inside(self, *command: str) -> list[str]:
        return [self.engine, "exec", self.app, *command]

    def ready(self) -> None:
        """Nothing: what a peer does ahead is a part of it."""

    def clean(self) -> None:
        self.gateways.forget(self.app)
        for place in self.places:
            place.run("sh", "-c", f"docker rm --force {self.app} 2>/dev/null || true")
            remove(place, self.volume)

    @property
    def target(self) -> Place:
        """The place that does not serve."""
        return self.places[1] if self.serving is self.places[0] else self.places[0]

    def wait_until_healthy(self, place: Place) -> None:
        """Wait until the container there serves."""
        url = f"http://{place.address}:{self.port}/healthz"
        retry = ("--retry", "300", "--retry-delay", "0", "--retry-max-time", f"{_HEALTHY_S:.0f}")
        place.run(
            "curl", "--silent", "--fail", "--output", "/dev/null", *retry, "--retry-all-errors", url
        )

    def create(self) -> None:
        """Have the container on each place, where it does not run yet."""
        arguments = json.dumps({"image": self.site.image})
        for place in self.places:
            module = ("-m", "mec.relocation.image_sync", "-a", arguments)
            run(["ansible", place.name, *module], cwd=PROJECT)
            self.create_container(place)

    def create_container(self, place: Place) -> None:
        """The container, which keeps its state folder on the volume: it serves when it starts."""
        environment = "".join(f"{name}={value}\n" for name, value in self.site.environment.items())
        place.run("mkdir", "-p", self.volume)
        place.run(
            *(self.engine, "create", "--name", self.app, "--hostname", f"{self.app}-{place.name}"),
            *("--publish", f"{place.address}:{self.port}:8080", "--volume", f"{self.volume}:/data"),
            *("--env-file", "/dev/stdin", *_CONFINED, *_LIMITS),
            self.image,
            given=environment,
        )


class Script(Peer):
    """A shell script as a careful person writes it: move.sh."""

    port = 19001

    def __init__(self, site: Site) -> None:
        super().__init__(site, "script", "script")

    def move(self) -> Moved:
        source, target = self.serving, self.target
        run(
            [
                str(PEERS / "move.sh"),
                self.app,
                self.volume,
                f"{self.port}",
                source.name,
                target.name,
                target.address,
            ],
            env={"SSH_CONFIG": str(self.site.ssh_config), "SOCKETS": str(self.site.sockets)},
        )
        self.serving = target
        return Moved()


class Playbook(Peer):
    """A playbook of existing modules, as a good user writes it: move.yml."""

    port = 19002

    def __init__(self, site: Site) -> None:
        super().__init__(site, "playbook", "playbook of existing modules")

    def move(self) -> Moved:
        source, target = self.serving, self.target
        variables = {
            "app": self.app,
            "volume": self.volume,
            "port": f"{self.port}",
            "source": source.name,
        }
        extra = [word for name, value in variables.items() for word in ("-e", f"{name}={value}")]
        playbook = ["ansible-playbook", str(PEERS / "move.yml"), "--limit", target.name]
        run([*playbook, *extra], cwd=PROJECT)
        self.serving = target
        return Moved()
