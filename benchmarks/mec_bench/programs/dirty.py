# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Within an instance: write to a file of its volume at a rate, until killed.

    dirty.py FILE BYTES_PER_SECOND

Blocks at random places of a file of bounded size, as a database does it.
"""

import os
import random
import sys
import time

_BLOCK_BYTES = 4096
_FILE_BYTES = 16 * 1024 * 1024
_TICK_S = 0.01


def main() -> None:
    path, rate_bytes_s = sys.argv[1], int(sys.argv[2])
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    os.ftruncate(file, _FILE_BYTES)
    began_s = time.monotonic()
    written_bytes = 0
    print("ready", flush=True)
    while True:
        due_bytes = (time.monotonic() - began_s) * rate_bytes_s
        while written_bytes + _BLOCK_BYTES <= due_bytes:
            block = random.randrange(_FILE_BYTES // _BLOCK_BYTES)  # noqa: S311, no secret
            written_bytes += os.pwrite(file, os.urandom(_BLOCK_BYTES), block * _BLOCK_BYTES)
        time.sleep(_TICK_S)


if __name__ == "__main__":
    main()
