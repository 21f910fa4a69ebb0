# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kill the engine while it starts a container, until it keeps the port for nobody; start that.

    port.py IMAGE ADDRESS

Runs on a host, from the folder of its library. Prints after how many kills that was so, and the
status of the container at the end.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from typing import Any

from docker.errors import APIError, DockerException
from mec_relocation.platform.engine import DockerEngine

TRIES = 60
PORT = 29999


def kill_within_start(name: str, after_s: float) -> None:
    """The engine and what it starts containers with end; what runs already goes on."""
    with subprocess.Popen(
        ["docker", "start", name], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ):
        time.sleep(after_s)
        killed = ("--kill-whom=main", "docker.service", "containerd.service")
        subprocess.run(["systemctl", "kill", "--signal=KILL", *killed], check=True)
    # However often they have been killed.
    subprocess.run(
        ["systemctl", "reset-failed", "docker.service", "containerd.service"], check=True
    )
    subprocess.run(["systemctl", "start", "docker.service"], check=True)


def keeps_the_port(container: Any) -> bool:
    """Whether it cannot be started for that reason."""
    try:
        container.start()
    except APIError as error:
        return "port is already allocated" in str(error)
    container.stop(timeout=0)
    return False


def main() -> None:
    image, address = sys.argv[1:]
    container = DockerEngine().client.containers.create(
        image, name="mec-test-port", ports={"8080/tcp": (address, PORT)}
    )
    try:
        kills = 0
        while kills == 0 or not keeps_the_port(container):
            if kills == TRIES:
                sys.exit(f"{kills} kills did not have the engine keep a port.")
            kill_within_start(container.name, 0.02 + 0.02 * (kills % 12))
            kills += 1
        DockerEngine().start(container)
        container.reload()
        print(json.dumps({"kills": kills, "status": container.status}))
    finally:
        with contextlib.suppress(DockerException):
            container.remove(force=True)


main()
