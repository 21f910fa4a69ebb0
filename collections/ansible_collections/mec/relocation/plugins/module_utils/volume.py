# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Pre-copy 2: passes of rsync over a persistent volume, from this ME host to another.

The connection is opened once and kept, so that a later pass, the last one above all, finds it warm.
Times are compared to the nanosecond: a file that was rewritten with the same size within one second
is a changed file.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from .app import check_name
from .channel import ssh_command
from .config import HostConfig
from .errors import RelocationError

# How long an idle connection stays open for the next pass.
KEEP_S = 60
_RUN_DIR = Path("/run/mec-relocation")
# rsync(1), "EXIT VALUES": files vanished while the source went on serving; the next pass sees it.
_VANISHED = 24
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
        self._destination = f"{config.ssh.user}@{config.peer_address(peer)}"
        self._control = _RUN_DIR / f"rsync-{peer}"

    def open(self) -> None:
        """Open the connection, unless an earlier pass left it open."""
        _RUN_DIR.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._ssh("-O", "check").returncode == 0:
            return
        done = self._ssh("-f", "-N", "-o", "ControlMaster=auto", "-o", f"ControlPersist={KEEP_S}")
        if done.returncode != 0:
            raise RelocationError(
                f"No connection for rsync to {self.peer}: {_first_line(done.stderr)}.",
                f"Check that {self.peer} is up and reachable over the backbone.",
            )

    def run(self, *, dry_run: bool = False) -> VolumePass:
        """One pass; with ``dry_run``, what it would move.

        Raises:
            RelocationError: the PV is not there, or rsync failed; names the reason that it gave.
        """
        if not self.source.is_dir() or self.source.is_symlink():
            raise RelocationError(
                f"There is no volume {self.source} on {self.config.name}.", "Deploy the app first."
            )
        self.open()
        began = time.monotonic()
        done = subprocess.run(
            ["rsync", *_OPTIONS]
            + (["--dry-run"] if dry_run else [])
            + [f"{self.source}/", f"{self._destination}:{self.source.name}/"],
            env={**os.environ, "LC_ALL": "C", "RSYNC_RSH": shlex.join(self._command())},
            capture_output=True,
            text=True,
            errors="surrogateescape",
            check=False,
        )
        if done.returncode not in (0, _VANISHED):
            raise RelocationError(
                f"rsync of {self.source} to {self.peer} ended with {done.returncode}: "
                f"{_first_line(done.stderr)}."
            )
        return VolumePass(*parse_output(done.stdout), duration_s=time.monotonic() - began)

    def _ssh(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        # The connection that stays open must not hold on to our output: it goes to a file.
        log = self._control.with_suffix(".log")
        with open(log, "w+") as output:
            done = subprocess.run(
                [*self._command(), *arguments, self._destination],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                check=False,
            )
            output.seek(0)
            return subprocess.CompletedProcess(done.args, done.returncode, "", output.read())

    def _command(self) -> list[str]:
        return [
            *ssh_command(self.config, self.config.ssh.rsync_key),
            *("-o", f"ControlPath={self._control}"),
        ]


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


def _first_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[0].rstrip(".") if lines else "it gave no reason"
