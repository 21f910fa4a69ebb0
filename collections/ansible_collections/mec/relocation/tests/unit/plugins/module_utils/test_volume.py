# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What rsync prints, read back."""

from __future__ import annotations

from ansible_collections.mec.relocation.plugins.module_utils import volume


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
