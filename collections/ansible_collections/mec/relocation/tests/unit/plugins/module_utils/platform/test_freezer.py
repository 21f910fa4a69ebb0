# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the freezer finds the cgroup of a pod, and that it freezes who starts processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.mec.relocation.plugins.module_utils.platform.freezer import (
    ROOT,
    Freezer,
)

UID = "6a0d4f5e-3a3f-4b0e-9d0a-0d3d1b0f6c11"
OTHER = "6a0d4f5e-3a3f-4b0e-9d0a-0d3d1b0f6c12"
SYSTEMD = f"kubepods-burstable-pod{UID.replace('-', '_')}.slice"


@pytest.mark.parametrize("hierarchy", ["freezer", "unified", ""])
@pytest.mark.parametrize(
    "pod",
    [
        f"kubepods.slice/kubepods-burstable.slice/{SYSTEMD}",
        f"mec.slice/mec-kubepods.slice/mec-kubepods-burstable.slice/mec-{SYSTEMD}",
        f"kubepods/besteffort/pod{UID}",
        f"kubepods/pod{UID}",
    ],
)
def test_a_pod_is_found_by_its_uid(tmp_path: Path, hierarchy: str, pod: str) -> None:
    wanted = tmp_path / hierarchy / pod
    (wanted / "docker-1.scope").mkdir(parents=True)
    wanted.with_name(wanted.name.replace(UID[-2:], OTHER[-2:])).mkdir()
    (tmp_path / hierarchy / "system.slice/docker.service").mkdir(parents=True)
    freezer = Freezer.of_pod(UID, tmp_path)
    assert freezer is not None
    assert freezer.folder == wanted
    assert Freezer.of_pod("0" * 36, tmp_path) is None


def test_the_processes_of_a_pod_are_those_of_all_its_containers(tmp_path: Path) -> None:
    pod = tmp_path / "freezer" / "kubepods" / f"pod{UID}"
    for number, name in enumerate(("pause", "app"), start=1):
        (pod / name).mkdir(parents=True)
        (pod / name / "cgroup.procs").write_text(f"{number}\n")
    freezer = Freezer.of_pod(UID, tmp_path)
    assert freezer is not None
    assert sorted(freezer.pids()) == [1, 2]


@pytest.fixture
def group() -> Iterator[Path]:
    """A cgroup of this machine's."""
    hierarchy = ROOT / "freezer" if (ROOT / "freezer").is_dir() else ROOT
    folder = hierarchy / f"mec-relocation-test-{os.getpid()}"
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("no cgroup can be made here")
    try:
        yield folder
    finally:
        folder.rmdir()


# It sleeps until each of them has begun, as Go's and Python's own ways do (vfork(2)).
STARTS_PROCESSES = """
import os
while True:
    os.waitpid(os.posix_spawn("/bin/true", ["true"], os.environ), 0)
"""


def test_who_starts_processes_all_the_time_is_frozen(group: Path) -> None:
    freezer = Freezer(group)
    with subprocess.Popen([sys.executable, "-c", STARTS_PROCESSES]) as app:
        (group / "cgroup.procs").write_text(str(app.pid))
        try:
            for _time in range(300):
                freezer.freeze()
                assert freezer.frozen
                freezer.thaw()
                time.sleep(0.001)
        finally:
            freezer.kill()
