# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an engine does at a power cut, or when it is killed.

What it has pulled is on the disk after `sync`, and was not before; how a relocation uses that is a
unit test (test_power_cut), where the engine is played. And a port that it keeps for nobody, because
it ended while it started a container, keeps that from being started no longer than a second.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .conftest import Testbed

pytestmark = pytest.mark.testbed

PROGRAMS = Path(__file__).parent / "power"
LIBRARY = "cd /usr/lib/mec-relocation"
RUN = f"{LIBRARY} && unshare --mount --propagation private python3 -"


def test_a_pulled_image_outlives_a_power_cut(testbed: Testbed) -> None:
    found = json.loads(
        testbed.on("worker2", f"{RUN} videoapp:1.0", (PROGRAMS / "pull.py").read_text())
    )
    assert found["after"] == 0
    # The instrument shows what is not on the disk.
    assert found["before"] > found["files"] / 2
    # The host's own engine goes on as it was.
    assert testbed.on("worker2", "ip -brief link show docker0")
    assert not testbed.on("worker2", "ip -brief link show type bridge | grep -v docker0 || true")


def test_a_port_that_the_engine_keeps_for_nobody_does_not_keep_an_app_down(
    testbed: Testbed,
) -> None:
    host = testbed.serving("videoapp")
    serving = testbed.on(host, testbed.instance("videoapp"))
    image = testbed.on(host, f"docker inspect --format '{{{{.Image}}}}' {serving}").strip()
    program = (PROGRAMS / "port.py").read_text()
    address = json.loads(testbed.on(host, "cat /etc/mec-relocation/host.json"))["address"]
    found = json.loads(testbed.on(host, f"{LIBRARY} && python3 - {image} {address}", program))
    assert found["kills"] >= 1
    assert found["status"] == "running"
    # Another app's container is the one that it was.
    assert testbed.on(host, testbed.instance("videoapp")) == serving
    assert testbed.serving("videoapp") == host
