# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Programs of this project that run elsewhere for as long as a block lasts."""

from __future__ import annotations

import contextlib
import io
import json
import shlex
import subprocess
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.mec.relocation.plugins import module_utils

from .site import CommandError, run

PROGRAMS = Path(__file__).parent / "programs"
# In memory, and programs may be run from it.
FOLDER = "/tmp/mec-bench"  # noqa: S108, of hosts that nobody else uses


def install(ssh: Sequence[str], source: Path, name: str) -> str:
    """Copy a file to the folder of benchmarks on a host; returns its path there."""
    path = f"{FOLDER}/{name}"
    command = shlex.join(["install", "-D", "-m", "0755", "/dev/stdin", path])
    run([*ssh, command], source.read_text(encoding="utf-8"))
    return path


def install_library(ssh: Sequence[str]) -> None:
    """Copy the relocation library of this tree to a host, where `programs` find it.

    What is installed on ME hosts is only what an agent needs, and nothing is on a UE.
    """
    archive = io.BytesIO()
    package = Path(module_utils.__path__[0])
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for source in package.rglob("*.py"):
            name = source.relative_to(package)
            tar.add(source, f"{module_utils.__name__.replace('.', '/')}/{name}")
    command = f"mkdir -p {FOLDER} && tar --extract --no-same-owner --directory={FOLDER}"
    subprocess.run([*ssh, command], input=archive.getvalue(), check=True)


@contextlib.contextmanager
def running(
    ssh: Sequence[str], *command: str, given: str = "", found: dict[str, Any] | None = None
) -> Iterator[None]:
    """Run a command on a host from when it prints "ready" until the block ends; then SIGTERM.

    Args:
        given: for its standard input.
        found: is filled with the JSON object that it prints at its end, if it prints one.

    Raises:
        CommandError: it ended before it was ready.
    """
    with subprocess.Popen(
        [*ssh, f"echo $$; exec {shlex.join(command)}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as program:
        if program.stdin is None or program.stdout is None:
            raise AssertionError
        pid = program.stdout.readline().strip()
        program.stdin.write(given)
        program.stdin.flush()
        if program.stdout.readline().strip() != "ready":
            raise CommandError(f"{shlex.join(command)} did not become ready")
        try:
            yield
        finally:
            subprocess.run([*ssh, f"kill -TERM {int(pid)}"], capture_output=True, check=False)
            said = program.stdout.readline()
            if found is not None:
                found.update(json.loads(said or "{}"))
