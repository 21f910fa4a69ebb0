# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a relocation gives way to on its hosts, and when it does not.

While an app serves, what is done for its relocation must not slow it down: it gives way. While
requests wait for the cutover, all else can wait: it goes first (setpriority(2)). What comes from
elsewhere gives way from its first instruction on: tasks of playbooks and agents (the role
`library`), and the far end of rsync (the role `me_host`).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

_BEHIND, _ORDINARY, _FIRST = 10, 0, -15


def give_way() -> None:
    """Let this process, and what it starts from now on, go after others."""
    _set(_BEHIND)


def go_first() -> None:
    """Let this process go before others, as far as it may."""
    _set(_FIRST)


@contextlib.contextmanager
def ordinary() -> Iterator[None]:
    """For what is started now and has to be quick later: a cutover's connections, a probe."""
    _set(_ORDINARY)
    try:
        yield
    finally:
        give_way()


def _set(nice: int) -> None:
    # A thread has a priority of its own. One that ends meanwhile needs none.
    for thread in os.listdir("/proc/self/task"):
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, int(thread), nice)
