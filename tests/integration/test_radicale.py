# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An app that is not ours moves while a client writes to it, and no write is lost."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .conftest import CELL_OF, OTHER_CELL

pytestmark = [pytest.mark.testbed, pytest.mark.both]

CLIENT = Path(__file__).resolve().parents[2] / "examples" / "radicale" / "client.py"


@contextlib.contextmanager
def writing(testbed: Any, url: str) -> Iterator[dict[str, Any]]:
    """Write from ue1 while the block runs; then the dictionary is what the client found."""
    testbed.on("ue1", "cat > /tmp/caldav-client.py", CLIENT.read_text())
    command = f"python3 /tmp/caldav-client.py {url} --duration-s 300"
    found: dict[str, Any] = {}
    with subprocess.Popen(
        [*testbed.ssh("ue1"), command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as client:
        assert client.stdin is not None
        client.stdin.write(testbed.secret("radicale_password") + "\n")
        client.stdin.flush()
        time.sleep(2)
        yield found
        output, errors = client.communicate(timeout=120)
    assert output, errors
    found.update(json.loads(output))


@pytest.mark.parametrize("trip", ["there", "back"])
def test_no_acknowledged_write_is_lost(testbed: Any, radicale: str, trip: str) -> None:
    begin = CELL_OF[testbed.serving("radicale")]
    testbed.attach("ue1", begin)
    target = OTHER_CELL[begin]
    with writing(testbed, radicale) as found:
        testbed.playbook(
            "handoff", "-e", "@examples/radicale.yml", "-e", "ue=ue1", "-e", f"target_cell={target}"
        )
    assert testbed.cell("ue1") == target != begin, trip
    (record,) = testbed.records()
    assert (record["app"], record["outcome"]) == ("radicale", "completed")
    assert found["lost"] == found["altered"] == found["duplicates"] == []
    assert found["failed"] == 0, found["first_failures"]
    assert found["acknowledged"] > 100
    assert record["client"]["failed"] == 0


def test_another_handoff_to_where_it_is_changes_nothing(testbed: Any, radicale: str) -> None:
    assert radicale
    output = testbed.playbook(
        "handoff",
        *("-e", "@examples/radicale.yml", "-e", "ue=ue1"),
        *("-e", f"target_cell={testbed.cell('ue1')}"),
    )
    recap = output[output.index("PLAY RECAP") :].splitlines()[1:]
    hosts = [line for line in recap if "changed=" in line]
    assert hosts and all("changed=0 " in line for line in hosts), output
