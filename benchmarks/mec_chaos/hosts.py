# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The hosts of the testbed as the machine below them sees them: commands, hands, power."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from mec_bench import PROJECT
from mec_bench.site import CommandError, run

PROGRAMS = Path(__file__).parent / "programs"
_ENGINE = str(PROJECT / "testbed" / "engine")
_BOOT_S = 90.0
_FREEZE_S = 10.0
# So often the kernel may come between.
_COPIES = 20
_CGROUPS = Path("/sys/fs/cgroup")


@functools.cache
def _docker() -> tuple[str, ...]:
    """The command line of this machine's container engine, in which the hosts are containers."""
    given = run([_ENGINE, "env"]).strip()
    return "docker", "--host", given.partition("DOCKER_HOST=")[2]


def engine(*arguments: str) -> str:
    """Ask that engine; raises CommandError when it fails."""
    return run([*_docker(), *arguments])


@dataclass(frozen=True)
class Struck:
    """A command that was run on a host."""

    began_s: float
    ended_s: float
    status: int
    said: str


class Container:
    """A host."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._container = _container_of(name)

    def run(self, command: str) -> str:
        """Run a shell command there; raises CommandError when it fails."""
        return engine("exec", self._container, "/bin/sh", "-c", command)

    def start(self, program: str, *arguments: str) -> subprocess.Popen[str]:
        """Start a program of this package there; it ends with its standard input."""
        text = (PROGRAMS / program).read_text(encoding="utf-8")
        command = ["exec", "--interactive", self._container, "python3", "-uIS", "-c", text]
        return subprocess.Popen(
            [*_docker(), *command, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            # An interrupt from the terminal is for the harness alone.
            start_new_session=True,
        )

    def power_off(self) -> None:
        """Take the power away: from one instant on nothing is executed, or written to a disk.

        Where folders of the host lie on file systems of their own (role chaos), it finds them later
        as they were on their disks at that instant. What is on no such disk stays.
        """
        pid = int(engine("inspect", "--format", "{{.State.Pid}}", self._container))
        group, images = _freezer_of(pid), self._images()
        try:
            _freeze(group)
            # Nobody hears that it has ended, nor that anything has arrived.
            _unplug(pid)
            cut = _copied(images)
            # Each of them: what its first process takes with it would go on for a moment.
            for processes in group.glob("**/cgroup.procs"):
                for process in processes.read_text().split():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(int(process), signal.SIGKILL)
            subprocess.run(["kill", "-KILL", str(pid)], check=True)
        finally:
            # What is killed is not executed when it thaws. Apps may be frozen, too.
            for each in [*group.glob("**/freezer.state")]:
                _write(each.parent, "THAWED")
        engine("wait", self._container)
        # What the kernel still writes, it writes to those that nobody will find.
        for image, copy in zip(images, cut, strict=True):
            copy.replace(image)

    def has_disks(self) -> bool:
        """Whether the host has file systems of its own."""
        return bool(self._images())

    def _images(self) -> list[Path]:
        """The disks of the host, as files of this machine (roles/chaos/files/mec-chaos-disks)."""
        mounts = json.loads(engine("inspect", "--format", "{{json .Mounts}}", self._container))
        folders = [each["Source"] for each in mounts if each["Destination"] == "/var/lib/docker"]
        return sorted(each for folder in folders for each in Path(folder).glob("mec-disks/*.img"))

    def power_on(self) -> float:
        """Give it back; returns when its sshd answered."""
        engine("start", self._container)
        port = int(engine("port", self._container, "22/tcp").splitlines()[0].rpartition(":")[2])
        deadline_s = time.monotonic() + _BOOT_S
        while time.monotonic() < deadline_s:
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", port), 1) as ssh,
            ):
                if ssh.recv(4) == b"SSH-":
                    return time.monotonic()
            time.sleep(0.05)
        raise CommandError(f"{self.name} does not answer over SSH {_BOOT_S:g} s after its start")


def _container_of(host: str) -> str:
    found = engine(
        "ps", "--all", "--format", "{{.Names}}", "--filter", "label=mec.relocation.testbed"
    )
    names = [name for name in found.split() if name.endswith(f"-{host}")]
    if len(names) != 1:
        raise CommandError(f"{host} is no container of this machine's engine.")
    return names[0]


def _unplug(pid: int) -> None:
    """Take the network of a process down."""
    within = ["nsenter", "--target", str(pid), "--net", "ip"]
    for link in json.loads(run([*within, "-json", "link", "show"])):
        if link["ifname"] != "lo":
            run([*within, "link", "set", "dev", link["ifname"], "down"])


def _freezer_of(pid: int) -> Path:
    """The control group of a host, whose freezer stops all of it."""
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if "freezer" in controllers.split(","):
            # systemd has gone into a group of its own within the host's.
            return _CGROUPS / "freezer" / path.strip("/").removesuffix("/init.scope")
    raise CommandError("This machine has no freezer of cgroup v1, by which a host loses its power.")


def _freeze(group: Path) -> None:
    """Stop all of a group; what waits for a disk stops when it has it."""
    deadline_s = time.monotonic() + _FREEZE_S
    while True:
        # Again and again: the kernel passes over who is just starting a process.
        _write(group, "FROZEN")
        if (group / "freezer.state").read_text().strip() == "FROZEN":
            return
        if time.monotonic() > deadline_s:
            raise CommandError(f"{group} does not freeze")
        time.sleep(0.001)


def _write(group: Path, state: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        (group / "freezer.state").write_text(state)


def _copied(images: Sequence[Path]) -> list[Path]:
    """Copies of disks, all as they were at one instant: between two writes of the kernel's."""
    copies = [image.with_suffix(".cut") for image in images]
    for _ in range(_COPIES):
        written = [image.stat().st_mtime_ns for image in images]
        for image, copy in zip(images, copies, strict=True):
            run(["cp", "--sparse=always", "--reflink=auto", str(image), str(copy)])
        if written == [image.stat().st_mtime_ns for image in images]:
            return copies
    raise CommandError("The disks of a host that stands still are written to all the time.")


class Hand:
    """What the harness has on an ME host; see `programs/hand.py`.

    Attributes:
        changes: of notes and decisions: when, which file, and its content.
        beats: which instance, and when.
    """

    def __init__(self, host: Container, uid: int, *watched: str) -> None:
        self.host = host
        self.changes: list[tuple[float, str, str]] = []
        self.beats: list[tuple[str, float]] = []
        self._arguments = (str(uid), *watched)
        self._changed = threading.Condition()
        self._ended: dict[str, Struck] = {}
        self._process: subprocess.Popen[str] | None = None
        self._lost = False
        self._count = 0

    def reach_out(self) -> None:
        """Begin, also after the host was away."""
        self.let_go()
        self._process = self.host.start("hand.py", *self._arguments)
        out = _pipe(self._process.stdout)
        first = out.readline()
        if not first:
            raise CommandError(f"{self.host.name}: the harness cannot run a program there")
        self._lost = False
        threading.Thread(target=self._listen, args=(out,), daemon=True).start()

    def let_go(self) -> None:
        """End."""
        if self._process is not None:
            with contextlib.suppress(OSError):
                _pipe(self._process.stdin).close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(5)
            self._process.kill()
            self._process.wait()
            self._process = None

    def forget(self) -> None:
        """Begin a new run."""
        with self._changed:
            self.changes, self.beats = [], []

    def wait_for_change(self, count: int, until: Callable[[], bool]) -> bool:
        """Wait until notes have changed so often, or until something else is so."""
        with self._changed:
            while len(self.changes) < count:
                if until():
                    return False
                self._changed.wait(0.05)
        return True

    def strike(self, command: str, timeout_s: float = 120.0) -> Struck:
        """Run a shell command there, at once; raises CommandError where its end is not heard of."""
        try:
            with self._changed:
                self._count += 1
                name = str(self._count)
                if self._process is None:
                    raise OSError("it is not there")
                _pipe(self._process.stdin).write(json.dumps({"id": name, "sh": command}) + "\n")
                _pipe(self._process.stdin).flush()
        except (OSError, ValueError) as error:
            raise CommandError(f"{self.host.name} cannot be struck: {error}") from error
        deadline_s = time.monotonic() + timeout_s
        with self._changed:
            while name not in self._ended:
                if self._lost or time.monotonic() > deadline_s:
                    raise CommandError(f"{self.host.name}: nothing was heard of: {command}")
                self._changed.wait(0.2)
            return self._ended.pop(name)

    def _listen(self, out: IO[str]) -> None:
        for line in out:
            try:
                said = json.loads(line)
            except ValueError:
                continue
            with self._changed:
                self._hear(said)
                self._changed.notify_all()
        with self._changed:
            self._lost = self._process is not None and self._process.stdout is out
            self._changed.notify_all()

    def _hear(self, said: Mapping[str, Any]) -> None:
        if "beats" in said:
            self.beats += [(instance, at_s) for instance, at_s in said["beats"]]
        elif "changed" in said:
            self.changes.append((said["changed"], said["file"], said["text"]))
        elif "id" in said:
            self._ended[said["id"]] = Struck(
                said["began_s"], said["ended_s"], said["status"], said["said"]
            )


class Writers:
    """The writers on the UE, while a block lasts."""

    def __init__(self, ue: Container, host: str) -> None:
        self._ue = ue
        self._host = host
        self._lock = threading.Lock()
        self._said: list[dict[str, Any]] = []

    @property
    def said(self) -> list[dict[str, Any]]:
        """What the writers have said so far."""
        with self._lock:
            return list(self._said)

    @contextlib.contextmanager
    def writing(self, journal: str, count: int) -> Iterator[None]:
        """Write while the block runs."""
        with self._lock:
            self._said = []
        process = self._ue.start("writers.py", self._host, journal, str(count))
        listener = threading.Thread(target=self._listen, args=(_pipe(process.stdout),), daemon=True)
        listener.start()
        try:
            yield
        finally:
            _pipe(process.stdin).close()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            listener.join(5)

    def _listen(self, out: IO[str]) -> None:
        for line in out:
            with contextlib.suppress(ValueError):
                said = json.loads(line)
                with self._lock:
                    self._said.append(said)


def _pipe(pipe: IO[str] | None) -> IO[str]:
    if pipe is None:
        raise AssertionError
    return pipe
