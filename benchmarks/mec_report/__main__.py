# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`python -m mec_report [FOLDER]`: report a results folder."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from . import PROJECT, render, tables
from .folder import read
from .lines import FolderError
from .summary import summary
from .table import as_text


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="mec_report", description="Report a results folder: figures, tables and plots."
    )
    parser.add_argument(
        "folder", nargs="?", type=Path, default=PROJECT / "results" / "latest", metavar="FOLDER"
    )
    parser.add_argument("--table4", action="store_true", help="print Table 4 and write nothing")
    options = parser.parse_args(arguments)
    try:
        found = summary(read(options.folder))
        if options.table4:
            print(as_text(tables.table_4(found)), end="")
            return 0
        for file in render.write(options.folder.resolve(), found):
            print(file)
    except FolderError as error:
        print(f"mec_report: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"mec_report: {error.filename}: {error.strerror}.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
