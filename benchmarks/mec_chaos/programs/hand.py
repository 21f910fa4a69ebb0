#!/usr/bin/env python3
# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the harness has on an ME host: it watches notes and beats, and strikes.

    hand.py UID WATCHED...

Each line of standard input is a JSON object with the shell command `sh` and an `id`: the command is
begun at once. Each line of standard output is a JSON object, with times of CLOCK_MONOTONIC, which
all hosts of the testbed share:

    {"ready": t}
    {"changed": t, "file": name, "text": content}      one that is WATCHED, or lies in such a folder
    {"beats": [[instance, t], ...]}
    {"id": id, "began_s": t, "ended_s": t, "status": n, "said": text}

Beats are those of processes of the user UID (journal/journal.py). It ends with its standard input.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

# How soon a change is seen.
LOOK_S = 0.002
# How soon beats are told, and new processes found.
TELL_S = 0.03
# Looks after which a process that was another user's stays one.
SURELY = 300
# Leases are extended all the time, and locks say nothing.
IGNORED = ("lease", "app.json", ".")
LOCK = ".lock"


def say(**said: Any) -> None:
    """Tell the harness."""
    print(json.dumps(said), flush=True)


class Notes:
    """Files, and those of folders, all of which may come and go."""

    def __init__(self, watched: Sequence[Path]) -> None:
        self._watched = watched
        self._seen = self._look()
        self._read = {file: self._text(file) for file in self._seen}

    def _look(self) -> dict[Path, tuple[int, int]]:
        seen = {}
        for file in self._files():
            with contextlib.suppress(OSError):
                found = file.stat()
                seen[file] = found.st_ino, found.st_mtime_ns
        return seen

    def _files(self) -> Iterator[Path]:
        for path in self._watched:
            try:
                names = os.listdir(path)
            except NotADirectoryError:
                yield path
            except OSError:
                continue
            else:
                for name in names:
                    if not name.startswith(IGNORED) and not name.endswith(LOCK):
                        yield path / name

    def tell(self) -> None:
        """Tell what has changed; one that was written again with what it held has not."""
        now = self._look()
        changed = [file for file in {*now, *self._seen} if now.get(file) != self._seen.get(file)]
        self._seen = now
        for file in changed:
            text = self._text(file)
            if text != self._read.get(file, ""):
                self._read[file] = text
                say(changed=time.monotonic(), file=file.name, text=text)

    @staticmethod
    def _text(file: Path) -> str:
        try:
            return " ".join(file.read_text(errors="replace").split())
        except OSError:
            return ""


class Strikes:
    """Commands that were begun."""

    def __init__(self) -> None:
        self._running: list[tuple[dict[str, Any], subprocess.Popen[str], float]] = []

    def begin(self, order: dict[str, Any]) -> None:
        """Begin one."""
        began_s = time.monotonic()
        process = subprocess.Popen(
            ["/bin/sh", "-c", order["sh"]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._running.append((order, process, began_s))

    def tell(self) -> None:
        """Tell which have ended."""
        for each in [each for each in self._running if each[1].poll() is not None]:
            order, process, began_s = each
            self._running.remove(each)
            said = "" if process.stdout is None else process.stdout.read()[-4000:]
            ended_s = time.monotonic()
            status = process.returncode
            say(id=order["id"], began_s=began_s, ended_s=ended_s, status=status, said=said)


class Ring:
    """The beats of one instance; they stay when it has ended."""

    def __init__(self, path: Path) -> None:
        self.instance = path.name.partition("-")[2]
        self._file = os.open(path, os.O_RDONLY)
        self._places = (os.fstat(self._file).st_size - 8) // 8
        self._told = 0

    def fresh(self) -> list[list[Any]]:
        """The beats since the last look."""
        count = struct.unpack("=Q", os.pread(self._file, 8, 0))[0]
        numbers = range(max(self._told, count - self._places), count)
        self._told = count
        return [[self.instance, self._beat(number % self._places)] for number in numbers]

    def _beat(self, place: int) -> float:
        at_s: float = struct.unpack("=d", os.pread(self._file, 8, 8 + 8 * place))[0]
        return at_s


class Beats:
    """Those of all instances that were ever seen here."""

    def __init__(self, uid: int) -> None:
        self._uid = uid
        self._others: dict[str, int] = {}
        self._rings: dict[tuple[int, int], Ring] = {}

    def tell(self) -> None:
        """Tell what is new."""
        now = [name for name in os.listdir("/proc") if name.isdecimal()]
        self._others = {name: self._others.get(name, 0) for name in now}
        for name in now:
            # A process of the app begins as another user's, and has no ring at first.
            if self._others[name] > SURELY:
                continue
            if self._is_the_apps(name):
                self._look(Path("/proc", name, "root/dev/shm"))
            else:
                self._others[name] += 1
        fresh = [beat for ring in self._rings.values() for beat in ring.fresh()]
        if fresh:
            say(beats=fresh)

    def _is_the_apps(self, name: str) -> bool:
        try:
            return os.stat(f"/proc/{name}").st_uid == self._uid
        except OSError:
            return False

    def _look(self, folder: Path) -> None:
        with contextlib.suppress(OSError):
            for path in folder.glob("beats-*"):
                found = path.stat()
                place = found.st_dev, found.st_ino
                if found.st_size > 8 and place not in self._rings:
                    self._rings[place] = Ring(path)


def main() -> None:
    """Watch and strike until standard input ends."""
    notes, beats = Notes([Path(path) for path in sys.argv[2:]]), Beats(int(sys.argv[1]))
    strikes = Strikes()
    told_s = time.monotonic()
    rest = b""
    with selectors.DefaultSelector() as ready:
        ready.register(0, selectors.EVENT_READ)
        say(ready=time.monotonic())
        while True:
            if ready.select(LOOK_S):
                given = os.read(0, 65536)
                if not given:
                    return
                *lines, rest = (rest + given).split(b"\n")
                for line in lines:
                    strikes.begin(json.loads(line))
            notes.tell()
            strikes.tell()
            if time.monotonic() - told_s > TELL_S:
                beats.tell()
                told_s = time.monotonic()


if __name__ == "__main__":
    main()
