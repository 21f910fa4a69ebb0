# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Pre-copy 2: passes of rsync over a persistent volume, from this ME host to another.

The connection is opened once and kept, so that a later pass, the last one above all, finds it warm.
Times are compared to the nanosecond: a file that was rewritten with the same size within one second
is a changed file. A store into a mapped file may change no time at all: where nothing else tells of
that, a pass has to compare contents.
"""

from __future__ import annotations

import ctypes
import functools
import os
import re
import shlex
import signal
import subprocess
import time
from dataclasses import dataclass

from ..ground.app import check_name
from ..ground.config import HostConfig
from ..ground.errors import RelocationError
from ..wire.ssh import Connection, first_line

# rsync(1), "EXIT VALUES": files vanished while the source went on serving; the next pass sees it.
_VANISHED = 24
# Files were left out. The app truncated one that was being read, for example, or replaced it by one
# of another kind: then another try finds it as it is now. An error that stays is one.
_PARTIAL, _TRIES = 23, 5
_SILENT_S = 60
_OPTIONS = [
    "--archive",
    "--hard-links",
    "--acls",
    "--xattrs",
    "--sparse",
    "--numeric-ids",
    "--delete",
    "--modify-window=-1",
    "--no-human-readable",
    "--stats",
    # Neither end waits for the other for longer than this, whatever has become of it.
    f"--timeout={_SILENT_S}",
    "--out-format=%i %n%L",
]


@dataclass(frozen=True)
class VolumePass:
    """What one pass moved: bytes over the connection, changes as rsync itemizes them."""

    bytes: int
    changes: tuple[str, ...]
    duration_s: float


class VolumeSync:
    """The passes over one app's PV towards one ME host."""

    def __init__(self, config: HostConfig, app: str, peer: str) -> None:
        self.config = config
        self.source = config.pv_root / check_name(app)
        self.peer = peer
        self._connection = Connection(config, config.ssh.rsync_key, peer)

    def run(self, *, by_content: bool = False, dry_run: bool = False) -> VolumePass:
        """One pass.

        Args:
            by_content: read every file on both sides, instead of believing its size and time.
            dry_run: move nothing, and tell what would be moved.

        Raises:
            RelocationError: the PV is not there, or rsync failed; names the reason that it gave.
        """
        if not self.source.is_dir() or self.source.is_symlink():
            raise RelocationError(
                f"There is no volume {self.source} on {self.config.name}.", "Deploy the app first."
            )
        self._connection.open()
        began = time.monotonic()
        options = ["--checksum"] if by_content else []
        options += ["--dry-run"] if dry_run else []
        moved, changes = 0, list[str]()
        for _number in range(_TRIES):
            done = self._rsync(options)
            size_bytes, itemized = parse_output(done.stdout)
            moved += size_bytes
            changes += itemized
            if done.returncode != _PARTIAL:
                break
        if done.returncode not in (0, _VANISHED):
            raise RelocationError(
                f"rsync of {self.source} to {self.peer} ended with {done.returncode}: "
                f"{first_line(done.stderr)}."
            )
        return VolumePass(moved, tuple(changes), duration_s=time.monotonic() - began)

    def _rsync(self, options: list[str]) -> subprocess.CompletedProcess[str]:
        paths = [f"{self.source}/", f"{self._connection.destination}:{self.source.name}/"]
        return subprocess.run(
            ["rsync", *_OPTIONS, *options, *paths],
            env={**os.environ, "LC_ALL": "C", "RSYNC_RSH": shlex.join(self._connection.command())},
            capture_output=True,
            text=True,
            errors="surrogateescape",
            check=False,
            # A pass whose own process was killed must not go on with nobody's leave.
            preexec_fn=functools.partial(_end_with, os.getpid()),
        )


_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1  # prctl(2)


def _end_with(parent: int) -> None:
    """Have this process killed when the one that has forked it ends."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def parse_output(output: str) -> tuple[int, tuple[str, ...]]:
    """Bytes moved and itemized changes, from what ``--out-format`` and ``--stats`` print."""
    body, _, stats = output.partition("\nNumber of files:")
    if not stats:
        body, stats = "", output
    moved = sum(
        int(number) for number in re.findall(r"^Total bytes (?:sent|received): (\d+)$", stats, re.M)
    )
    # A dot in front says: nothing but attributes, or nothing at all.
    return moved, tuple(line for line in body.splitlines() if re.match(r"[<>ch*.]\S{8,10} ", line))
