# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The agent: one answer a request, whatever happens, and no hold that outlives its channel."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from ansible_collections.mec.relocation.plugins.module_utils.ground.errors import RelocationError
from ansible_collections.mec.relocation.plugins.module_utils.host.agent import (
    STEPS,
    STREAM_STEPS,
    Agent,
)
from ansible_collections.mec.relocation.plugins.module_utils.host.me_host import MeHost


class Noting:
    """An ME host that notes what it is asked."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, dict[str, Any]]] = []

    def __getattr__(self, step: str) -> Any:
        def take(app: str = "", **arguments: Any) -> str:
            self.taken.append((step, {"app": app, **arguments}))
            if step == "kill":
                raise RelocationError("no such instance")
            if step == "settle":
                raise KeyError("unexpected")
            return f"{step} done"

        return take


def serve(*requests: tuple[str, dict[str, Any]]) -> tuple[Noting, list[dict[str, Any]]]:
    me_host = Noting()
    lines = [
        json.dumps({"id": number, "step": step, "arguments": arguments}) + "\n"
        for number, (step, arguments) in enumerate(requests, 1)
    ]
    out = io.BytesIO()
    Agent(me_host).serve(io.BytesIO("".join(lines).encode()), out)  # type: ignore[arg-type]
    return me_host, [json.loads(line) for line in out.getvalue().splitlines()]


def test_steps_are_answered_in_their_order() -> None:
    _, answers = serve(("hold", {"app": "a"}), ("release", {"app": "a"}))
    assert answers == [{"id": 1, "result": "hold done"}, {"id": 2, "result": "release done"}]


@pytest.mark.parametrize("step", ["freeze", "_state", "image_export_all", "gateway"])
def test_a_step_that_is_not_offered_is_refused(step: str) -> None:
    me_host, [answer] = serve((step, {"app": "a"}))
    assert "knows no step" in answer["error"]
    assert me_host.taken == []


def test_an_error_is_an_answer() -> None:
    _, answers = serve(("kill", {"app": "a"}), ("settle", {"app": "a"}), ("hold", {"app": "a"}))
    assert answers[0]["error"] == "no such instance"
    assert "KeyError" in answers[1]["error"]
    assert answers[2]["result"] == "hold done"


def test_a_hold_ends_with_its_channel() -> None:
    me_host, _ = serve(("hold", {"app": "a"}), ("hold", {"app": "b"}), ("release", {"app": "b"}))
    assert [taken for taken in me_host.taken if taken[0] == "release"] == [
        ("release", {"app": "b"}),
        ("release", {"app": "a"}),
    ]


def test_a_step_takes_the_stream_that_follows_it() -> None:
    seen = []

    class Reading(Noting):
        def apply(self, app: str, stream: io.BytesIO) -> str:
            seen.append((app, stream.read(5)))
            return "applied"

    lines = (
        b'{"id": 1, "step": "apply", "arguments": {"app": "a"}}\n\x00\nxyz'
        b'{"id": 2, "step": "hold", "arguments": {"app": "a"}}\n'
    )
    out = io.BytesIO()
    Agent(Reading()).serve(io.BytesIO(lines), out)  # type: ignore[arg-type]
    assert seen == [("a", b"\x00\nxyz")]
    answers = [json.loads(line)["result"] for line in out.getvalue().splitlines()]
    assert answers == ["applied", "hold done"]


def test_every_step_is_one_of_an_me_host() -> None:
    steps = STEPS | STREAM_STEPS
    assert [step for step in steps if not callable(getattr(MeHost, step, None))] == []
