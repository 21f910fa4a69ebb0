# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What becomes of requests while their app is relocated: the table of docs/gateway.md."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest

from .conftest import CELL_OF, ME_HOSTS, PROJECT, READABLE, Testbed, soon

pytestmark = pytest.mark.testbed

FOLDER = Path(__file__).with_name("ledger")
HOST = "ledger.mec.test"
CLIENT = "/run/ledger-client.py"
DRAIN_S = 0.2
# What ends with the instance ends within this. The time-outs of the gateway are longer.
PROMPT_S = 10

# How what is cut may end: the status of the answer, and whether the client takes it for whole.
NO_ANSWER = {(502, True)}
# While a client still sends, the gateway may only close the connection.
CLOSED = {(502, True), (None, None)}
PART = {(200, False)}
CUT = {
    "first_request": NO_ANSWER,
    "later_request": NO_ANSWER,
    "long_upload": CLOSED,
    "asked_upload": CLOSED,
    "endless_upload": CLOSED,
    "download_length": PART,
    "download_chunked": PART,
    # Without a length the end of the connection is the end of the response: nobody can tell.
    "download_close": {(200, True)},
    "event_stream": PART,
    "tunnel": {(101, None)},
}


class Client:
    """A program with requests under way."""

    def __init__(self, command: list[str]) -> None:
        self._process = subprocess.Popen(command, stdin=PIPE, stdout=PIPE, stderr=PIPE, text=True)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "under way\n"

    def end(self) -> dict[str, Any]:
        """Let it finish what it can finish; what it tells."""
        output, errors = self._process.communicate("\n", timeout=PROMPT_S)
        assert output, errors
        return dict(json.loads(output))


class Ledger:
    """The app that notes what it executes, and its clients on ue1."""

    def __init__(self, testbed: Testbed) -> None:
        self.testbed = testbed
        self.source = testbed.serving("ledger")

    @property
    def target(self) -> str:
        return next(host for host in ME_HOSTS if host != self.source)

    def relocate(self, **bounds: float) -> dict[str, Any]:
        """Relocate to the other ME host; the record."""
        with self.relocating(**bounds) as record:
            pass
        return record

    @contextlib.contextmanager
    def relocating(self, **bounds: float) -> Iterator[dict[str, Any]]:
        """A relocation to the other ME host, beside the block; the record is there after it."""
        handoff = f"hold-{time.time_ns()}"
        given = {"app": "ledger", "target": self.target, "handoff": handoff, **bounds}
        command = ["ansible", self.source, "-m", "mec.relocation.app_relocate"]
        command += ["-a", json.dumps(given)]
        env = {**os.environ, **READABLE}
        record: dict[str, Any] = {}
        with subprocess.Popen(
            command, cwd=PROJECT, env=env, stdout=PIPE, stderr=PIPE, text=True
        ) as cutover:
            yield record
            output, errors = cutover.communicate(timeout=60)
        assert "=>" in output, errors
        record.update(json.loads(output[output.index("=>") + 2 :])["record"])
        if record["outcome"] == "completed":
            self.source = self.target

    def client(self, *arguments: str) -> Client:
        """A client on ue1 that is under way."""
        return Client([*self.testbed.ssh("ue1"), "python3", "-u", CLIENT, *arguments])

    def executed(self) -> Counter[str]:
        """How many times each request was executed."""
        return Counter(self.testbed.on("ue1", f"curl --silent https://{HOST}/entries").split())

    def post(self, entry: str, max_s: float = 30) -> subprocess.Popen[str]:
        """Begin a small request; its status, Retry-After and time come out."""
        told = "%{http_code} %header{retry-after} %{time_total}"
        command = f"curl --silent --output /dev/null --write-out '{told}' --max-time {max_s}"
        command += f" --data x https://{HOST}/entries/{entry}"
        return subprocess.Popen(
            [*self.testbed.ssh("ue1"), command], stdout=PIPE, stderr=PIPE, text=True
        )

    def is_held(self) -> bool:
        """Whether a request has to wait now."""
        with self.post("probe", max_s=0.3) as curl:
            return curl.wait() != 0


@pytest.fixture(scope="module")
def ledger(testbed: Testbed) -> Iterator[Ledger]:
    """The app, deployed; its image is on both ME hosts."""
    testbed.deploy(f"{FOLDER.relative_to(PROJECT)}/ledger.yml")
    testbed.on("ue1", f"cat > {CLIENT}", (FOLDER / "client.py").read_text())
    for host in ME_HOSTS:
        testbed.module(host, "mec.relocation.image_sync", image="ledger:1.0")
    yield Ledger(testbed)
    for host in ME_HOSTS:
        testbed.module(
            host,
            "mec.relocation.app_instance",
            app={"name": "ledger"},
            state="absent",
            purge=True,
        )


@pytest.fixture(scope="module", params=["here", "across the backbone"])
def cut(request: pytest.FixtureRequest, testbed: Testbed, ledger: Ledger) -> dict[str, Any]:
    """A relocation with one request of each kind under way, and what became of them.

    The UE is in the cell of the source, or in the other one.
    """
    testbed.attach("ue1", CELL_OF[ledger.source if request.param == "here" else ledger.target])
    client = ledger.client("begin", HOST, "small_upload", "pipelined_request", *CUT)
    record = ledger.relocate()
    return {"record": record, "outcomes": client.end(), "executed": ledger.executed()}


def duration_s(record: dict[str, Any], phase: str) -> float:
    return float(sum(p["duration_s"] for p in record["phases"] if p["name"] == phase))


@pytest.mark.parametrize("kind", CUT)
def test_a_request_that_outlasts_the_drain_is_cut_and_executed_once(
    cut: dict[str, Any], kind: str
) -> None:
    outcome = cut["outcomes"][kind]
    assert (outcome["status"], outcome.get("whole")) in CUT[kind]
    assert outcome["by_itself"], "it was left open until after the relocation"
    assert cut["executed"][outcome["entry"]] == 1


def test_a_pipelined_request_behind_one_that_is_cut_goes_to_the_target(
    cut: dict[str, Any],
) -> None:
    outcome = cut["outcomes"]["pipelined_request"]
    assert (outcome["first"]["status"], outcome["status"]) == (502, 200)
    assert outcome["text"].strip() == cut["record"]["target_instance"]["name"]
    assert cut["executed"][outcome["entry"]] == 1
    assert cut["executed"][f"{outcome['entry']}-next"] == 1


def test_a_small_request_that_was_not_whole_goes_to_the_target(cut: dict[str, Any]) -> None:
    outcome = cut["outcomes"]["small_upload"]
    assert outcome["status"] == 200
    assert outcome["text"].strip() == cut["record"]["target_instance"]["name"]
    assert cut["executed"][outcome["entry"]] == 1


def test_the_drain_is_bounded(cut: dict[str, Any]) -> None:
    assert cut["record"]["outcome"] == "completed"
    assert DRAIN_S <= duration_s(cut["record"], "drain") < 3 * DRAIN_S


def test_no_relocation_waits_for_what_does_not_end_by_itself(ledger: Ledger) -> None:
    client = ledger.client("begin", HOST, "event_stream", "tunnel")
    record = ledger.relocate()
    client.end()
    assert record["outcome"] == "completed"
    assert duration_s(record, "drain") < DRAIN_S / 2


def test_a_request_waits_for_the_target_but_not_for_ever(ledger: Ledger) -> None:
    client = ledger.client("begin", HOST, "chunked_upload")
    with ledger.relocating(drain_s=30, hold_s=1) as record:
        assert soon(ledger.is_held)
        with ledger.post("waited-too-long") as curl:
            status, retry_after, time_s = curl.communicate()[0].split()
        assert (status, retry_after) == ("503", "1")
        assert 1 <= float(time_s) < 2
        with ledger.post("client-gone", max_s=0.3) as curl:
            curl.communicate()
        with ledger.post("held") as curl:
            time.sleep(0.5)
            uploaded = client.end()["chunked_upload"]
            assert curl.communicate()[0].split()[0] == "200"
    assert record["outcome"] == "completed"
    # What was under way had its time.
    assert uploaded["status"] == 200
    assert uploaded["text"].strip() == record["source_instance"]["name"]
    executed = ledger.executed()
    assert executed[uploaded["entry"]] == executed["held"] == 1
    assert executed["waited-too-long"] == executed["client-gone"] == 0


def test_after_an_abort_requests_go_on(testbed: Testbed, ledger: Ledger) -> None:
    client = ledger.client("begin", HOST, "chunked_upload")
    with ledger.relocating(drain_s=10, hold_s=30, activate_s=1) as record:
        assert soon(ledger.is_held)
        with ledger.post("held-in-vain") as curl:
            testbed.on(ledger.target, f"docker pause $({testbed.instance('ledger')})")
            assert curl.communicate()[0].split()[0] == "200"
    assert record["outcome"] == "aborted"
    uploaded = client.end()["chunked_upload"]
    assert uploaded["status"] == 200
    assert uploaded["text"].strip() == record["source_instance"]["name"]
    executed = ledger.executed()
    assert executed[uploaded["entry"]] == executed["held-in-vain"] == 1


def test_no_request_is_executed_twice(ledger: Ledger) -> None:
    client = ledger.client("write", HOST)
    for _trip in range(4):
        assert ledger.relocate()["outcome"] == "completed"
    told, executed = client.end(), ledger.executed()
    assert len(told["acknowledged"]) > 100
    assert {executed[entry] for entry in told["acknowledged"]} == {1}
    # Some took longer than the drain.
    assert set(told["unacknowledged"].values()) == {"502"}
    assert {executed[entry] for entry in told["unacknowledged"]} <= {0, 1}


def test_http_2_is_not_offered(testbed: Testbed) -> None:
    version = "curl --silent --http2 --output /dev/null --write-out '%{http_version}'"
    assert testbed.on("ue1", f"{version} https://{HOST}/healthz") == "1.1"
