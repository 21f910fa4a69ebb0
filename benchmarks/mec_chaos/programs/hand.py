#!/usr/bin/env python3
# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the harness has on an ME host: it watches notes and beats, and strikes.

    hand.py NOTES BEATS_PORT

Each line of standard input is a JSON object with the shell command `sh` and an `id`: the command is
begun at once. Each line of standard output is a JSON object, with times of CLOCK_MONOTONIC, which
all hosts of the testbed share:

    {"ready": t}
    {"changed": t, "file": name, "text": content}      a file below NOTES has changed
    {"beats": [[instance, t], ...]}
    {"id": id, "began_s": t, "ended_s": t, "status": n, "said": text}

It ends with its standard input.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

# How soon a change is seen.
LOOK_S = 0.002
TELL_S = 0.1
# Leases are extended all the time, and locks say nothing.
IGNORED = ("lease", "app.json", ".")
LOCK = ".lock"


def say(**said: Any) -> None:
    """Tell the harness."""
    print(json.dumps(said), flush=True)


class Notes:
    """The files of a folder that may come and go."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen = self._look()

    def _look(self) -> dict[str, tuple[int, int]]:
        seen = {}
        with contextlib.suppress(OSError), os.scandir(self._folder) as entries:
            for entry in entries:
                if entry.name.startswith(IGNORED) or entry.name.endswith(LOCK):
                    continue
                with contextlib.suppress(OSError):
                    found = entry.stat()
                    seen[entry.name] = found.st_ino, found.st_mtime_ns
        return seen

    def tell(self) -> None:
        """Tell what has changed."""
        now = self._look()
        changed = [name for name in {*now, *self._seen} if now.get(name) != self._seen.get(name)]
        self._seen = now
        for name in changed:
            text = ""
            with contextlib.suppress(OSError):
                text = (self._folder / name).read_text(errors="replace")[:2000]
            say(changed=time.monotonic(), file=name, text=text)


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


def main() -> None:
    """Watch and strike until standard input ends."""
    notes, strikes = Notes(Path(sys.argv[1])), Strikes()
    beats: list[list[Any]] = []
    told_s = time.monotonic()
    rest = b""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as heard,
        selectors.DefaultSelector() as ready,
    ):
        heard.bind(("", int(sys.argv[2])))
        heard.setblocking(False)
        ready.register(heard, selectors.EVENT_READ)
        ready.register(0, selectors.EVENT_READ)
        say(ready=time.monotonic())
        while True:
            for key, _ in ready.select(LOOK_S):
                if key.fileobj is heard:
                    with contextlib.suppress(BlockingIOError, ValueError):
                        while True:
                            instance, at_ns = heard.recv(200).decode().split()
                            beats.append([instance, int(at_ns) / 1e9])
                    continue
                given = os.read(0, 65536)
                if not given:
                    return
                *lines, rest = (rest + given).split(b"\n")
                for line in lines:
                    strikes.begin(json.loads(line))
            notes.tell()
            strikes.tell()
            if beats and time.monotonic() - told_s > TELL_S:
                say(beats=beats)
                beats, told_s = [], time.monotonic()


if __name__ == "__main__":
    main()
