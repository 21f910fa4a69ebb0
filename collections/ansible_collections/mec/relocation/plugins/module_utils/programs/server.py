# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Has the library loaded, and makes a copy of itself for each who asks.

Python with the library takes 0.2 s of a processor to start, which the apps of the host need; a copy
of a process that has done so begins within milliseconds. Who asks (`client`) hands its standard
input, output and error over, and is told the exit status: it is as if the copy had been started
there.

The listening socket comes from systemd (sd_listen_fds(3)). Only root may connect to it.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import pkgutil
import select
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Mapping

from ..ground import library
from ..host import agent
from . import task

_LISTENER = 3  # SD_LISTEN_FDS_START

Entries = Mapping[str, Callable[[], None]]


def serve(listener: socket.socket, entries: Entries) -> None:
    """Make a copy for each who asks, until the library is replaced."""
    # The kernel buries the copies.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    loaded = library.stamp()
    while True:
        select.select([listener], [], [])
        if library.stamp() != loaded:
            return
        connection, _ = listener.accept()
        with connection:
            if os.fork() == 0:
                listener.close()
                os._exit(_be_asked(connection, entries))


def _be_asked(connection: socket.socket, entries: Entries) -> int:
    """Be the copy, up to its exit status."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    entry, handed, _, _ = socket.recv_fds(connection, 64, 3)
    for number, descriptor in enumerate(handed):
        os.dup2(descriptor, number)
        os.close(descriptor)
    status = _status(entries[entry.decode()])
    # Who asked may have gone.
    with contextlib.suppress(OSError):
        connection.send(bytes([status]))
    return status


def _status(run: Callable[[], None]) -> int:
    """Run it as the interpreter would run a program."""
    try:
        run()
        sys.stdout.flush()
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
            return 1
        return end.code or 0
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def _load() -> None:
    """Import every module of the library."""
    name = __package__.rpartition(".")[0]
    for module in pkgutil.walk_packages(sys.modules[name].__path__, f"{name}."):
        importlib.import_module(module.name)


def main() -> None:
    """Serve; begin anew when the library was replaced."""
    # Before the rest is loaded: what is replaced from now on is noticed.
    digests = library.digests()
    _load()
    entries: Entries = {"agent": agent.main, "task": functools.partial(task.main, digests)}
    with socket.socket(fileno=_LISTENER) as listener:
        serve(listener, entries)
        os.execv(sys.executable, sys.orig_argv)


if __name__ == "__main__":
    main()
