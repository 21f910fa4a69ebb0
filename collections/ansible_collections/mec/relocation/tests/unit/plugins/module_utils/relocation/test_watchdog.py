# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The watchdog: real processes, one of which dies."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.mec.relocation.plugins.module_utils.relocation.watchdog import Watchdog


def run_and_die(undo: Callable[[], None], *steps: str) -> None:
    """Run a cutover in a process that is killed after these steps."""
    pid = os.fork()
    if pid == 0:
        with Watchdog(undo) as watchdog:
            for step in steps:
                getattr(watchdog, step)()
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)


def appears(path: Path, within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    return path.exists()


@pytest.mark.parametrize(
    ("steps", "undoes"),
    [
        ((), True),
        (("point_of_no_return",), False),
        (("point_of_no_return", "way_back"), True),
    ],
)
def test_it_undoes_before_the_point_of_no_return(
    tmp_path: Path, steps: tuple[str, ...], undoes: bool
) -> None:
    run_and_die((tmp_path / "undone").touch, *steps)
    assert appears(tmp_path / "undone", within_s=10.0 if undoes else 0.5) is undoes


def test_it_does_nothing_when_all_is_well(tmp_path: Path) -> None:
    with Watchdog((tmp_path / "undone").touch):
        pass
    assert not (tmp_path / "undone").exists()


def test_it_undoes_when_the_cutover_raises(tmp_path: Path) -> None:
    with pytest.raises(KeyError), Watchdog((tmp_path / "undone").touch):
        raise KeyError
    assert (tmp_path / "undone").exists()
