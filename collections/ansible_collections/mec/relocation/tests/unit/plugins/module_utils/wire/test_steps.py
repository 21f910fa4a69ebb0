# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The table of steps: whole, the same at both ends, and taken by an ME host."""

from __future__ import annotations

import dataclasses
import inspect
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
from ansible_collections.mec.relocation.plugins.module_utils.ground import library
from ansible_collections.mec.relocation.plugins.module_utils.ground.errors import RelocationError
from ansible_collections.mec.relocation.plugins.module_utils.host.me_host import MeHost
from ansible_collections.mec.relocation.plugins.module_utils.host.ownership import Ownership
from ansible_collections.mec.relocation.plugins.module_utils.wire import channel, steps
from ansible_collections.mec.relocation.plugins.module_utils.wire.steps import TABLE, Handler, Step
from ansible_collections.mec.relocation.tests.unit.plugins.module_utils.hosts import host_config

STEPS = sorted(TABLE)
HANDLERS = [
    found
    for kind in (MeHost, Ownership)
    for found in vars(kind).values()
    if isinstance(found, Handler)
]


def test_every_step_has_a_handler_and_every_handler_a_step(tmp_path: Path) -> None:
    assert MeHost(host_config(tmp_path, "worker1")).handlers.keys() == set(TABLE.values())


@pytest.mark.parametrize("name", STEPS)
def test_a_handler_takes_what_the_step_has(name: str) -> None:
    step = TABLE[name]
    [handler] = [found for found in HANDLERS if found.step is step]
    taken = list(inspect.signature(handler.method).parameters)[1 + bool(step.streams) :]
    assert taken == [field.name for field in dataclasses.fields(step)]  # type: ignore[arg-type]


@pytest.mark.parametrize("name", STEPS)
def test_a_step_is_a_frozen_dataclass_that_says_what_it_is(name: str) -> None:
    step: Any = TABLE[name]
    assert dataclasses.is_dataclass(step) and step.__dataclass_params__.frozen
    assert step.__doc__ and not step.__doc__.startswith(f"{step.__name__}(")
    assert step.step_name == name


def example(kind: Any) -> Any:
    """A value of a type, as JSON has it."""
    examples = {
        "str": "text",
        "int": 1,
        "float": 2.5,
        "bool": True,
        "None": None,
        "Any": [{}],
        "str | None": None,
        "Sequence[str]": ["a"],
        "list[str]": ["a"],
    }
    if isinstance(kind, type) and hasattr(kind, "__total__"):
        return {key: example(part) for key, part in steps._parts(kind).items()}
    if get_origin(kind) is Mapping:
        return {"a": example(get_args(kind)[1])}
    return examples[steps._spelled(kind)]


@pytest.mark.parametrize("name", STEPS)
def test_a_step_survives_its_way(name: str) -> None:
    kinds, _ = steps._arguments(name)
    step = TABLE[name](**{argument: example(kind) for argument, kind in kinds.items()})
    message = json.loads(channel._message(7, step))
    assert (message["id"], message["step"]) == (7, name)
    assert steps.decode(message["step"], message["arguments"]) == step


@pytest.mark.parametrize("name", STEPS)
def test_only_an_answer_of_its_type_is_one(name: str) -> None:
    kind = steps._answer(name)
    step: Step[Any] = object.__new__(TABLE[name])
    assert steps.answers(step, example(kind)) == example(kind)
    for other in ({"unknown": 1}, 2.5, ["a"]):
        with pytest.raises(RelocationError, match=f"The step {name} answers"):
            steps.answers(step, other)


def test_what_may_be_left_out_may() -> None:
    step = steps.decode("is_prepared", {"declaration": {}, "image_id": "sha256:1"})
    assert step == steps.IsPrepared({}, "sha256:1", None)


def test_another_table_has_another_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = steps._digest()
    assert f"{library.VERSION}+{whole}" == steps.LIBRARY
    monkeypatch.delitem(TABLE, "hold")
    without = steps._digest()
    monkeypatch.setattr(steps.Serves, "peers_may", False)
    assert len({whole, without, steps._digest()}) == 3


def test_the_digest_does_not_depend_on_the_name_of_the_library(tmp_path: Path) -> None:
    (tmp_path / "mec_relocation").symlink_to(library.ROOT)
    program = "from mec_relocation.wire.steps import LIBRARY; print(LIBRARY)"
    said = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() == steps.LIBRARY


class Answering(channel.Channel):
    """A channel to an agent that says what it is told to say."""

    def __init__(self, hello: object) -> None:
        self.name = "worker2"
        self._hello = channel.Pending(self, 1, steps.Hello())
        self._shared = self._open = False
        self._answers = {1: {"id": 1, "result": hello}}


@pytest.mark.parametrize(
    "version", [library.VERSION, f"{library.VERSION}+000000000000", "0.0.9", ""]
)
def test_a_peer_of_another_table_is_refused_with_a_hint(version: str) -> None:
    with pytest.raises(RelocationError, match="Apply the role me_host to all ME hosts"):
        Answering({"name": "worker2", "version": version}).greet()


def test_a_library_before_the_table_refuses_this_one() -> None:
    # It compares the version alone, and what it finds here is another.
    assert steps.LIBRARY != library.VERSION
    Answering({"name": "worker2", "version": steps.LIBRARY}).greet()
