# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The far end of the passes over a volume, started by sshd for the restricted key.

It runs the one rsync that `volume` asks for, into a folder below the PV root, and nothing else.
Debian's rrsync does much the same, but refuses the option that compares times to the nanosecond.
"""

from __future__ import annotations

import os
import re
import sys

# What rsync makes of the options in `volume`; the part after e. tells the client's abilities.
_SERVER_COMMAND = re.compile(
    r"rsync --server -[AHXSDcglnoprtv]+e\.[A-Za-z]+"
    r"(?: (?:-@-1|--delete|--log-format=%i|--numeric-ids|--stats|--timeout=\d+))*"
    r" \. ([a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?)/"
)


def arguments(command: str, pv_root: str) -> list[str]:
    """The rsync server to run for a client's command.

    Raises:
        PermissionError: the command is anything but a pass over an app's volume.
    """
    matched = _SERVER_COMMAND.fullmatch(command)
    if matched is None:
        raise PermissionError(f"this key is for volumes of apps, not for: {command!r}")
    return [*command.split()[:-1], os.path.join(pv_root, matched.group(1), "")]


def main() -> None:
    """Become the rsync server."""
    try:
        argv = arguments(os.environ.get("SSH_ORIGINAL_COMMAND", ""), sys.argv[1])
    except PermissionError as error:
        sys.exit(f"mec-relocation: {error}")
    os.execvp("rsync", argv)


if __name__ == "__main__":
    main()
