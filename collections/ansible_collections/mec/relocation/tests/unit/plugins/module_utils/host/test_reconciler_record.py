# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the reconciler records of a relocation that was interrupted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.mec.relocation.plugins.module_utils.host import state
from ansible_collections.mec.relocation.plugins.module_utils.host.owner import Note, State
from ansible_collections.mec.relocation.plugins.module_utils.host.reconciler import Reconciler
from ansible_collections.mec.relocation.plugins.module_utils.host.state import (
    AppState,
    append_record,
    last_records,
)
from ansible_collections.mec.relocation.tests.unit.plugins.module_utils.hosts import host_config

UNCERTAIN = {
    "id": "h1",
    "app": "videoapp",
    "source": "worker1",
    "target": "worker2",
    "outcome": "uncertain",
    "error": "worker2 took the app, and does not serve it now.",
}


class Worker2:
    """An ME host whose instance has to be started."""

    def keep_serving(self, _app: str, _timeout_s: float) -> bool:
        return True

    def open_gateway(self, _app: str, _host: str) -> None:
        """Its gateway knows already."""


@pytest.mark.parametrize(
    ("last", "outcome"),
    [
        (UNCERTAIN, "completed"),
        ({**UNCERTAIN, "id": "h0"}, "uncertain"),
        ({**UNCERTAIN, "outcome": "completed"}, "completed"),
        # Of the first try of two.
        ({**UNCERTAIN, "outcome": "aborted"}, "completed"),
        ({**UNCERTAIN, "source": "worker2", "target": "worker1", "outcome": "aborted"}, "aborted"),
        ({**UNCERTAIN, "source": "worker2", "target": "worker1"}, "aborted"),
        ({**UNCERTAIN, "source": "worker1", "target": "worker3"}, "uncertain"),
    ],
)
def test_who_serves_late_says_how_its_relocation_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: dict[str, Any], outcome: str
) -> None:
    monkeypatch.setattr(state, "CURRENT", tmp_path / "current")
    config = host_config(tmp_path, "worker2", "worker1")
    kept = AppState(config.state_dir, "videoapp")
    kept.write(Note(state=State.SERVING, taken=2, known=2, floor=2, copy=2, handoff="h1"))
    kept.mark_current()
    append_record(config.state_dir, last)
    reconciler = Reconciler(config, Worker2())  # type: ignore[arg-type]
    for _ in range(2):
        reconciler.changed("videoapp")
        reconciler.reconcile("videoapp")
    told = last_records(config.state_dir)["videoapp"]
    assert told["outcome"] == outcome
    is_settled = outcome != last["outcome"]
    assert told["error"].count("It has ended since: worker2 has the app.") == is_settled
