# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A viewer on the UE who writes, and looks whether what was acknowledged stays."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from mec_ue.testbed import Ue

from . import PROJECT
from .remote import install, running

PROGRAM = PROJECT / "benchmarks" / "position_writer.py"


@contextlib.contextmanager
def writing(ue: Ue, host: str, video: str, found: dict[str, Any]) -> Iterator[None]:
    """A viewer on the UE writes while the block runs; `found` is what he saw."""
    program = install(ue.ssh, PROGRAM, PROGRAM.name)
    password = ue.secret("videoapp_password") + "\n"
    command = ("python3", program, host, "--video", video)
    with running(ue.ssh, *command, given=password, found=found):
        yield
