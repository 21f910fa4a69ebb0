# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files that are replaced."""

from __future__ import annotations

import json
from pathlib import Path

from ansible_collections.mec.relocation.plugins.module_utils.ground.durable import write_durably


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    write_durably(path, "one")
    write_durably(path, json.dumps({"two": 2}), mode=0o644)
    assert path.read_text() == '{"two": 2}'
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]
