# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A downtime probe as a process of its own, which outlives the task that started it.

A probe has a name and a folder of this name. The process holds a lock there while it lives, so
nobody has to guess from a process id whether it still does.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import re
import secrets
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..ground import priority
from ..ground.errors import RelocationError
from .probe import Probe, Settings, run

DIRECTORY = Path("/var/lib/mec-probe")

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
# Finds the library where this process found it, which may be the archive of an Ansible module that
# is gone a moment later: everything is imported before the probe begins.
_PROGRAM = (
    "import sys; sys.path[:0] = sys.argv.pop(1).split(':'); "
    f"from {__name__} import main; sys.exit(main(sys.argv[1:]))"
)
_BEGUN = b"begun\n"
_POLL_S = 0.005
# struct flock of fcntl(2): type, whence, start, length, process id.
_FLOCK = struct.Struct("hhqqi0q")
# What the process may need beyond the last request's time-out to write its summary.
_GRACE_S = 10.0


@dataclass(frozen=True)
class Stopped:
    """What a probe that has ended left: its id and its summary."""

    id: str
    summary: dict[str, Any]


class ProbeProcess:
    """The probe of one name on this host."""

    def __init__(self, name: str, directory: Path = DIRECTORY) -> None:
        if not _NAME.fullmatch(name):
            raise RelocationError(
                f"{name!r} cannot name a probe.",
                "Use lower-case letters, digits, - and _, at most 63, a letter or digit first.",
            )
        self.name = name
        self.folder = directory / name
        self.samples = self.folder / "samples.csv"
        self._lock = self.folder / "lock"
        self._begun = self.folder / "probe.json"
        self._log = self.folder / "log"
        self._summary = self.folder / "summary.json"

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._holder() is not None

    @property
    def id(self) -> str | None:
        """The id of the run that the folder holds."""
        with contextlib.suppress(FileNotFoundError):
            return str(json.loads(self._begun.read_text())["id"])
        return None

    def start(self, settings: Settings) -> str:
        """Start the process; return its id when it has begun. What an earlier one left is dropped.

        Raises:
            RelocationError: the probe cannot begin, and why.
        """
        settings.check()
        self._make_folder()
        path = os.pathsep.join(filter(None, sys.path))
        # It measures: it must not wait for other tasks on its host.
        with self._log.open("wb") as log, priority.ordinary():
            process = subprocess.Popen(
                [sys.executable, "-c", _PROGRAM, path, self.name, str(self.folder.parent)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd="/",
                start_new_session=True,
            )
        if process.stdin is None or process.stdout is None:
            raise AssertionError
        with process.stdin as stdin, process.stdout as stdout:
            stdin.write(json.dumps(dataclasses.asdict(settings)).encode())
            stdin.close()
            begun = stdout.read() == _BEGUN
        if not begun:
            process.wait()
            raise RelocationError(
                f"Probe {self.name!r} did not begin: {self._log.read_text().strip()}"
            )
        return self.id or ""

    def stop(self) -> Stopped | None:
        """End the process if it lives; return what it found, or None if it never ran.

        Raises:
            RelocationError: it does not end, or ended without a summary.
        """
        pid = self._holder()
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
            self._wait_for_end(pid)
        run_id = self.id
        if run_id is None:
            return None
        try:
            return Stopped(run_id, json.loads(self._summary.read_text()))
        except FileNotFoundError:
            raise RelocationError(
                f"Probe {self.name!r} ended without a summary.",
                f"Its log is {self._log}, its samples are in {self.samples}.",
            ) from None

    def serve(self, settings: Settings, begun: Callable[[], None] = lambda: None) -> Stopped:
        """Be the process: probe until the time is over or a signal comes, and leave the summary.

        Raises:
            RelocationError: the probe cannot begin, or one of this name runs.
        """
        self._make_folder()
        with self._locked():
            probe = Probe(settings)
            self._summary.unlink(missing_ok=True)
            run_id = f"{self.name}-{secrets.token_hex(4)}"
            _write(self._begun, {"id": run_id, **dataclasses.asdict(settings)})
            summary = dataclasses.asdict(run(probe, self.samples, begun))
            _write(self._summary, summary)
            return Stopped(run_id, summary)

    def _make_folder(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RelocationError(
                f"The folder {self.folder} of the probe cannot be made: {error.strerror}.",
                "Choose another directory.",
            ) from error

    def _wait_for_end(self, pid: int) -> None:
        timeout_s = json.loads(self._begun.read_text())["timeout_s"]
        deadline_s = time.monotonic() + timeout_s + _GRACE_S
        while self.running:
            if time.monotonic() > deadline_s:
                raise RelocationError(
                    f"Probe {self.name!r} (process {pid}) does not end.",
                    f"End the process; its samples are in {self.samples}.",
                )
            time.sleep(_POLL_S)

    def _holder(self) -> int | None:
        """The process that holds the lock, as the kernel knows it (fcntl(2), F_GETLK)."""
        question = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        try:
            with self._lock.open("rb") as lock:
                answer = fcntl.fcntl(lock, fcntl.F_GETLK, question)
        except FileNotFoundError:
            return None
        kind, _, _, _, pid = _FLOCK.unpack(answer)
        return None if kind == fcntl.F_UNLCK else int(pid)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with self._lock.open("w") as lock:
            try:
                fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise RelocationError(
                    f"A probe of the name {self.name!r} runs already.",
                    "Stop it or choose another name.",
                ) from None
            yield


def _tell_begun() -> None:
    """Say so to the starter, and let go of its pipe."""
    os.write(sys.stdout.fileno(), _BEGUN)
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def main(arguments: list[str]) -> int:
    """Be the process of the probe that the arguments name; settings come on standard input."""
    name, directory = arguments
    try:
        ProbeProcess(name, Path(directory)).serve(Settings(**json.load(sys.stdin)), _tell_begun)
    except RelocationError as error:
        print(error, file=sys.stderr)
        return 2
    return 0
