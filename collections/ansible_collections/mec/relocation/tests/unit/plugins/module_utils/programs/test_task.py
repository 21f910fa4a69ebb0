# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the installed library takes, and what it leaves to the module."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from ansible_collections.mec.relocation.plugins.module_utils.commands import app_info
from ansible_collections.mec.relocation.plugins.module_utils.ground.errors import RelocationError
from ansible_collections.mec.relocation.plugins.module_utils.programs import task

INSTALLED = {"ground/app.py": "1", "commands/app_info.py": "2"}


def ask(command: str = "app_info", **library: str) -> list[str]:
    """The lines of the answer."""
    out = io.StringIO()
    request = {"command": command, "params": {}, "check": True, "library": {**INSTALLED, **library}}
    task.take(request, out, INSTALLED)
    return out.getvalue().splitlines()


def test_the_same_library_takes_the_task(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(_params: object, *, check: bool) -> dict[str, Any]:
        return {"changed": False, "check": check}

    monkeypatch.setattr(app_info, "run", run)
    taken, answer = ask(**{"only_on_the_controller.py": "3"})
    assert taken == task.TAKEN
    assert json.loads(answer) == {"changed": False, "check": True}


def test_a_failure_is_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(_params: object, *, check: bool) -> dict[str, Any]:
        raise RelocationError("It cannot be done.", result={"record": {"check": check}})

    monkeypatch.setattr(app_info, "run", run)
    _taken, answer = ask()
    assert json.loads(answer) == {
        "failed": True,
        "msg": "It cannot be done.",
        "record": {"check": True},
    }


def test_another_library_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app_info, "run", None)
    assert ask(**{"ground/app.py": "of another version"}) == []


def test_only_commands_are_taken() -> None:
    assert "app_info" in task.names()
    assert ask(command="handoff_trace") == []
    assert ask(command="..wire.channel") == []
