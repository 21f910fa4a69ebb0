# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The cgroup freezer: stops every process of an instance within a fraction of a millisecond.

An engine's own pause call takes 25 ms and more; the freezer is what it uses underneath
(Linux: Documentation/admin-guide/cgroup-v1/freezer-subsystem.rst, cgroup-v2.rst).
"""

from __future__ import annotations

import abc
import contextlib
import errno
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from ..ground.errors import RelocationError

ROOT = Path("/sys/fs/cgroup")
_PAUSE_S = 0.0001
# A cgroup that was removed, or is being.
_GONE = (errno.ENOENT, errno.ENODEV)


class Freezer:
    """Freezes, thaws and kills all processes of a cgroup and of those below it.

    Args:
        folder: the cgroup, in the hierarchy of the freezer (v1) or the only one (v2).
    """

    def __init__(self, folder: Path, root: Path = ROOT) -> None:
        self.folder = folder
        self._v1 = (root / "freezer") in folder.parents

    @classmethod
    def of_process(cls, pid: int, root: Path = ROOT) -> Freezer:
        """The cgroup that a process lives in."""
        paths = {}
        try:
            lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
        except OSError as error:
            # The engine may not know yet that it has ended.
            raise RelocationError(f"Process {pid} has ended: nothing to freeze.") from error
        for line in lines:
            _number, controllers, path = line.split(":", 2)
            paths.update(dict.fromkeys(controllers.split(","), path.lstrip("/")))
        hierarchy = _hierarchy(root)
        folder = hierarchy / paths["freezer" if "freezer" in paths else ""]
        if folder.resolve() == hierarchy:
            raise RelocationError(
                f"Process {pid} lives in no cgroup of its own, so it cannot be frozen alone."
            )
        return cls(folder, root)

    @classmethod
    def of_pod(cls, uid: str, root: Path = ROOT) -> Freezer | None:
        """The cgroup of a pod on this node, with all of its containers, if it is there.

        The kubelet names it by the pod's uid, and lays it below those of its quality of service.
        """
        names = (f"pod{uid}", f"-pod{uid.replace('-', '_')}.slice")
        for folder, folders, _files in os.walk(_hierarchy(root)):
            for name in folders:
                if name.endswith(names):
                    return cls(Path(folder, name), root)
            folders[:] = [name for name in folders if not name.endswith((".scope", ".service"))]
        return None

    @property
    def frozen(self) -> bool:
        """Whether every process of the cgroup stands still."""
        if self._v1:
            return self._read("freezer.state") == "FROZEN"
        return "frozen 1" in self._read("cgroup.events")

    def freeze(self, timeout_s: float = 1.0) -> None:
        """Freeze; thaws again and raises when that takes longer than ``timeout_s``."""
        deadline = time.monotonic() + timeout_s
        while True:
            # Again and again: the kernel (v1) passes over a process that is just starting another
            # one, and that sleeps then until that one, which stands still, has begun (vfork(2)).
            self._set(frozen=True)
            if self.frozen:
                return
            if time.monotonic() > deadline:
                self.thaw()
                raise RelocationError(
                    f"The instance could not be frozen within {timeout_s} s.",
                    "One of its processes waits in the kernel, for a disk perhaps.",
                )
            time.sleep(_PAUSE_S)

    def thaw(self) -> None:
        """Let the processes run again, also those of a part that somebody has frozen by itself."""
        self._set(frozen=False)
        for folder, _folders, _files in os.walk(self.folder):
            self._set(frozen=False, folder=Path(folder))

    def kill(
        self, timeout_s: float = 10.0, chosen: Callable[[int], bool] = lambda _pid: True
    ) -> None:
        """Kill the chosen processes; those that are frozen die without another instruction.

        A signal that is pending when a process is thawed is delivered before it returns to user
        space, so nothing is written in between.
        """
        if not self.folder.is_dir():
            return
        with contextlib.suppress(RelocationError):
            self._set(frozen=True)
        doomed = set(filter(chosen, self.pids()))
        for pid in doomed:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        # Somebody may have frozen a part of it: what stands still does not die.
        for folder, _folders, _files in os.walk(self.folder):
            self._set(frozen=False, folder=Path(folder))
        deadline = time.monotonic() + timeout_s
        # Others may be started in the same cgroup, by a kubelet in a pod for example.
        while doomed.intersection(self.pids()):
            if time.monotonic() > deadline:
                raise RelocationError(f"The instance did not die within {timeout_s} s.")
            time.sleep(0.001)

    def pids(self) -> list[int]:
        """The processes of the cgroup and of those below it; none once it is gone."""
        found: list[int] = []
        for folder, _folders, files in os.walk(self.folder):
            if "cgroup.procs" in files:
                # It may be removed meanwhile, together with its processes.
                with contextlib.suppress(OSError):
                    found += map(int, Path(folder, "cgroup.procs").read_text().split())
        return found

    def _set(self, *, frozen: bool, folder: Path | None = None) -> None:
        name, value = (
            ("freezer.state", "FROZEN" if frozen else "THAWED")
            if self._v1
            else ("cgroup.freeze", "1" if frozen else "0")
        )
        try:
            ((folder or self.folder) / name).write_text(value)
        except OSError as error:
            if error.errno not in _GONE:
                raise
            if frozen:
                raise RelocationError("The instance has ended: nothing to freeze.") from None

    def _read(self, name: str) -> str:
        try:
            return (self.folder / name).read_text().strip()
        except OSError as error:
            if error.errno not in _GONE:
                raise
            raise RelocationError("The instance ended while it was being frozen.") from None


def _hierarchy(root: Path) -> Path:
    """Where cgroups are that can be frozen."""
    if (root / "freezer").is_dir():
        return root / "freezer"
    return root / "unified" if (root / "unified").is_dir() else root


class FrozenByKernel(abc.ABC):
    """The part of a platform that asks nothing of it: what the kernel does to an app's processes.

    Where the freezer of an app is, is asked once, ahead of the hold.
    """

    def __init__(self) -> None:
        self._freezers: dict[str, Freezer] = {}

    @abc.abstractmethod
    def _find_freezer(self, app: str) -> Freezer | None:
        """Ask for the freezer of the app's instance, if that runs."""

    def _freezer(self, app: str) -> Freezer:
        if app not in self._freezers:
            found = self._find_freezer(app)
            if found is None:
                raise RelocationError(f"The instance of {app!r} does not run.")
            self._freezers[app] = found
        return self._freezers[app]

    def make_ready(self, app: str) -> None:
        """Look the freezer up; the instance that it was before may have ended."""
        self._freezers.pop(app, None)
        self._freezer(app)

    def pids(self, app: str) -> list[int]:
        """Return the processes of the instance."""
        return self._freezer(app).pids()

    def freeze(self, app: str) -> None:
        """Stop all processes of the instance."""
        self._freezer(app).freeze()

    def thaw(self, app: str) -> None:
        """Let them go on."""
        self._freezer(app).thaw()
