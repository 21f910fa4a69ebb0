# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which file systems are synced; that they are is shown by test_power_cut."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.mec.relocation.plugins.module_utils.ground.errors import RelocationError
from ansible_collections.mec.relocation.plugins.module_utils.host.me_host import MeHost
from ansible_collections.mec.relocation.plugins.module_utils.volume import syncfs
from ansible_collections.mec.relocation.tests.unit.plugins.module_utils.hosts import host_config


class Stored:
    """A platform that keeps its images somewhere."""

    def __init__(self, *folders: Path) -> None:
        self._folders = list(folders)

    def storage(self) -> list[Path]:
        return self._folders


def target(place: Path, *stored: Path) -> MeHost:
    platform: Any = Stored(*stored)
    return MeHost(host_config(place, "worker2"), platform)


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The devices of the file systems that are synced; nothing is."""
    devices: list[int] = []
    monkeypatch.setattr(syncfs, "syncfs", lambda fd: devices.append(os.fstat(fd).st_dev))
    return devices


def test_each_file_system_is_synced_once(tmp_path: Path, synced: list[int]) -> None:
    volume = tmp_path / "worker2" / "pv" / "notes"
    volume.mkdir(parents=True)
    elsewhere = Path("/dev/shm")  # noqa: S108 - a file system of its own
    host = target(tmp_path, elsewhere, elsewhere / "missing")
    host.sync("notes")
    host.durable("notes")
    assert synced == [volume.stat().st_dev, elsewhere.stat().st_dev]


def test_all_are_synced_where_something_is_mounted_in_a_volume(
    tmp_path: Path, synced: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    all_synced: list[bool] = []
    monkeypatch.setattr(os, "sync", lambda: all_synced.append(True))
    # Below /dev there are mounts everywhere.
    config = dataclasses.replace(host_config(tmp_path, "worker2"), pv_root=Path("/"))
    host = MeHost(config, Stored())  # type: ignore[arg-type]
    host.sync("dev")
    host.durable("dev")
    assert (all_synced, synced) == ([True], [])


def test_a_disk_that_does_not_take_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_fd: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(syncfs, "syncfs", full)
    host = target(tmp_path, tmp_path)
    host.sync("notes")
    with pytest.raises(RelocationError, match="What came for 'notes' cannot be kept on worker2"):
        host.durable("notes")


def test_the_kernel_tells_what_it_cannot_sync() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    os.close(writing)
    with pytest.raises(OSError, match="Bad file descriptor"):
        syncfs.syncfs(writing)
