# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A cutover that fails or dies half way: one writer at most, and a way back to service."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from collections.abc import Iterator

import pytest

from .conftest import ME_HOST_OF, PROJECT, Testbed, soon

pytestmark = [pytest.mark.testbed, pytest.mark.both]

# A request that stays under way: its body does not end.
SLOW_REQUEST = """
import socket, ssl, time
plain = socket.create_connection(("videoapp.mec.test", 443))
tls = ssl.create_default_context().wrap_socket(plain, server_hostname="videoapp.mec.test")
tls.sendall(b"POST /api/session HTTP/1.1\\r\\nHost: videoapp.mec.test\\r\\n"
            b"Content-Type: application/json\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n"
            b"1\\r\\n{\\r\\n")
print("sent", flush=True)
time.sleep(50)
"""
# The cutover is the process on the source that holds a channel to the target's agent.
CUTOVER = "ps -o ppid= -p $(pgrep -o -f 'IdentityFile=/etc/mec-relocation/agent_key.* agent$')"


@pytest.fixture
def source(testbed: Testbed) -> str:
    return testbed.serving("videoapp")


@pytest.fixture
def target(source: str) -> str:
    return next(host for host in ME_HOST_OF.values() if host != source)


def freezer(testbed: Testbed, host: str) -> str:
    """The state of the instance's cgroup."""
    scope = f"*/docker-$({testbed.instance('videoapp')}).scope/freezer.state"
    return testbed.on(host, f'cat $(find /sys/fs/cgroup/freezer -path "{scope}")').strip()


def pause(testbed: Testbed, host: str) -> None:
    """Let the instance stand still, behind the back of the platform."""
    testbed.on(host, f"docker pause $({testbed.instance('videoapp')})")


def serves(testbed: Testbed) -> bool:
    answer = "curl --silent --max-time 5 --output /dev/null --write-out '%{http_code}' "
    return testbed.on("ue1", f"{answer} https://videoapp.mec.test/healthz || true") == "200"


@contextlib.contextmanager
def draining(testbed: Testbed, source: str, target: str, **options: float) -> Iterator[None]:
    """A cutover that waits for a request under way; the request ends with the block.

    Afterwards the cutover goes on; its end is waited for, whatever it is.
    """
    testbed.module(target, "mec.relocation.image_sync", image="videoapp:1.0")
    assert soon(lambda: not any(testbed.leases("videoapp")))
    given = {"app": "videoapp", "target": target, "handoff": f"test-{time.time():.0f}"}
    testbed.module(source, "mec.relocation.volume_sync", **given)
    testbed.on("ue1", "cat > /run/slow.py", SLOW_REQUEST)
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(
            subprocess.Popen(
                [*testbed.ssh("ue1"), "echo $$; exec python3 -u /run/slow.py"],
                stdout=subprocess.PIPE,
                text=True,
            )
        )
        assert client.stdout is not None
        pid = client.stdout.readline().strip()
        assert client.stdout.readline() == "sent\n"
        arguments = {**given, "drain_s": 60, "hold_s": 1, **options}
        cutover = stack.enter_context(
            subprocess.Popen(
                [
                    *("ansible", source, "-m", "mec.relocation.app_relocate"),
                    *("-a", json.dumps(arguments)),
                ],
                cwd=PROJECT,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        )
        # A pod that is prepared first may take its time.
        assert soon(lambda: not serves(testbed), within_s=90), "no hold was seen"
        yield
        testbed.on("ue1", f"kill {pid} || true")
        cutover.wait(timeout=120)


def kill_the_cutover(testbed: Testbed, source: str) -> None:
    testbed.on(source, f"kill -KILL $({CUTOVER})")


def test_a_cutover_that_dies_before_the_freeze_leaves_the_source_serving(
    testbed: Testbed, source: str, target: str
) -> None:
    with draining(testbed, source, target):
        kill_the_cutover(testbed, source)
        assert soon(lambda: serves(testbed))
        assert freezer(testbed, source) == "THAWED"
    # The target takes no part in that attempt any more, whatever comes late.
    assert soon(lambda: testbed.where("videoapp") == {source: "serving", target: "absent"})


def test_a_cutover_goes_on_when_the_server_of_the_library_ends(
    testbed: Testbed, source: str, target: str
) -> None:
    with draining(testbed, source, target, hold_s=60):
        for host in (source, target):
            testbed.on(host, "systemctl restart mec-relocation.service")
    assert serves(testbed)
    assert testbed.where("videoapp")[target] == "serving"


def test_a_target_that_does_not_serve_in_time_is_given_up(
    testbed: Testbed, source: str, target: str
) -> None:
    with draining(testbed, source, target, activate_s=3):
        pause(testbed, target)
    assert serves(testbed)
    assert testbed.where("videoapp") == {source: "serving", target: "absent"}
    record = testbed.module(source, "mec.relocation.app_info")["apps"]["videoapp"][
        "last_relocation"
    ]
    assert record["outcome"] == "aborted"
    assert "POST /-/activate was answered with nothing" in record["error"]


def test_what_a_cutover_left_after_it_asked_the_target_is_finished_by_the_hosts(
    testbed: Testbed, source: str, target: str
) -> None:
    with draining(testbed, source, target, activate_s=60):
        pause(testbed, target)
        # The request under way ends, and the cutover goes on to the activation.
        testbed.on("ue1", "pkill -f /run/slow.py")
        assert soon(lambda: testbed.where("videoapp")[target] == "serving")
        assert freezer(testbed, source) == "FROZEN"
        kill_the_cutover(testbed, source)
    assert soon(lambda: serves(testbed), within_s=60)
    assert soon(lambda: testbed.where("videoapp") == {source: "retired", target: "serving"})
    told = testbed.module(source, "mec.relocation.app_info")["apps"]["videoapp"]["last_relocation"]
    assert (told["outcome"], told["settled"]) == ("completed", True)
