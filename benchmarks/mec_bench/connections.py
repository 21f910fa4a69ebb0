# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Connections that last for a run: an SSH agent, and a folder for sockets."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from .site import CommandError, run

_START_S = 5.0


@contextlib.contextmanager
def connections(key: Path) -> Iterator[Path]:
    """An agent with the testbed's key for this process, its children and where it is forwarded.

    Ansible forwards it, too, and keeps its connections in the same folder, which is the value: no
    scheme begins with connections that another run has left.
    """
    with tempfile.TemporaryDirectory(prefix="mec-bench-") as folder:
        socket = Path(folder, "agent")
        agent = subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.DEVNULL)
        try:
            deadline_s = time.monotonic() + _START_S
            while not socket.exists():
                if time.monotonic() > deadline_s:
                    raise CommandError("ssh-agent does not start")
                time.sleep(0.01)
            os.environ |= {
                "SSH_AUTH_SOCK": str(socket),
                "ANSIBLE_SSH_EXTRA_ARGS": "-o ForwardAgent=yes",
                "ANSIBLE_SSH_CONTROL_PATH_DIR": folder,
            }
            run(["ssh-add", "-q", str(key)])
            yield Path(folder)
        finally:
            agent.terminate()
            agent.wait()
