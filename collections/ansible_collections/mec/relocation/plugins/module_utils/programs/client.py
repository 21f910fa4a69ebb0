# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What sshd starts on a host: hands its standard input, output and error over to the server.

Run as a file, and not as a part of the library: it has to begin at once, and needs none of it.
"""

from __future__ import annotations

import socket
import sys

SOCKET = "/run/mec-relocation/server.sock"


def ask(entry: str, path: str = SOCKET) -> int:
    """Have the server run one of its entries; returns the exit status (1 where it broke off).

    Raises:
        OSError: there is no server, and nothing was done.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
        server.connect(path)
        socket.send_fds(server, [entry.encode()], [0, 1, 2])
        status = server.recv(1)
    return status[0] if status else 1


if __name__ == "__main__":
    sys.exit(ask(*sys.argv[1:]))
