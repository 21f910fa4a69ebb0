# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A wall clock for one service, which can be stepped: a file has the seconds to add.

All hosts of the testbed share the machine's clock, so none of them can step its own. Python imports
this before the service's program (site(3) of its documentation). Files are stamped by the machine's
clock still, and what runs monotonically does so.
"""

from __future__ import annotations

import datetime
import time
from pathlib import Path

_STEP = Path("/run/mec-chaos/clock")
_time, _time_ns, _clock_gettime = time.time, time.time_ns, time.clock_gettime


def _step_s() -> int:
    try:
        return int(_STEP.read_text())
    except (OSError, ValueError):
        return 0


def _stepped_clock(clock: int) -> float:
    return _clock_gettime(clock) + (_step_s() if clock == time.CLOCK_REALTIME else 0)


class _Datetime(datetime.datetime):
    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> _Datetime:
        return super().now(tz) + datetime.timedelta(seconds=_step_s())


time.time = lambda: _time() + _step_s()
time.time_ns = lambda: _time_ns() + _step_s() * 1_000_000_000
time.clock_gettime = _stepped_clock
datetime.datetime = _Datetime  # type: ignore[misc]
