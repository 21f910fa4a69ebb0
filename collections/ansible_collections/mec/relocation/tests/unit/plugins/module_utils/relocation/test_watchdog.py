# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The watchdog of a cutover: real processes, one of which dies."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.mec.relocation.plugins.module_utils.host.lock import (
    RELOCATION,
    Busy,
    Lock,
)
from ansible_collections.mec.relocation.plugins.module_utils.relocation.watchdog import Watchdog


@pytest.fixture
def lock(tmp_path: Path) -> Lock:
    return Lock(tmp_path / "notes", "notes")


def nothing() -> None:
    """What is never done."""
    raise AssertionError


def watching(
    undo: Callable[[], None],
    lock: int,
    hurry: Callable[[], None] = nothing,
    patience_s: float = 60.0,
) -> Watchdog:
    return Watchdog(undo, lock, hurry, patience_s)


def run_and_die(lock: Lock, undo: Callable[[], None], *steps: str) -> None:
    """Run a cutover in a process that is killed after these steps."""
    pid = os.fork()
    if pid == 0:
        with watching(undo, lock.take("h1", RELOCATION)) as watchdog:
            for step in steps:
                getattr(watchdog, step)()
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)


def appears(path: Path, within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    return path.exists()


def wait_until_free(lock: Lock) -> None:
    deadline = time.monotonic() + 10.0
    while lock.holder() is not None:
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.parametrize(("steps", "undoes"), [((), True), (("point_of_no_return",), False)])
def test_it_undoes_before_the_point_of_no_return(
    tmp_path: Path, lock: Lock, steps: tuple[str, ...], undoes: bool
) -> None:
    run_and_die(lock, (tmp_path / "undone").touch, *steps)
    wait_until_free(lock)
    assert (tmp_path / "undone").exists() is undoes


def test_it_has_the_lock_until_it_has_undone(tmp_path: Path, lock: Lock) -> None:
    def undo() -> None:
        (tmp_path / "undoing").touch()
        appears(tmp_path / "go on", within_s=10.0)

    run_and_die(lock, undo)
    assert appears(tmp_path / "undoing", within_s=10.0)
    with pytest.raises(Busy, match="worked on by h1"):
        lock.take("h2", RELOCATION)
    (tmp_path / "go on").touch()
    wait_until_free(lock)


def test_it_keeps_nothing_else_open(tmp_path: Path, lock: Lock) -> None:
    # A channel that it kept open would look alive to the other end.
    reader, writer = os.pipe()
    undone = tmp_path / "undone"

    def undo() -> None:
        undone.write_text(" ".join(os.listdir("/proc/self/fd")))

    run_and_die(lock, undo)
    os.close(writer)
    assert os.read(reader, 1) == b""
    os.close(reader)
    wait_until_free(lock)
    # Its standard files and their source, the pipe, the lock, and the folder that it lists.
    assert set(undone.read_text().split()) <= {str(number) for number in range(7)}


def test_it_does_nothing_when_all_is_well(tmp_path: Path, lock: Lock) -> None:
    with watching((tmp_path / "undone").touch, lock.take("h1", RELOCATION)):
        pass
    assert not (tmp_path / "undone").exists()


def test_it_undoes_when_the_cutover_raises(tmp_path: Path, lock: Lock) -> None:
    held = lock.take("h1", RELOCATION)
    with pytest.raises(KeyError), watching((tmp_path / "undone").touch, held):
        raise KeyError
    assert (tmp_path / "undone").exists()


def test_a_cutover_that_does_not_come_to_the_point_is_told_to_hurry(
    tmp_path: Path, lock: Lock
) -> None:
    told, undone = tmp_path / "told", tmp_path / "undone"
    held = lock.take("h1", RELOCATION)
    with watching(undone.touch, held, told.touch, patience_s=0.05) as watchdog:
        assert appears(told, within_s=10.0)
        watchdog.point_of_no_return()
    assert not undone.exists()


def test_a_cutover_that_is_past_the_point_has_time(tmp_path: Path, lock: Lock) -> None:
    told = tmp_path / "told"
    held = lock.take("h1", RELOCATION)
    with watching((tmp_path / "undone").touch, held, told.touch, patience_s=0.2) as watchdog:
        watchdog.point_of_no_return()
        assert not appears(told, within_s=0.5)


def test_a_watchdog_that_was_killed_is_no_reason_to_stop(tmp_path: Path, lock: Lock) -> None:
    held = lock.take("h1", RELOCATION)
    with watching((tmp_path / "undone").touch, held) as watchdog:
        os.kill(watchdog._child, signal.SIGKILL)
        os.waitid(os.P_PID, watchdog._child, os.WEXITED | os.WNOWAIT)
        watchdog.point_of_no_return()
    assert not (tmp_path / "undone").exists()
