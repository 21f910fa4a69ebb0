# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The gateway of a cell, over HAProxy's runtime socket: hold, switch, release.

The role ``gateway`` configures HAProxy so that the backend of a request is ``<app>.<ME host>``,
with the ME host taken from a map, and so that requests of a held app wait before the map is read.
"""

from __future__ import annotations

import csv
import socket
from pathlib import Path

from .errors import RelocationError
from .state import write_durably

_TIMEOUT_S = 5.0


class Gateway:
    """One HAProxy."""

    def __init__(self, runtime_socket: Path, map_path: Path) -> None:
        self.socket = runtime_socket
        self.map_path = map_path

    def hold(self, app: str, max_s: float) -> None:
        """Let new requests wait, each for at most ``max_s``; then they get 503 with Retry-After."""
        self._expect("held", f"mec hold {app} {round(max_s * 1000)}")

    def release(self, app: str) -> None:
        """Let the waiting requests go on, to wherever the app is now."""
        self._expect("released", f"mec release {app}")

    def locations(self) -> dict[str, str]:
        """Where this gateway sends the requests of each app."""
        lines = self._ask(f"show map {self.map_path}").splitlines()
        entries = (line.split() for line in lines if line.startswith("0x"))
        return {entry[1]: entry[2] for entry in entries if len(entry) == 3}

    def check(self, app: str, host: str) -> None:
        """Raise unless this gateway can send the app's requests to its instance on ``host``."""
        self._sessions(app, host)

    def switch(self, app: str, host: str) -> None:
        """Send the app's requests to its instance on ``host``; ``check`` it ahead."""
        if self._ask(f"set map {self.map_path} {app} {host}").strip():
            self._expect("", f"add map {self.map_path} {app} {host}")

    def remove(self, app: str) -> None:
        """Send the app's requests nowhere: they are answered with 503."""
        if app in self.locations():
            self._expect("", f"del map {self.map_path} {app}")

    def persist(self) -> None:
        """Write the map as it is now, for HAProxy's next start."""
        content = "".join(f"{app} {host}\n" for app, host in sorted(self.locations().items()))
        if not self.map_path.exists() or self.map_path.read_text() != content:
            write_durably(self.map_path, content, mode=0o644)

    def in_flight(self, app: str, host: str) -> int:
        """The requests that the app's instance on ``host`` is answering through this gateway.

        Tunnels and event streams are left out: they do not end by themselves.
        """
        sessions = self._sessions(app, host)
        return sessions["BACKEND"] - sessions.get("streams", 0)

    def _sessions(self, app: str, host: str) -> dict[str, int]:
        """The sessions of the backend and of its servers (HAProxy management guide, 9.1)."""
        name = f"{app}.{host}"
        answer = self._ask(f"show stat {name} 6 -1").removeprefix("# ")
        rows = [row for row in csv.DictReader(answer.splitlines()) if row["pxname"] == name]
        if not rows:
            raise RelocationError(
                f"The gateway has no backend {name!r}.",
                "Deploy the app (role app) on every ME host.",
            )
        return {row["svname"]: int(row["scur"]) for row in rows}

    def _expect(self, wanted: str, command: str) -> None:
        answer = self._ask(command).strip()
        if answer != wanted:
            raise RelocationError(f"The gateway refused {command!r}: {answer or 'no answer'}.")

    def _ask(self, command: str) -> str:
        # Apps and hosts are DNS labels, so a command cannot carry a second one; this is the wall.
        if any(char in command for char in ";\n\r\\"):
            raise RelocationError(f"Not a gateway command: {command!r}.")
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(_TIMEOUT_S)
                connection.connect(str(self.socket))
                connection.sendall(command.encode() + b"\n")
                chunks = []
                while chunk := connection.recv(65536):
                    chunks.append(chunk)
        except OSError as error:
            raise RelocationError(
                f"The gateway does not answer on {self.socket}: {error.strerror or error}.",
                "See `systemctl status haproxy` on that host.",
            ) from error
        return b"".join(chunks).decode()
