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

from ..ground.durable import write_durably
from ..ground.errors import RelocationError

_TIMEOUT_S = 5.0


class Gateway:
    """One HAProxy."""

    def __init__(self, runtime_socket: Path, map_path: Path) -> None:
        self.socket = runtime_socket
        self.map_path = map_path

    def hold(self, app: str, max_s: float, host: str) -> int:
        """Let new requests wait, each for at most ``max_s``; then they get 503 with Retry-After.

        Returns:
            ``in_flight`` of the instance on ``host``, as of then.
        """
        command = f"mec hold {app} {round(max_s * 1000)}"
        answer = self._ask(command, _statistics_command(app, host))
        held, _, statistics = answer.partition("\n\n")
        if held.strip() != "held":
            raise RelocationError(f"The gateway refused {command!r}: {held or 'no answer'}.")
        return _requests(statistics, app, host)

    def release(self, app: str) -> None:
        """Let the waiting requests go on, to wherever the app is now."""
        self._expect("released", _release_command(app))

    def locations(self) -> dict[str, str]:
        """Where this gateway sends the requests of each app."""
        lines = self._ask(f"show map {self.map_path}").splitlines()
        entries = (line.split() for line in lines if line.startswith("0x"))
        return {entry[1]: entry[2] for entry in entries if len(entry) == 3}

    def check(self, app: str, host: str) -> None:
        """Raise unless this gateway can send the app's requests to its instance on ``host``."""
        self.in_flight(app, host)

    def switch(self, app: str, host: str) -> None:
        """Send the app's requests to its instance on ``host``; ``check`` it ahead."""
        if self._ask(self._set_command(app, host)).strip():
            self._expect("", f"add map {self.map_path} {app} {host}")

    def forward(self, app: str, host: str) -> None:
        """Send the app's requests to its instance on ``host``, those that wait first."""
        answer = self._ask(self._set_command(app, host), _release_command(app)).strip()
        if answer != "released":
            self.switch(app, host)
            self.release(app)

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
        return _requests(self._ask(_statistics_command(app, host)), app, host)

    def _set_command(self, app: str, host: str) -> str:
        return f"set map {self.map_path} {app} {host}"

    def _expect(self, wanted: str, command: str) -> None:
        answer = self._ask(command).strip()
        if answer != wanted:
            raise RelocationError(f"The gateway refused {command!r}: {answer or 'no answer'}.")

    def _ask(self, *commands: str) -> str:
        for command in commands:
            # Apps and hosts are DNS labels: a command cannot carry another one. This is the wall.
            if any(char in command for char in ";\n\r\\"):
                raise RelocationError(f"Not a gateway command: {command!r}.")
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(_TIMEOUT_S)
                connection.connect(str(self.socket))
                connection.sendall(";".join(commands).encode() + b"\n")
                chunks = []
                while chunk := connection.recv(65536):
                    chunks.append(chunk)
        except OSError as error:
            raise RelocationError(
                f"The gateway does not answer on {self.socket}: {error.strerror or error}.",
                "See `systemctl status haproxy` on that host.",
            ) from error
        return b"".join(chunks).decode()


def _release_command(app: str) -> str:
    return f"mec release {app}"


def _statistics_command(app: str, host: str) -> str:
    """Asks for the backend and its servers (HAProxy management guide, 9.3)."""
    return f"show stat {app}.{host} 6 -1"


def _requests(statistics: str, app: str, host: str) -> int:
    """The requests in the statistics of a backend (HAProxy management guide, 9.1)."""
    name = f"{app}.{host}"
    rows = csv.DictReader(statistics.removeprefix("# ").splitlines())
    sessions = {row["svname"]: int(row["scur"]) for row in rows if row["pxname"] == name}
    if not sessions:
        raise RelocationError(
            f"The gateway has no backend {name!r}.",
            "Deploy the app (role app) on every ME host.",
        )
    return sessions["BACKEND"] - sessions.get("streams", 0)
