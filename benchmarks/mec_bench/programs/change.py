# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""On a place: write new content over the beginning of what fill.py made.

change.py VOLUME BYTES
"""

import os
import sys
from pathlib import Path


def main() -> None:
    left_bytes = int(sys.argv[2])
    for path in sorted(Path(sys.argv[1], "filling").glob("*/*")):
        with path.open("r+b") as file:
            left_bytes -= file.write(os.urandom(min(left_bytes, path.stat().st_size)))
        if not left_bytes:
            break
    os.sync()


if __name__ == "__main__":
    main()
