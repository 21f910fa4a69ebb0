# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Relocate a volume onto a disk of its own, and take the power away from that disk.

    unshare --mount python power_cut.py PLACE WAY WITHOUT SECOND...

The target's disk is an ext4 in a file that is mounted. A copy of the file has what such a disk has
at that instant; what the kernel has not written is lost. Each copy is mounted, which replays its
journal, and compared with the source. The library is the project's own, and so is the far end of a
real rsync; only the engine, which is not asked for much, is played. In its own mount namespace
nothing is left behind, however it ends.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import http.server
import io
import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, Generic

from ansible_collections.mec.relocation.plugins.module_utils.ground.app import App
from ansible_collections.mec.relocation.plugins.module_utils.ground.errors import RelocationError
from ansible_collections.mec.relocation.plugins.module_utils.ground.record import Record
from ansible_collections.mec.relocation.plugins.module_utils.host.agent import Agent
from ansible_collections.mec.relocation.plugins.module_utils.host.me_host import MeHost
from ansible_collections.mec.relocation.plugins.module_utils.host.state import AppState
from ansible_collections.mec.relocation.plugins.module_utils.image.commit import Commit
from ansible_collections.mec.relocation.plugins.module_utils.platform.instance import Instance
from ansible_collections.mec.relocation.plugins.module_utils.relocation.transfer import (
    Proactive,
    Reactive,
    Transfer,
)
from ansible_collections.mec.relocation.plugins.module_utils.volume import apply as volume_apply
from ansible_collections.mec.relocation.plugins.module_utils.volume.copy import VolumeCopy
from ansible_collections.mec.relocation.plugins.module_utils.volume.stream import Reader
from ansible_collections.mec.relocation.plugins.module_utils.volume.watch import VolumeWatch
from ansible_collections.mec.relocation.plugins.module_utils.wire import channel, steps
from ansible_collections.mec.relocation.plugins.module_utils.wire.steps import Answer, Step, handles
from ansible_collections.mec.relocation.tests.unit.plugins.module_utils.hosts import host_config
from ansible_collections.mec.relocation.tests.unit.plugins.module_utils.volume.volumes import (
    LocalPasses,
    view,
)

FILES = 200
ROWS = 300
APP = "notes"
HANDOFF = "h1"


class Disk:
    """An ext4 in a file, mounted on a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._image = folder.with_suffix(".img")
        run("truncate", "--size=64M", self._image)
        # What is initialised later would be written at any time.
        lazy = "lazy_itable_init=0,lazy_journal_init=0"
        run("mkfs.ext4", "-q", "-b", "4096", "-E", lazy, self._image)
        folder.mkdir()
        run("mount", "-o", "loop", self._image, folder)

    def copy(self, name: str) -> Path:
        """Copy what is on the disk now; the file."""
        image = self._image.with_name(f"{name}-{self._image.name}")
        run("cp", "--sparse=always", self._image, image)
        return image


@contextlib.contextmanager
def mounted(image: Path) -> Iterator[Path]:
    """What a disk has after the power came back."""
    folder = image.with_suffix("")
    folder.mkdir()
    run("mount", "-o", "loop", image, folder)
    try:
        yield folder
    finally:
        run("umount", folder)
        image.unlink()


class Engine:
    """The target's engine: its instances serve, and what it pulls it leaves to the kernel."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._instance: Instance | None = None

    def find(self, _app: str) -> Instance | None:
        return self._instance

    def image_id(self, image: str) -> str:
        return image

    def create(self, app: App, image_id: str, base_image_id: str, *, first: bool) -> None:
        assert not first
        self._instance = Instance(app.name, "1", "127.0.0.1", image_id, base_image_id, False)

    def start(self, app: str) -> None:
        assert self._instance is not None
        self._instance = Instance(app, "1", "127.0.0.1", *self._images(), True)

    def remove(self, _app: str) -> None:
        self._instance = None

    def set_restarts(self, _app: str, _restarts: bool) -> None:
        """Nothing: nobody restarts it."""

    def pids(self, _app: str) -> list[int]:
        """None: what serves is this process."""
        return []

    def post_mortem(self, _app: str) -> str | None:
        """Nothing: it has not ended."""
        return None

    def storage(self) -> list[Path]:
        return [self._root]

    def unpack(self, layer: str) -> None:
        """Unpack a layer."""
        folder = self._root / "overlay2" / layer
        folder.mkdir(parents=True)
        for number in range(20):
            (folder / f"state{number}").write_bytes(content(layer, number))

    def _images(self) -> tuple[str, str]:
        assert self._instance is not None
        return self._instance.image_id, self._instance.base_image_id


class TargetHost(MeHost):
    """The target, whose engine pulls without a repository."""

    engine: Engine

    @handles(steps.Pull)
    def pull(self, image: str) -> steps.Pulled:
        self.engine.unpack(image)
        return {"image_id": f"sha256:{image}", "bytes": 1}


class Committing:
    """The source's committer; its container layer changes before the handoff, and in the hold."""

    def __init__(self) -> None:
        self.layers = 0
        self._changes = [True, False, True]

    def commit(self) -> Commit:
        changed = self._changes.pop(0)
        self.layers += changed
        return Commit("", f"sha256:layer{self.layers}", 1, changed)

    def push(self, commit: Commit) -> tuple[Commit, int]:
        return Commit(f"layer{self.layers}", commit.image_id, 1, True), 1

    def estimate(self) -> Commit:
        raise NotImplementedError


class Wire:
    """The channel to an agent, without SSH."""

    name = "worker2"

    def __init__(self, host: MeHost) -> None:
        self._agent = Agent(host)

    def begin(self, step: Step[Answer]) -> Answered[Answer]:
        return self._answered(step)

    def stream(self, step: Step[Answer], write: Callable[[IO[bytes]], None]) -> Answered[Answer]:
        stream = io.BytesIO()
        write(stream)
        stream.seek(0)
        return self._answered(step, Reader(stream))

    def _answered(self, step: Step[Answer], stream: Reader | None = None) -> Answered[Answer]:
        message = json.loads(channel._message(1, step))
        return Answered(step, self._agent.answer(message, stream))


class Answered(Generic[Answer]):
    """What an agent answered."""

    def __init__(self, step: Step[Answer], answer: dict[str, Any]) -> None:
        self._step = step
        self._answer = answer

    def result(self, _timeout_s: float = 0.0) -> Answer:
        if "error" in self._answer:
            raise RelocationError(self._answer["error"])
        return steps.answers(self._step, self._answer["result"])


class Serving(http.server.BaseHTTPRequestHandler):
    """An instance that serves once it is activated."""

    active = False

    def do_GET(self) -> None:
        self.send_response(200 if Serving.active else 503)
        self.end_headers()

    def do_POST(self) -> None:
        Serving.active = True
        self.do_GET()

    def log_message(self, *_arguments: object) -> None:
        """Nothing."""


def content(name: str, number: int) -> bytes:
    return f"{name} {number}\n".encode() * (100 + number)


def furnish(volume: Path) -> sqlite3.Connection:
    """Fill the source's volume; the database stays open."""
    (volume / "sub").mkdir()
    for number in range(FILES):
        (volume / "sub" / f"file{number}").write_bytes(content("file", number))
    database = sqlite3.connect(volume / "app.db", isolation_level=None)
    database.executescript(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
        "CREATE TABLE acknowledged (number INTEGER PRIMARY KEY, value TEXT)"
    )
    for number in range(ROWS - 1):
        database.execute("INSERT INTO acknowledged VALUES (?, ?)", (number, "value " * 20))
    return database


def write_the_last(volume: Path, database: sqlite3.Connection, files: int) -> None:
    """What the app writes last before it is frozen."""
    database.execute("INSERT INTO acknowledged VALUES (?, 'the last')", (ROWS - 1,))
    (volume / "new").mkdir()
    for number in range(files):
        (volume / "new" / f"file{number}").write_bytes(content("new", number))
    (volume / "sub" / "file0").rename(volume / "renamed")
    (volume / "sub" / "file1").unlink()
    os.chmod(volume / "sub" / "file2", 0o640)
    os.symlink("renamed", volume / "symlink")
    os.link(volume / "renamed", volume / "link")
    os.mkfifo(volume / "fifo", 0o620)


def relocate(
    way: str, place: Path, engine: Engine, passes: LocalPasses, database: sqlite3.Connection
) -> int:
    """Relocate as far as the source may end; the number of layers that were brought."""
    serving = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Serving)
    threading.Thread(target=serving.serve_forever, daemon=True).start()
    app = App.from_dict(
        {
            "name": APP,
            "image": "notes:1",
            "port": 80,
            "host_port": serving.server_address[1],
            "volume": "/data",
            "start": "standby",
            "activate": {"http": "/-/activate"},
        }
    )
    config = dataclasses.replace(host_config(place, "worker2", "worker1"), address="127.0.0.1")
    host = TargetHost(config, engine)  # type: ignore[arg-type]
    host.engine = engine
    target = Wire(host)
    attempt = 1 + target.begin(steps.Lock(APP, HANDOFF)).result()["newest"]
    target.begin(steps.Ready(APP, HANDOFF)).result()
    record = Record(0.0, [], id=HANDOFF)
    commits = Committing()
    with VolumeCopy(passes, target, APP, lambda: [os.getpid()], hold_s=10.0) as volume:
        transfer: Transfer
        if way in ("reactive", "paper"):
            what = (app, "sha256:base", HANDOFF, target, volume, commits)
            transfer = Reactive(*what, first_commit=way == "reactive")
        else:
            transfer = Proactive(app, "sha256:base", HANDOFF, target, volume)
        transfer.ahead(record)
        offered = target.begin(steps.Offer(APP, attempt, HANDOFF, "worker1")).result()
        assert offered["answer"] == "accepted", offered
        # Few are synced one by one, many with all others.
        write_the_last(passes.source, database, files=50 if way == "reactive" else 3)
        transfer.last(record)
        told = target.begin(steps.Activate(APP, attempt, 10.0)).result()
        assert told["answer"] == "took", told
        target.begin(steps.Settle(APP)).result()
    assert (record.fallback is not None) == (way == "fallback"), record.fallback
    return commits.layers


def judge(instant: str, disks: dict[str, Path], source: Path, layers: int) -> dict[str, Any]:
    """What is left after a cut."""
    with mounted(disks["worker2"]) as left:
        wanted, found = view(source), view(left / "pv" / APP)
        lost = [os.fsdecode(path) for path in wanted if found.get(path) != wanted[path]]
        lost += [f"{os.fsdecode(path)} is there" for path in found if path not in wanted]
        control = left / f"control-{instant}"
        sees = not control.exists() or control.stat().st_size == 0
        state = str(AppState(left / "state", APP).note().state)
        try:
            with contextlib.closing(sqlite3.connect(left / "pv" / APP / "app.db")) as database:
                [[rows]] = database.execute("SELECT count(*) FROM acknowledged")
        except sqlite3.Error:
            rows = 0
    with mounted(disks["engine"]) as left:
        for layer in (f"layer{number}" for number in range(1, layers + 1)):
            for number in range(20):
                file = left / "overlay2" / layer / f"state{number}"
                if not file.exists() or file.read_bytes() != content(layer, number):
                    lost.append(f"{layer}/{file.name}")
    return {"lost": lost, "rows": rows, "state": state, "sees_what_is_not_synced": sees}


def spoil(without: str) -> None:
    """Take something out of the library, or its speed out of the disk."""
    if without == "sync":
        MeHost.sync = handles(steps.Sync)(lambda _self, app: None)  # noqa: ARG005
    elif without == "delta":
        volume_apply._Changed.sync = lambda _self: None  # type: ignore[method-assign]
    elif without == "speed":
        at_once = MeHost._write

        def slowly(host: MeHost, app: str, write: Callable[[], None]) -> None:
            at_once(host, app, lambda: (time.sleep(0.5), write())[1])

        MeHost._write = slowly  # type: ignore[method-assign]


def unwatched(_watch: VolumeWatch) -> VolumeWatch:
    raise OSError(errno.ENOSPC, "the limit of watches is reached")


def run(*command: str | Path) -> None:
    subprocess.run(command, check=True)


def main() -> None:
    place, way, without, *instants = Path(sys.argv[1]), *sys.argv[2:]
    disks = {name: Disk(place / name) for name in ("worker2", "engine")}
    spoil(without)
    if way == "fallback":
        VolumeWatch.__enter__ = unwatched  # type: ignore[method-assign]
    passes = LocalPasses(place, expected=False)
    # It stays open, as the app's does.
    database = furnish(passes.source)
    layers = relocate(way, place, Engine(disks["engine"].folder), passes, database)
    began_s = time.monotonic()
    cuts = []
    for instant in instants:
        time.sleep(max(began_s + float(instant) - time.monotonic(), 0))
        # A new file each time: one that is truncated is written soon.
        (disks["worker2"].folder / f"control-{instant}").write_bytes(b"not synced")
        copies = {name: disk.copy(f"at-{instant}") for name, disk in disks.items()}
        cuts.append((instant, copies))
    print(json.dumps([judge(instant, disks, passes.source, layers) for instant, disks in cuts]))


if __name__ == "__main__":
    main()
