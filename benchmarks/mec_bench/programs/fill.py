# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""On a place: fill a volume with files that no compression makes smaller.

fill.py VOLUME FILES BYTES
"""

import os
import shutil
import sys
from pathlib import Path

_PER_FOLDER = 1000
_PIECE_BYTES = 1024 * 1024


def main() -> None:
    volume, files, size_bytes = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    root = volume / "filling"
    shutil.rmtree(root, ignore_errors=True)
    owner = volume.stat()
    for number in range(files):
        folder = root / f"{number // _PER_FOLDER:03}"
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / f"{number:06}").open("wb") as file:
            left_bytes = size_bytes // files
            while left_bytes:
                left_bytes -= file.write(os.urandom(min(left_bytes, _PIECE_BYTES)))
            os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
    os.sync()


if __name__ == "__main__":
    main()
