# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an ME host remembers on disk."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.mec.relocation.plugins.module_utils.ground.app import App
from ansible_collections.mec.relocation.plugins.module_utils.ground.errors import RelocationError
from ansible_collections.mec.relocation.plugins.module_utils.host.state import (
    AppState,
    append_record,
    last_records,
)

APP = App.from_dict(
    {"name": "videoapp", "image": "videoapp:1.0", "port": 80, "secrets": {"PASSWORD": "x"}}
)


def test_a_declaration_is_kept_for_root_alone(tmp_path: Path) -> None:
    kept = AppState(tmp_path, "videoapp")
    assert kept.declare(APP) is True
    assert kept.declare(APP) is False
    assert kept.declaration() == APP
    assert (kept.folder / "app.json").stat().st_mode & 0o777 == 0o600


def test_an_unknown_app_is_named(tmp_path: Path) -> None:
    with pytest.raises(RelocationError, match="'videoapp' is not known on this host"):
        AppState(tmp_path, "videoapp").declaration()


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    kept = AppState(tmp_path, "videoapp")
    kept.declare(APP)
    (kept.folder / "app.json").write_text('{"name": ')
    with pytest.raises(RelocationError, match=r"app\.json is damaged"):
        kept.declaration()


def test_no_name_leads_out_of_the_folder(tmp_path: Path) -> None:
    with pytest.raises(RelocationError, match="not a DNS label"):
        AppState(tmp_path, "../videoapp")


def test_the_newest_record_of_each_app_counts(tmp_path: Path) -> None:
    for number, app in enumerate(["a", "b", "a"]):
        append_record(tmp_path, {"app": app, "number": number})
    with open(tmp_path / "records.jsonl", "a") as file:
        file.write('{"app": "a", "numb')
    assert {app: record["number"] for app, record in last_records(tmp_path).items()} == {
        "a": 2,
        "b": 1,
    }
