# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The gate: the path at which a node's pods find the PV of an app, while they may.

A local PersistentVolume names a folder below ``/run``, at which the app's PV is mounted as long as
this host may serve the app (mount(8), bind mounts). Closed, the folder is not there: no pod that
the cluster starts gets past its kubelet, and none does after a restart of the host, which begins
with all gates closed. Pods that have the PV already keep it; `revoke` takes it from what their
kubelet would start anew in them.
"""

from __future__ import annotations

import contextlib
import functools
import subprocess
from pathlib import Path
from typing import NamedTuple

from ..ground.errors import RelocationError

ROOT = Path("/run/mec-relocation/pv")
PODS = Path("/var/lib/kubelet/pods")
# Where the kubelet mounts a local volume for a pod.
_VOLUMES = "volumes/kubernetes.io~local-volume"


class Gate:
    """The gate of one app on this host.

    Args:
        app: the app.
        pv: its PV.
        volume: the name of the PersistentVolume whose folder the gate is.
    """

    def __init__(
        self, app: str, pv: Path, volume: str, root: Path = ROOT, pods: Path = PODS
    ) -> None:
        self.path = root / app
        self._pv = pv
        self._volume = volume
        self._pods = pods

    @property
    def open(self) -> bool:
        """Whether pods find the PV here."""
        return str(self.path) in [mount.point for mount in _mounts()]

    def unlock(self) -> None:
        """Let pods find the PV."""
        self._pv.mkdir(mode=0o755, parents=True, exist_ok=True)
        if self.open and self.path.samefile(self._pv):
            return
        # It may lead to a PV that was removed or put aside.
        self.close()
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        _run("mount", "--bind", str(self._pv), str(self.path))

    def close(self) -> None:
        """Let no pod find the PV any more; one that has it keeps it."""
        while self.open:
            _run("umount", str(self.path))
        with contextlib.suppress(FileNotFoundError):
            self.path.rmdir()

    def pods(self) -> list[str]:
        """The uids of the pods for which the kubelet of this host has mounted the PV."""
        found = self._pods.glob(f"*/{_VOLUMES}/{self._volume}")
        return [folder.relative_to(self._pods).parts[0] for folder in found]

    def seen_by(self, pid: int) -> bool:
        """Whether a process has the PV, at whatever path."""
        try:
            mounts = _mounts(f"/proc/{pid}/mountinfo")
        except OSError:
            return False  # it has ended
        return self._place in [(mount.device, mount.root) for mount in mounts]

    @functools.cached_property
    def _place(self) -> tuple[str, str]:
        """The filesystem that the PV lies in, and its path there."""
        path = self._pv.resolve()
        above = [m for m in _mounts() if path.is_relative_to(m.point)]
        # The last one covers those before it.
        nearest = max(reversed(above), key=lambda mount: len(mount.point))
        return nearest.device, str(Path(nearest.root) / path.relative_to(nearest.point))

    def revoke(self, uid: str) -> None:
        """Let no container that is started in this pod from now on have the PV.

        Those that run keep it: they see mounts of their own.
        """
        mounted = str(self._pods / uid / _VOLUMES / self._volume)
        while mounted in [mount.point for mount in _mounts()]:
            _run("umount", mounted)


class _Mount(NamedTuple):
    """A line of the table: the filesystem, the path in it that is mounted, and where to."""

    device: str
    root: str
    point: str


def _mounts(table: str = "/proc/self/mountinfo") -> list[_Mount]:
    """What is mounted where (proc(5), mountinfo); paths with spaces are none of ours."""
    words = [line.split(" ", 5) for line in Path(table).read_text().splitlines()]
    return [_Mount(*found[2:5]) for found in words]


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RelocationError(f"{' '.join(command)} failed: {done.stderr.strip()}.")
