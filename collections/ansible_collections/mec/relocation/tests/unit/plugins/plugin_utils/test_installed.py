# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which way a module is run: never both."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail
from ansible_collections.mec.relocation.plugins.plugin_utils import installed


class Action(installed.ActionModule):  # type: ignore[misc]
    """The action of one task, whose host answers what it is told to."""

    def __init__(self, stdout: str, **args: object) -> None:
        self._task = SimpleNamespace(
            action="mec.relocation.ue_cell", args=args, async_val=0, check_mode=False
        )
        self._stdout = stdout
        self.asked: dict[str, Any] = {}
        self.sent = False

    def _low_level_execute_command(self, _command: str, in_data: bytes) -> dict[str, Any]:
        self.asked = json.loads(in_data)
        return {"rc": 1, "stdout": self._stdout, "stderr": "killed"}

    def _execute_module(self, **_how: object) -> dict[str, Any]:
        self.sent = True
        return {"changed": False, "sent": True}


@pytest.fixture(autouse=True)
def no_base(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installed.ActionBase, "run", lambda *_arguments: {})


def test_the_library_runs_it_with_all_parameters() -> None:
    action = Action('taken\n{"changed": true, "cell": "cell2"}\n', cell="cell2")
    assert action.run() == {"changed": True, "cell": "cell2"}
    assert action.asked["command"] == "ue_cell"
    assert action.asked["params"] == {"cell": "cell2", "grace_s": 0.2}
    assert "commands/ue_cell.py" in action.asked["library"]
    assert not action.sent


@pytest.mark.parametrize("stdout", ["", "motd\ntaken\n{}\n"], ids=["nothing", "something else"])
def test_the_module_is_sent_where_the_library_is_not_there(stdout: str) -> None:
    action = Action(stdout)
    assert action.run() == {"changed": False, "sent": True}


@pytest.mark.parametrize("answer", ["", "Traceback"])
def test_what_broke_off_is_not_run_again(answer: str) -> None:
    action = Action(f"taken\n{answer}")
    with pytest.raises(AnsibleActionFail, match="broke off with 1: killed"):
        action.run()
    assert not action.sent


def test_wrong_parameters_are_refused_before_anything_is_asked() -> None:
    action = Action("", speed=3)
    action._load_name = "ue_cell"
    with pytest.raises(AnsibleActionFail, match="speed"):
        action.run()
    assert action.asked == {}
    assert not action.sent
