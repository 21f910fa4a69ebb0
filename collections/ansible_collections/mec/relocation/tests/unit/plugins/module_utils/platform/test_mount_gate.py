# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The gate leads to the PV that is there. That no pod gets past it is tested on the testbed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.mec.relocation.plugins.module_utils.platform.mount_gate import Gate

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    made = Gate("notes", tmp_path / "pv" / "notes", "notes-worker1", tmp_path / "gates", tmp_path)
    yield made
    made.close()


def test_an_open_gate_shows_the_pv_and_a_closed_one_nothing(gate: Gate, tmp_path: Path) -> None:
    gate.unlock()
    (tmp_path / "pv" / "notes" / "file").touch()
    assert [file.name for file in gate.path.iterdir()] == ["file"]
    gate.unlock()
    gate.close()
    assert not gate.path.exists()


def test_a_pv_that_was_put_aside_is_not_shown(gate: Gate, tmp_path: Path) -> None:
    pv = tmp_path / "pv" / "notes"
    gate.unlock()
    pv.rename(pv.with_name("notes.epoch-3"))
    gate.unlock()
    assert gate.path.samefile(pv)
    gate.close()
    assert not gate.open
