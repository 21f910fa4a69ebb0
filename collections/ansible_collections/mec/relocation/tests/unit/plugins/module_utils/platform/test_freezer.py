# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the freezer finds the cgroup of a pod. What freezing does is tested on the testbed."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.mec.relocation.plugins.module_utils.platform.freezer import Freezer

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
