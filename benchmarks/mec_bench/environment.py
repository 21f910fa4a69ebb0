# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""bench.json: what the figures depend on."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

from . import PROJECT
from .site import Site, run

_PACKAGES = ("docker.io", "haproxy", "openssh-server", "rsync")


def environment(site: Site) -> dict[str, Any]:
    """The machine, the project and the versions of what takes part."""
    described = run(["git", "describe", "--always", "--dirty", "--tags"], cwd=PROJECT).strip()
    shown = site.workers[0].run(
        "dpkg-query", "--show", "--showformat", "${Package} ${Version}\n", *_PACKAGES
    )
    packages = dict(line.split(maxsplit=1) for line in shown.splitlines())
    models = [line for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    memory_kb = next(int(line.split()[1]) for line in _lines("/proc/meminfo") if "MemTotal" in line)
    return {
        "project": described,
        "machine": {
            "kernel": platform.release(),
            "cpu": models[0].partition(":")[2].strip() if models else None,
            "cores": os.cpu_count(),
            "memory_bytes": memory_kb * 1024,
        },
        "versions": {
            "python": platform.python_version(),
            "ansible-core": version("ansible-core"),
            **packages,
        },
    }


def _lines(path: str) -> list[str]:
    return Path(path).read_text(encoding="utf-8").splitlines()
