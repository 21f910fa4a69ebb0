# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every fault of a host is a shell command that ends by itself, and picks whom it says."""

from __future__ import annotations

import subprocess

import pytest
from mec_chaos.faults import Ground, command, healing, nth
from mec_chaos.schedule import KINDS, Fault, Moment

GROUND = Ground("eth1", "/srv/mec/pv", "/var/lib/mec-relocation", "/var/lib/docker")
# What the harness does by itself.
OTHER = {"power", "repeated", "contrary", "controller-killed"}


def parses(text: str) -> bool:
    return subprocess.run(["sh", "-n"], input=text, text=True, check=False).returncode == 0


@pytest.mark.parametrize("kind", sorted(KINDS.keys() - OTHER))
def test_every_kind_is_a_command(kind: str) -> None:
    amounts = KINDS[kind].amounts or (0.0,)
    for amount in amounts:
        text = command(Fault(kind, "source", Moment(), 1.5, amount), GROUND)
        assert parses(text)
        assert ("sleep 1.5" in text) == (KINDS[kind].lasts_s[1] > 0)


def test_healing_is_a_command() -> None:
    assert parses(healing(GROUND))


@pytest.mark.parametrize(
    ("fraction", "picked"), [(0.0, "1"), (0.25, "2"), (0.5, "3"), (0.75, "4"), (1.0, "5")]
)
def test_one_process_of_many_is_picked(fraction: float, picked: str) -> None:
    script = f"seq 5 | {nth(fraction)}"
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [picked]


def test_of_no_process_none_is_picked() -> None:
    done = subprocess.run(["sh", "-c", f"true | {nth(0.5)}"], capture_output=True, check=True)
    assert done.stdout == b""
