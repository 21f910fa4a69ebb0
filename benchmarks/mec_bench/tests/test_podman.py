# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What podman.sh tells of its phases."""

from __future__ import annotations

import pytest
from mec_bench.podman import phases


def test_a_phase_lasts_from_the_end_of_the_one_before() -> None:
    said = "nothing 100.25\nahead 100.50\ncheckpoint 101.00\n"
    assert phases(said) == pytest.approx({"ahead": 0.25, "checkpoint": 0.5})
