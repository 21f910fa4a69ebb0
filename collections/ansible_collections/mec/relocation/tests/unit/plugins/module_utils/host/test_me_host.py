# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What another host may have done here to an app, by the steps of an agent."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.mec.relocation.plugins.module_utils.ground.errors import RelocationError
from ansible_collections.mec.relocation.plugins.module_utils.host.owner import Note, State
from ansible_collections.mec.relocation.plugins.module_utils.volume.stream import Reader, Writer
from ansible_collections.mec.relocation.plugins.module_utils.wire import steps
from ansible_collections.mec.relocation.plugins.module_utils.wire.steps import Step
from ansible_collections.mec.relocation.tests.unit.plugins.module_utils.played import (
    APP,
    IMAGE,
    Line,
    World,
    world,
)

OWNER = Note(State.SERVING, 3, 3, 0, 3, 3)
RELOCATING = OWNER._replace(state=State.RELOCATING, attempt=4, peer="worker1")


@pytest.fixture
def hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with world(tmp_path, monkeypatch, "worker1", "worker2") as made:
        yield made


@pytest.fixture
def line(hosts: World) -> Line:
    return hosts.channel(hosts["worker1"].config, "worker2")


@pytest.mark.parametrize("locked", [True, False])
@pytest.mark.parametrize("note", [OWNER, RELOCATING], ids=lambda note: str(note.state))
@pytest.mark.parametrize(
    "step",
    [
        steps.Discard("notes", None),
        steps.Remove("notes"),
        steps.Prepare(APP.to_dict(), IMAGE, "h1"),
        steps.Ready("notes", "h1"),
    ],
    ids=lambda step: step.step_name,
)
def test_an_app_that_serves_is_neither_ended_nor_replaced(
    hosts: World, line: Line, step: Step[Any], note: Note, locked: bool
) -> None:
    here = hosts["worker2"]
    here.has(note, content="acknowledged", runs=True)
    if locked:
        line.begin(steps.Lock("notes", "h1")).result()
    with pytest.raises(RelocationError, match=f"{note.state}|is not held on this channel"):
        line.begin(step).result()
    assert here.engine.did == []
    assert (here.kept.note(), hosts.serving) == (note, ["worker2"])


@pytest.mark.parametrize("locked", [True, False])
@pytest.mark.parametrize("state", [State.SERVING, State.RELOCATING])
def test_nothing_is_applied_over_the_volume_of_an_app_that_serves(
    hosts: World, line: Line, state: State, locked: bool
) -> None:
    here = hosts["worker2"]
    here.has(OWNER._replace(state=state), content="acknowledged")
    if locked:
        line.begin(steps.Lock("notes", "h1")).result()
    stream = io.BytesIO()
    writer = Writer(stream)
    writer.write(b"absent", b"file")
    writer.close()
    stream.seek(0)
    answer = line._agent.answer(
        {"id": 1, "step": "apply", "arguments": {"app": "notes"}}, Reader(stream)
    )
    assert (f"is {state}" if locked else "is not held") in answer["error"]
    assert (here.volume / "file").read_text() == "acknowledged"


def test_a_volume_that_is_put_aside_is_named_by_its_epoch_and_never_replaced(hosts: World) -> None:
    here = hosts["worker2"]
    me_host = here.me_host()
    here.has(OWNER, content="first")
    me_host.put_aside("notes", 3)
    here.has(OWNER, content="second")
    me_host.put_aside("notes", 3)
    me_host.put_aside("notes", 3)  # nothing is there any more
    aside = sorted(here.config.pv_root.glob("notes.epoch-*"))
    assert [folder.name for folder in aside] == ["notes.epoch-3", "notes.epoch-3-2"]
    assert [(folder / "file").read_text() for folder in aside] == ["first", "second"]


@pytest.mark.parametrize(
    ("state", "restarts"), [(OWNER, True), (OWNER._replace(state=State.RETIRED), None)]
)
def test_only_an_owner_is_restarted_by_its_platform(
    hosts: World, line: Line, state: Note, restarts: bool | None
) -> None:
    hosts["worker2"].has(state)
    line.begin(steps.Settle("notes")).result()
    assert hosts["worker2"].engine.restarts.get("notes") is restarts


def test_an_app_serves_where_the_note_says_so_and_it_answers(hosts: World, line: Line) -> None:
    here = hosts["worker2"]
    here.has(OWNER, runs=True)
    assert line.begin(steps.Serves("notes")).result() is True
    here.engine.ill.add("notes")
    assert line.begin(steps.Serves("notes")).result() is False
    here.engine.ill.clear()
    here.kept.write(OWNER._replace(state=State.TAKING))
    assert line.begin(steps.Serves("notes")).result() is False
