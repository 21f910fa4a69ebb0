# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an engine has pulled is on the disk after `sync`, and was not before.

How a relocation uses that is a unit test (test_power_cut), where the engine is played.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .conftest import Testbed

pytestmark = pytest.mark.testbed

PROGRAM = Path(__file__).parent / "power" / "pull.py"
RUN = "cd /usr/lib/mec-relocation && unshare --mount --propagation private python3 -"


def test_a_pulled_image_outlives_a_power_cut(testbed: Testbed) -> None:
    found = json.loads(testbed.on("worker2", f"{RUN} videoapp:1.0", PROGRAM.read_text()))
    assert found["after"] == 0
    # The instrument shows what is not on the disk.
    assert found["before"] > found["files"] / 2
    # The host's own engine goes on as it was.
    assert testbed.on("worker2", "ip -brief link show docker0")
    assert not testbed.on("worker2", "ip -brief link show type bridge | grep -v docker0 || true")
