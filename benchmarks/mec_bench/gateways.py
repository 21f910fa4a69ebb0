# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The cells' gateways, for apps that the collection does not deploy."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from . import PROJECT
from .remote import FOLDER, install
from .site import Place

# What the role `app` writes for an app of the collection.
_BACKEND = """\
backend {app}.{place}
  server instance {address}:{port} maxconn 256

"""
_PROGRAM = f"{FOLDER}/gateway"


class Gateways:
    """The HAProxy of each ME host."""

    def __init__(self, workers: Sequence[Place]) -> None:
        self._workers = workers

    def know(self, app: str, places: Sequence[Place], port: int) -> None:
        """Give each gateway a backend of the app for each place, on the backbone."""
        config = "".join(
            _BACKEND.format(app=app, place=place.name, address=place.address, port=port)
            for place in places
        )
        for worker in self._workers:
            install(worker.ssh, PROJECT / "benchmarks" / "peers" / "gateway", "gateway")
            worker.run("install", "-m", "0644", "/dev/stdin", _file(app), given=config)
            worker.run("systemctl", "reload", "haproxy.service")

    def switch(self, app: str, place: str) -> None:
        """Send the app's requests to a place, at all gateways side by side."""
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda worker: worker.run(_PROGRAM, app, place), self._workers))

    def forget(self, app: str) -> None:
        """Remove the app from each gateway, whether or not it is there."""
        for worker in self._workers:
            worker.run("sh", "-c", f"[ ! -e {_PROGRAM} ] || {_PROGRAM} {app}")
            worker.run("rm", "-f", _file(app))
            worker.run("systemctl", "reload", "haproxy.service")


def _file(app: str) -> str:
    return f"/etc/haproxy/apps.d/{app}.cfg"
