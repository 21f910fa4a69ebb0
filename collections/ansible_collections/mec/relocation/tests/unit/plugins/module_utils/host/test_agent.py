# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The agent: one answer a request, whatever happens, and nothing of its own accord."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from ansible_collections.mec.relocation.plugins.module_utils.ground.errors import RelocationError
from ansible_collections.mec.relocation.plugins.module_utils.host.agent import Agent
from ansible_collections.mec.relocation.plugins.module_utils.volume.stream import Reader, Writer
from ansible_collections.mec.relocation.plugins.module_utils.wire import steps
from ansible_collections.mec.relocation.plugins.module_utils.wire.steps import Step
from ansible_collections.mec.relocation.tests.unit.plugins.module_utils.hosts import fake_host

HOLD = {"app": "a", "max_s": 2.0, "host": "worker1", "owner": "h", "end_s": 9.0}


class Noting:
    """What an ME host is asked, and how it answers."""

    def __init__(self) -> None:
        self.taken: list[Step[Any]] = []
        self.read: list[list[bytes]] = []

    def take(self, step: Step[Any], *stream: Any) -> Any:
        self.taken.append(step)
        if isinstance(step, steps.Remove):
            raise RelocationError("no such instance")
        if isinstance(step, steps.Settle):
            raise KeyError("unexpected")
        if isinstance(step, steps.Apply):
            self.read += stream[0]
        if isinstance(step, steps.Verify):
            raise RelocationError("not activated here")
        if isinstance(step, steps.ImageExport):
            stream[0].write(b"the image")
        return f"{step.step_name} done"

    def serve(self, *requests: bytes) -> bytes:
        """What an agent of this host answers."""
        out = io.BytesIO()
        Agent(fake_host(self.take)).serve(io.BytesIO(b"".join(requests)), out)
        return out.getvalue()


def request(number: int, step: str, **arguments: Any) -> bytes:
    message = {"id": number, "step": step, "arguments": arguments}
    return json.dumps(message).encode() + b"\n"


def serve(*requests: tuple[str, dict[str, Any]]) -> tuple[Noting, list[dict[str, Any]]]:
    me_host = Noting()
    said = me_host.serve(
        *(
            request(number, step, **arguments)
            for number, (step, arguments) in enumerate(requests, 1)
        )
    )
    return me_host, [json.loads(line) for line in said.splitlines()]


def stream(*records: list[bytes]) -> bytes:
    out = io.BytesIO()
    writer = Writer(out)
    for record in records:
        writer.write(*record)
    writer.close()
    return out.getvalue()


def test_steps_are_answered_in_their_order() -> None:
    _, answers = serve(("hold", HOLD), ("in_flight", {"app": "a", "host": "worker1"}))
    assert answers == [{"id": 1, "result": "hold done"}, {"id": 2, "result": "in_flight done"}]


@pytest.mark.parametrize("step", ["freeze", "_state", "image_export_all", "gateway", "serves"])
def test_a_step_that_is_not_offered_is_refused(step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps.Serves, "peers_may", False)
    me_host, [answer] = serve((step, {"app": "a"}))
    assert "knows no step" in answer["error"]
    assert me_host.taken == []


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"app": "a", "max_s": 2.0},
        {**HOLD, "more": 1},
        {**HOLD, "app": 1},
        {**HOLD, "app": None},
        {**HOLD, "max_s": "2"},
        {**HOLD, "max_s": True},
        {**HOLD, "host": ["worker1"]},
    ],
)
def test_arguments_that_are_not_the_steps_are_refused(arguments: dict[str, Any]) -> None:
    me_host, [answer] = serve(("hold", arguments))
    assert "The step hold takes" in answer["error"]
    assert me_host.taken == []


def test_an_error_is_an_answer() -> None:
    _, answers = serve(("remove", {"app": "a"}), ("settle", {"app": "a"}), ("hold", HOLD))
    assert answers[0]["error"] == "no such instance"
    assert "KeyError" in answers[1]["error"]
    assert answers[2]["result"] == "hold done"


def test_a_channel_that_closes_decides_nothing() -> None:
    # A hold ends by itself, also where the agent that asked for it was killed.
    me_host, _ = serve(("hold", HOLD))
    assert me_host.taken == [steps.Hold("a", 2.0, "worker1", "h", 9.0)]


def test_a_step_takes_the_stream_that_follows_it() -> None:
    me_host = Noting()
    said = me_host.serve(
        request(1, "apply", app="a"), stream([b"absent", b"x\ny"]), request(2, "hold", **HOLD)
    )
    assert me_host.taken[0] == steps.Apply("a")
    assert me_host.read == [[b"absent", b"x\ny"]]
    answers = [json.loads(line)["result"] for line in said.splitlines()]
    assert answers == ["apply done", "hold done"]


@pytest.mark.parametrize(
    ("step", "arguments"),
    [("verify", {"app": "a"}), ("verify", {}), ("apply", {"app": 1})],
)
def test_a_stream_that_is_refused_does_not_end_the_channel(
    step: str, arguments: dict[str, Any]
) -> None:
    me_host = Noting()
    said = me_host.serve(
        request(1, step, **arguments), stream([b"file"], [b"x" * 5000]), request(2, "hold", **HOLD)
    )
    refused, held = map(json.loads, said.splitlines())
    assert "error" in refused
    assert held["result"] == "hold done"


def test_a_stream_that_is_damaged_ends_the_channel() -> None:
    me_host = Noting()
    damaged = bytearray(stream([b"file", b"x" * 50]))
    damaged[40] ^= 1
    said = me_host.serve(request(1, "apply", app="a"), damaged, request(2, "hold", **HOLD))
    [answer] = map(json.loads, said.splitlines())
    assert "damaged" in answer["error"]
    assert not any(isinstance(step, steps.Hold) for step in me_host.taken)


def test_bytes_follow_the_answer_until_the_channel_closes() -> None:
    image = {"image_id": "sha256:1", "have_layers": ["sha256:2"]}
    said = Noting().serve(request(1, "image_export", **image), request(2, "hold", **HOLD))
    assert said == b'{"id": 1, "result": null}\nthe image'


def test_what_cannot_be_sent_is_an_answer() -> None:
    said = Noting().serve(request(1, "image_export", image_id=1), request(2, "hold", **HOLD))
    refused, held = map(json.loads, said.splitlines())
    assert "image_export takes" in refused["error"]
    assert held["result"] == "hold done"


def test_a_reader_tells_whether_its_file_can_be_used_on() -> None:
    assert Reader(io.BytesIO(stream([b"x"]))).drain() is True
    assert Reader(io.BytesIO(b"nonsense that is long enough")).drain() is False
    assert Reader(io.BytesIO(stream([b"x"])[:-1])).drain() is False
