# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""SSH connections to other ME hosts, which stay open for whoever needs them next.

A new connection takes 0.1 to 0.3 s, most of it for keys; a session over one that is open 10 ms.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from ..ground.config import HostConfig
from ..ground.errors import RelocationError

# How long an idle connection stays open: from the announcement of a handoff to its execution.
KEEP_S = 600
_RUN_DIR = Path("/run/mec-relocation")
_OPTIONS = {
    "BatchMode": "yes",
    "ConnectTimeout": "5",
    "IdentitiesOnly": "yes",
    "LogLevel": "ERROR",
    "ServerAliveCountMax": "3",
    "ServerAliveInterval": "5",
    "StrictHostKeyChecking": "yes",
}


class Connection:
    """The connection for one key to one ME host.

    Args:
        config: this host.
        key: its private key, which is good for one command there.
        peer: the other host.
    """

    def __init__(self, config: HostConfig, key: Path, peer: str) -> None:
        self.peer = peer
        self.destination = f"{config.ssh.user}@{config.peer_address(peer)}"
        self._options = {
            **_OPTIONS,
            "IdentityFile": str(key),
            "UserKnownHostsFile": str(config.ssh.known_hosts),
        }
        self._socket = _RUN_DIR / f"{key.name}-{peer}"

    def command(self, *, shared: bool = True) -> list[str]:
        """The SSH client, and nothing else that could be asked for.

        It goes over the open connection where there is one, unless it is not to be ``shared``.
        """
        options = {**self._options, "ControlPath": str(self._socket) if shared else "none"}
        return ["ssh", "-F", "none", "-T"] + [
            word for name, value in options.items() for word in ("-o", f"{name}={value}")
        ]

    def open(self) -> None:
        """Open the connection, unless it is, and let it stay open.

        Raises:
            RelocationError: the host cannot be reached.
        """
        _RUN_DIR.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._ask("-O", "check").returncode == 0:
            return
        done = self._ask("-f", "-N", "-o", "ControlMaster=auto", "-o", f"ControlPersist={KEEP_S}")
        if done.returncode != 0:
            raise RelocationError(
                f"No connection to {self.peer}: {first_line(done.stdout)}.",
                f"Check that {self.peer} is up and reachable over the backbone.",
            )

    def _ask(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        # The connection that stays open must not hold on to our output: it goes to a file.
        with open(self._socket.with_suffix(".log"), "w+") as output:
            done = subprocess.run(
                [*self.command(), *arguments, self.destination],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                check=False,
            )
            output.seek(0)
            return subprocess.CompletedProcess(done.args, done.returncode, output.read())


def first_line(text: str) -> str:
    """What a program said first, without the full stop."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[0].rstrip(".") if lines else "it gave no reason"
