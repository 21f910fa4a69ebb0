# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The backlog of an instance: connections that the kernel keeps until the server accepts them.

Many servers ask for 5. When more clients come at once, as they do after a hold, the kernel drops
the others' first packets, and they try again a second later. The length belongs to the listening
socket, and whoever has the socket can change it while the server runs (listen(2), pidfd_getfd(2)).
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import socket
from collections.abc import Iterable, Iterator
from pathlib import Path

# The kernel takes no more than net.core.somaxconn of the instance's network, 4096 by default.
_CONNECTIONS = 4096
# An app may have any number of either, to keep its host at work.
_PROCESSES, _DESCRIPTORS = 1000, 10000
_LISTENS = "0A"
_PIDFD_GETFD = 438
_libc = ctypes.CDLL(None, use_errno=True)


def deepen(pids: Iterable[int], port: int) -> None:
    """Have every socket of some processes that listens on a port keep as many as the kernel allows.

    A process that ends meanwhile is passed over.
    """
    wanted: dict[str, set[int]] = {}
    looks = itertools.count()
    for pid in itertools.islice(pids, _PROCESSES):
        with contextlib.suppress(OSError):
            network = os.readlink(f"/proc/{pid}/ns/net")
            if network not in wanted:
                wanted[network] = _listening(pid, port)
            if wanted[network]:
                wanted[network] -= _deepen(pid, wanted[network], looks)


def _listening(pid: int, port: int) -> set[int]:
    """Return the inodes of the sockets that listen on a port in the network of a process."""
    inodes = set()
    for table in ("tcp", "tcp6"):
        with (
            contextlib.suppress(FileNotFoundError),
            Path(f"/proc/{pid}/net/{table}").open() as lines,
        ):
            next(lines)
            for line in lines:
                words = line.split()
                if words[3] != _LISTENS:
                    # Those that listen come first.
                    break
                if int(words[1].rpartition(":")[2], 16) == port:
                    inodes.add(int(words[9]))
    return inodes


def _deepen(pid: int, wanted: set[int], looks: Iterator[int]) -> set[int]:
    """Deepen those of the wanted sockets that a process has; return them."""
    found: set[int] = set()
    with contextlib.closing(_Process(pid)) as process:
        for number, inode in _sockets(pid, looks):
            if found == wanted:
                break
            if inode in wanted:
                with process.socket(number) as taken:
                    # What was looked up may be another one by now.
                    if os.fstat(taken.fileno()).st_ino == inode:
                        taken.listen(_CONNECTIONS)
                        found.add(inode)
                    else:
                        # To be the last to close it may take time.
                        taken.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes(8))
    return found


def _sockets(pid: int, looks: Iterator[int]) -> Iterator[tuple[int, int]]:
    """Yield the descriptors of a process that are sockets, with their inodes."""
    folder = f"/proc/{pid}/fd"
    for number in os.listdir(folder):
        if next(looks) > _DESCRIPTORS:
            return
        with contextlib.suppress(FileNotFoundError):
            target = os.readlink(f"{folder}/{number}")
            if target.startswith("socket:["):
                yield int(number), int(target[len("socket:[") : -1])


class _Process:
    """A process whose descriptors can be shared."""

    def __init__(self, pid: int) -> None:
        self._descriptor = os.pidfd_open(pid)

    def socket(self, number: int) -> socket.socket:
        """Return a socket of the process, under another descriptor of this one."""
        descriptor = _libc.syscall(_PIDFD_GETFD, self._descriptor, number, 0)
        if descriptor < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        try:
            return socket.socket(fileno=descriptor)
        except OSError:
            os.close(descriptor)
            raise

    def close(self) -> None:
        """Let go of it."""
        os.close(self._descriptor)
