# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The far end of the passes over a volume, started by sshd for the restricted key.

It runs the one rsync that `volume.rsync` asks for, into a folder below the PV root, and nothing
else; and only while an agent of this host has the app's lock, and the note does not say that the
app may be written here.
Debian's rrsync does much the same, but refuses the option that compares times to the nanosecond.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from ..ground.errors import RelocationError
from ..host.lock import Lock
from ..host.owner import State
from ..host.passes import enter
from ..host.state import AppState

# What rsync makes of the options in `volume`; the part after e. tells the client's abilities.
_SERVER_COMMAND = re.compile(
    r"rsync --server -[AHXSDcglnoprtv]+e\.[A-Za-z]+"
    r"(?: (?:-@-1|--delete|--log-format=%i|--numeric-ids|--stats|--timeout=\d+))*"
    r" \. ([a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?)/"
)

# A pass that only tells what it would do says so in its first word of letters.
_DRY_RUN = re.compile(r"rsync --server -[A-Za-z]*n")


def arguments(command: str, pv_root: str, state_dir: str) -> list[str]:
    """Return the rsync server to run for a client's command.

    Raises:
        PermissionError: the command is anything but a pass over an app's volume.
        RelocationError: the app's volume here is not to be written to.
    """
    matched = _SERVER_COMMAND.fullmatch(command)
    if matched is None:
        raise PermissionError(f"this key is for volumes of apps, not for: {command!r}")
    app = matched.group(1)
    if not _DRY_RUN.match(command):
        _enter(AppState(Path(state_dir), app))
    return [*command.split()[:-1], os.path.join(pv_root, app, "")]


def _enter(kept: AppState) -> None:
    """Have the lock of passes, until rsync ends.

    Raises:
        RelocationError: nobody relocates the app to this host, or it serves here.
    """
    if Lock(kept.folder, kept.name).holder() is None:
        raise RelocationError(f"nobody relocates app {kept.name!r} to this host")
    enter(kept.folder)
    state = kept.note().state
    if state not in (State.PREPARED, State.TAKING):
        raise RelocationError(f"app {kept.name!r} is {state} here")


def main() -> None:
    """Become the rsync server."""
    try:
        argv = arguments(os.environ.get("SSH_ORIGINAL_COMMAND", ""), *sys.argv[1:3])
    except (PermissionError, RelocationError) as error:
        sys.exit(f"mec-relocation: {error}")
    os.execvp("rsync", argv)


if __name__ == "__main__":
    main()
