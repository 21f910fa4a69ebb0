# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What rsync says, read back and acted upon."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.mec.relocation.plugins.module_utils.ground.errors import RelocationError
from ansible_collections.mec.relocation.plugins.module_utils.volume import rsync as volume
from ansible_collections.mec.relocation.tests.unit.plugins.module_utils.volume.volumes import (
    LocalPasses,
)


def test_bytes_and_changes_are_read() -> None:
    output = (
        ">f+++++++++ videoapp.db\n.d..t...... ./\n*deleting   old\ncd+++++++++ sub/\n"
        "\nNumber of files: 3 (reg: 1, dir: 2)\nTotal bytes sent: 120\nTotal bytes received: 38\n"
    )
    moved, changes = volume.parse_output(output)
    assert moved == 158
    assert [change.split()[-1] for change in changes] == ["videoapp.db", "./", "old", "sub/"]


def test_a_pass_that_moves_nothing_has_no_changes() -> None:
    output = "\nNumber of files: 1\nTotal bytes sent: 60\nTotal bytes received: 12\n"
    assert volume.parse_output(output) == (72, ())


RSYNC = """#!/bin/sh
echo run >> {place}/runs
printf '>f+++++++++ file\\n\\nNumber of files: 1\\nTotal bytes sent: 10\\n'
echo 'rsync: read errors mapping "file": No data available (61)' >&2
[ "$(wc -l < {place}/runs)" -gt {times} ] || exit 23
"""


def passes_that_leave_files_out(
    place: Path, monkeypatch: pytest.MonkeyPatch, times: int
) -> LocalPasses:
    """With an rsync that does so as often as it is told."""
    (place / "rsync").write_text(RSYNC.format(place=place, times=times))
    (place / "rsync").chmod(0o700)
    monkeypatch.setenv("PATH", str(place), prepend=os.pathsep)
    return LocalPasses(place)


@pytest.mark.parametrize("times", [0, 1, 4])
def test_a_pass_that_left_files_out_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    done = passes_that_leave_files_out(tmp_path, monkeypatch, times).run()
    assert (done.bytes, len(done.changes)) == (10 * (times + 1), times + 1)


def test_files_that_are_always_left_out_are_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes = passes_that_leave_files_out(tmp_path, monkeypatch, 99)
    with pytest.raises(RelocationError, match=r"ended with 23: .*No data available"):
        passes.run()
    assert len((tmp_path / "runs").read_text().splitlines()) == 5
