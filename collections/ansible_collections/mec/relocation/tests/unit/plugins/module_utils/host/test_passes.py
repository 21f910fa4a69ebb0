# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Passes of rsync that somebody left behind: real processes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.mec.relocation.plugins.module_utils.ground.errors import RelocationError
from ansible_collections.mec.relocation.plugins.module_utils.host import passes
from ansible_collections.mec.relocation.plugins.module_utils.host.passes import end_passes, enter

# As the far end of a pass does: what it becomes keeps the lock.
PASS = f"""
import os, sys
from pathlib import Path
from {passes.__name__} import enter
enter(Path(sys.argv[1]))
os.execvp("sh", ["sh", "-c", "echo entered; exec sleep 60"])
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "apps" / "notes"
    made.mkdir(parents=True)
    return made


@contextlib.contextmanager
def one_pass(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        [sys.executable, "-c", PASS, str(folder)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"entered\n"
        try:
            yield process
        finally:
            process.kill()


def test_passes_are_beside_one_another(folder: Path) -> None:
    first, second = enter(folder), enter(folder)
    assert os.get_inheritable(first) and os.get_inheritable(second)
    os.close(first)
    os.close(second)


def test_a_pass_that_was_left_behind_is_killed(folder: Path) -> None:
    with one_pass(folder) as left, one_pass(folder) as another:
        end_passes(folder)
        assert (left.wait(5), another.wait(5)) == (-signal.SIGKILL, -signal.SIGKILL)


def test_a_pass_over_another_app_goes_on(folder: Path) -> None:
    other = folder.with_name("other")
    other.mkdir()
    with one_pass(folder), one_pass(other) as others:
        end_passes(folder)
        assert others.poll() is None


def test_where_none_was_there_is_nothing_to_end(folder: Path) -> None:
    end_passes(folder)
    os.close(enter(folder))
    end_passes(folder)


def test_nobody_enters_while_the_app_is_activated(folder: Path) -> None:
    os.close(enter(folder))
    file = os.open(folder / "passes.lock", os.O_RDWR)
    assert passes._alone(file)
    with pytest.raises(RelocationError, match="notes is being activated here"):
        enter(folder)
    os.close(file)
    os.close(enter(folder))


def test_a_pass_that_does_not_end_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passes, "_PATIENCE_S", 0.02)
    # One that waits in the kernel for a disk is not killed either.
    monkeypatch.setattr(passes, "_holders", lambda _file: [])
    with one_pass(folder), pytest.raises(RelocationError, match="'notes' does not end"):
        end_passes(folder)
