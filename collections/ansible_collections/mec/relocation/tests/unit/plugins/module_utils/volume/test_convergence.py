# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Deltas go on as long as they become smaller, and what is expected of the next one comes."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from ansible_collections.mec.relocation.plugins.module_utils.volume.convergence import (
    Delta,
    another_pays,
    expected,
)
from hypothesis import given
from hypothesis import strategies as st

MB = 1e6


@dataclass
class Volume:
    """A volume that an app writes to at a constant rate.

    Attributes:
        written_bytes_s: how fast.
        takes_bytes_s: how fast that crosses.
        each_s: what a delta takes apart from that.
        always_bytes: what crosses each time: files that are open.
    """

    written_bytes_s: float
    takes_bytes_s: float = 100 * MB
    each_s: float = 0.002
    always_bytes: float = 0

    def delta(self, gathered_s: float) -> Delta:
        size_bytes = self.always_bytes + self.written_bytes_s * gathered_s
        return Delta(round(size_bytes), gathered_s, self.each_s + size_bytes / self.takes_bytes_s)

    def deltas(self, first_gathered_s: float) -> list[Delta]:
        """Deltas until another one does not pay."""
        deltas = [self.delta(first_gathered_s)]
        while another_pays(deltas):
            deltas.append(self.delta(deltas[-1].sent_s))
        return deltas


def test_an_idle_app_needs_one_delta() -> None:
    assert len(Volume(0).deltas(10.0)) == 1


def test_small_files_that_are_always_open_need_one_delta() -> None:
    assert len(Volume(1000, always_bytes=50_000).deltas(0.1)) == 1


def test_deltas_go_on_until_the_next_one_is_small() -> None:
    deltas = Volume(10 * MB).deltas(60.0)
    assert [round(delta.bytes / 1000) for delta in deltas] == [600_000, 60_020, 6_022, 622, 82]
    assert expected(deltas).bytes < 64 * 1024
    assert expected(deltas).sent_s < 0.01


@pytest.mark.parametrize("written_bytes_s", [100 * MB, 300 * MB])
def test_an_app_that_writes_too_fast_is_noticed_soon(written_bytes_s: float) -> None:
    deltas = Volume(written_bytes_s).deltas(0.5)
    assert len(deltas) == 3
    coming = expected(deltas)
    assert coming.written_bytes_s == pytest.approx(written_bytes_s, rel=0.01)
    assert coming.crossed_bytes_s == pytest.approx(100 * MB, rel=0.01)
    assert coming.sent_s > 0.4


def test_a_large_file_that_is_always_open_ends_it() -> None:
    deltas = Volume(0, always_bytes=50 * MB).deltas(10.0)
    assert len(deltas) == 3
    assert expected(deltas).sent_s == pytest.approx(0.502)


def test_a_busy_moment_is_not_taken_for_the_app() -> None:
    deltas = [Delta(1000, 0.1, 0.012), Delta(1000, 0.012, 0.9)]
    assert expected(deltas).sent_s == 0.9
    assert another_pays(deltas)
    deltas.append(Delta(2000, 0.9, 0.005))
    assert not another_pays(deltas)
    assert expected(deltas).sent_s < 0.001


def test_a_slow_way_is_not_tried_for_ever() -> None:
    deltas = Volume(85 * MB).deltas(60.0)
    assert expected(deltas).sent_s > 10
    assert sum(delta.sent_s for delta in deltas[1:-1]) < 60
    assert sum(delta.sent_s for delta in deltas[1:]) > 60


@given(
    volume=st.builds(
        Volume,
        written_bytes_s=st.floats(0, 500 * MB),
        takes_bytes_s=st.floats(1 * MB, 1000 * MB),
        each_s=st.floats(0.0001, 0.1),
        always_bytes=st.floats(0, 100 * MB),
    ),
    first_gathered_s=st.floats(0.001, 600),
)
def test_it_ends_small_or_as_small_as_it_gets_or_at_a_limit(
    volume: Volume, first_gathered_s: float
) -> None:
    deltas = volume.deltas(first_gathered_s)
    coming, sent_s = expected(deltas), [delta.sent_s for delta in deltas]
    assert coming.sent_s <= sent_s[-1]
    small = coming.bytes <= 64 * 1024 and coming.sent_s <= 0.01
    as_small_as_it_gets = len(deltas) > 2 and sent_s[-1] > 0.8 * sent_s[-3]
    limit = len(deltas) == 10 or 60 <= sum(sent_s[1:]) < 60 + sent_s[-1]
    assert small or as_small_as_it_gets or limit
    assert len(deltas) <= 10


@given(written_bytes_s=st.floats(1 * MB, 90 * MB), first_gathered_s=st.floats(0.1, 600))
def test_what_is_expected_comes(written_bytes_s: float, first_gathered_s: float) -> None:
    volume = Volume(written_bytes_s)
    first = volume.delta(first_gathered_s)
    second = volume.delta(first.sent_s)
    coming, third = expected([first, second]), volume.delta(second.sent_s)
    # Of one that gathers for longer than the one before it, no more is expected.
    assert coming.bytes == pytest.approx(min(second.bytes, third.bytes), abs=1)
