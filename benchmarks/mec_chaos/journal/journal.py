#!/usr/bin/env python3
# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An app whose lost writes show, and two of whose instances show when both would write.

An entry is acknowledged when three places have it durably: a line at the end of a journal, a slot
of a file that keeps its size, and a slot of a file that is mapped. Meanwhile the app churns its
volume: folders are made, renamed, linked into and removed, files rewritten in place. An active
instance notes every BEAT_S, in memory that its host can read, that it is active.

    POST /entries/JOURNAL/ID       append an entry; answers where it ends, and who has done it
    GET /entries/JOURNAL           the journal
    DELETE /entries/JOURNAL        remove it
    GET /slots                     what the slots hold, of the file and of the mapping
    GET /complaints                what did not arrive whole, of what was churned
    GET /healthz, POST /-/activate, GET /-/instance
"""

from __future__ import annotations

import contextlib
import itertools
import json
import mmap
import os
import random
import secrets
import shutil
import signal
import socket
import struct
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

DATA = Path("/data")
# In the container's layer: an instance that was active is so again when it is started again.
MARKER = Path("/var/lib/journal/active")
PORT = 8080
# A ring in memory: how many beats there were, then the times of the last ones (CLOCK_MONOTONIC).
# The host reads it by way of /proc, so it needs neither a disk nor a network.
BEATS = Path("/dev/shm")  # noqa: S108
BEAT_S = 0.005
RING = 4096
SLOTS = 32
SLOT_BYTES = 128
CHURN_S = 0.02
FILES = 100
FILE_BYTES = 8192
FOLDERS = 40
FOLDER_FILES = 5


class Journal:
    """The volume of an active instance.

    Raises:
        OSError: the volume cannot be used.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "journal"
        self.churned = folder / "churned"
        for each in (self.folder, self.churned / "files", self.churned / "links"):
            each.mkdir(parents=True, exist_ok=True)
        self._noting = threading.Lock()
        size = SLOTS * SLOT_BYTES
        self._slots = _sized(folder / "slots", size)
        self._mapping = mmap.mmap(_sized(folder / "mapped", size), size)

    def note(self, journal: str, entry: str) -> int:
        """Add an entry durably; returns where its line ends.

        Raises:
            OSError: it may be there in part.
        """
        path = self.folder / journal
        with self._noting:
            is_new = not path.exists()
            with path.open("ab+") as file:
                line = f"{entry}\n".encode()
                # What a crash or a full disk has cut short is no part of this entry.
                if (end := file.seek(0, os.SEEK_END)) and os.pread(
                    file.fileno(), 1, end - 1
                ) != b"\n":
                    line = b"\n" + line
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
                end += len(line)
            if is_new:
                _sync_folder(self.folder)
            at = slot_of(entry) * SLOT_BYTES
            content = entry.encode().ljust(SLOT_BYTES)
            os.pwrite(self._slots, content, at)
            os.fdatasync(self._slots)
            self._mapping[at : at + SLOT_BYTES] = content
            self._mapping.flush()
        return end

    def slots(self) -> dict[str, list[str]]:
        """What the slots hold."""
        with self._noting:
            kinds = {
                "file": os.pread(self._slots, SLOTS * SLOT_BYTES, 0),
                "mapped": self._mapping[:],
            }
        return {
            kind: [
                content[at : at + SLOT_BYTES].strip(b"\0 ").decode()
                for at in range(0, len(content), SLOT_BYTES)
            ]
            for kind, content in kinds.items()
        }

    def complaints(self) -> Iterator[str]:
        """What is not whole of what was churned, before it is churned again."""
        for folder in sorted(self.churned.glob("whole-*")):
            number = folder.name.partition("-")[2]
            files = sorted(folder.iterdir())
            if len(files) != FOLDER_FILES:
                yield f"{folder.name} has {len(files)} of {FOLDER_FILES} files"
            for file in files:
                if set(_blocks(file)) != {_block(number)}:
                    yield f"{folder.name}/{file.name} does not hold what was written"
            link = self.churned / "links" / number
            if link.exists() and files and not link.samefile(files[0]):
                yield f"{folder.name} is not linked any more"

    def churn(self) -> None:
        """Change something."""
        chance = random.random()  # noqa: S311
        if chance < 0.7:
            self._rewrite()
        else:
            self._make_folder()

    def _rewrite(self) -> None:
        """The same size, in place; at times through a mapping."""
        path = self.churned / "files" / str(random.randrange(FILES))  # noqa: S311
        content = _content(secrets.token_hex(8))
        file = _sized(path, FILE_BYTES)
        try:
            if random.random() < 0.5:  # noqa: S311
                os.pwrite(file, content, 0)
            else:
                with mmap.mmap(file, FILE_BYTES) as mapping:
                    mapping[:] = content
        finally:
            os.close(file)

    def _make_folder(self) -> None:
        """Whole under its last name; the oldest goes."""
        number = f"{time.time_ns():020d}"
        fresh = self.churned / f"fresh-{number}"
        fresh.mkdir()
        for name in range(FOLDER_FILES):
            (fresh / str(name)).write_bytes(_content(number))
        os.link(fresh / "0", self.churned / "links" / number)
        fresh.rename(self.churned / f"whole-{number}")
        for old in sorted(self.churned.glob("whole-*"))[:-FOLDERS]:
            gone = old.rename(self.churned / old.name.replace("whole", "gone"))
            (self.churned / "links" / old.name.partition("-")[2]).unlink(missing_ok=True)
            shutil.rmtree(gone)

    def clear(self) -> None:
        """Remove what a crash left half made."""
        for left in [*self.churned.glob("fresh-*"), *self.churned.glob("gone-*")]:
            shutil.rmtree(left, ignore_errors=True)


def slot_of(entry: str) -> int:
    """The slot that an entry is kept in."""
    return zlib.crc32(entry.encode()) % SLOTS


def _sized(path: Path, size: int) -> int:
    """A descriptor of a file that has at least this size, and keeps it."""
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    if os.fstat(file).st_size < size:
        os.posix_fallocate(file, 0, size)
        os.fsync(file)
        _sync_folder(path.parent)
    return file


def _sync_folder(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _block(word: str) -> bytes:
    return word.encode().ljust(64)


def _content(word: str) -> bytes:
    return _block(word) * (FILE_BYTES // 64)


def _blocks(path: Path) -> Iterator[bytes]:
    content = path.read_bytes()
    return (content[at : at + 64] for at in range(0, len(content), 64))


class Instance:
    """Idle until it is told to serve."""

    def __init__(self) -> None:
        self.name = socket.gethostname()
        # A container that is started again is another writer.
        self.process = f"{self.name}.{secrets.token_hex(2)}"
        self.journal: Journal | None = None
        self.complaints: list[str] = []
        self._activation = threading.Lock()

    def activate(self) -> None:
        """Open the volume and serve; a second time changes nothing."""
        with self._activation:
            if self.journal is None:
                journal = Journal(DATA)
                MARKER.touch()
                self.journal = journal
                threading.Thread(target=self._beat, daemon=True).start()
                threading.Thread(target=self._churn, args=(journal,), daemon=True).start()

    def _beat(self) -> None:
        """Note that this instance is active."""
        with (BEATS / f"beats-{self.process}").open("w+b") as file:
            file.truncate(8 + 8 * RING)
            with mmap.mmap(file.fileno(), 0) as ring:
                for count in itertools.count():
                    struct.pack_into("=d", ring, 8 + 8 * (count % RING), time.monotonic())
                    struct.pack_into("=Q", ring, 0, count + 1)
                    time.sleep(BEAT_S)

    def _churn(self, journal: Journal) -> None:
        with contextlib.suppress(OSError):
            self.complaints = list(journal.complaints())
            journal.clear()
        while True:
            # A full disk is no reason to end.
            with contextlib.suppress(OSError):
                journal.churn()
            time.sleep(CHURN_S)


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    instance: Instance

    def do_GET(self) -> None:
        """Whether it serves, who it is, or what it has."""
        journal = self.instance.journal
        kind, name, _ = self._parts()
        if self.path == "/-/instance":
            self._answer({"instance": self.instance.name, "active": journal is not None})
        elif journal is None:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE)
        elif kind == "healthz":
            self._answer({"state": "active"})
        elif kind == "slots":
            self._answer({**journal.slots(), "instance": self.instance.process})
        elif kind == "complaints":
            self._answer({"complaints": self.instance.complaints})
        elif kind == "entries" and name:
            path = journal.folder / name
            self._send(path.read_bytes() if path.exists() else b"")
        else:
            self._refuse(HTTPStatus.NOT_FOUND)

    def do_POST(self) -> None:
        """An entry, or the activation."""
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        kind, name, entry = self._parts()
        try:
            if self.path == "/-/activate":
                self.instance.activate()
                self._answer({"instance": self.instance.name})
            elif self.instance.journal is None:
                self._refuse(HTTPStatus.SERVICE_UNAVAILABLE)
            elif kind == "entries" and entry:
                end = self.instance.journal.note(name, entry)
                self._answer({"instance": self.instance.process, "end": end})
            else:
                self._refuse(HTTPStatus.NOT_FOUND)
        except OSError:
            self._refuse(HTTPStatus.INSUFFICIENT_STORAGE)

    def do_DELETE(self) -> None:
        """Remove a journal."""
        _, name, _ = self._parts()
        if self.instance.journal is None:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE)
        else:
            (self.instance.journal.folder / name).unlink(missing_ok=True)
            self._answer({})

    def _parts(self) -> tuple[str, str, str]:
        kind, name, entry = [*self.path.strip("/").split("/"), "", ""][:3]
        return kind, name, entry

    def _answer(self, value: object) -> None:
        self._send(json.dumps(value).encode())

    def _refuse(self, status: HTTPStatus) -> None:
        self._send(b"", status)

    def _send(self, body: bytes, status: HTTPStatus = HTTPStatus.OK) -> None:
        # A client that has gone has no complaint.
        with contextlib.suppress(OSError):
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        """The journal is the log."""


if __name__ == "__main__":
    # The first process of a container ignores it otherwise, and is waited for.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    Handler.instance = Instance()
    if MARKER.exists():
        Handler.instance.activate()
    ThreadingHTTPServer.request_queue_size = 256
    ThreadingHTTPServer(("", PORT), Handler).serve_forever()
