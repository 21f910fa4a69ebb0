# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Leases: one handoff of an app at a time, and none that lasts for ever."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from ansible_collections.mec.relocation.plugins.module_utils.ground.errors import RelocationError
from ansible_collections.mec.relocation.plugins.module_utils.host import lease as lease_module
from ansible_collections.mec.relocation.plugins.module_utils.host.lease import (
    TTL_S,
    Lease,
    working,
)
from ansible_collections.mec.relocation.plugins.module_utils.host.lock import (
    RELOCATION,
    Busy,
    Lock,
)


@pytest.fixture
def lease(tmp_path: Path) -> Lease:
    folder = tmp_path / "apps" / "videoapp"
    folder.mkdir(parents=True)
    return Lease(folder, "videoapp")


def expire(lease: Lease) -> None:
    held = json.loads(lease.path.read_text())
    now = time.clock_gettime(time.CLOCK_BOOTTIME)
    lease.path.write_text(json.dumps({**held, "until": now - 0.001}))


def test_another_handoff_is_refused_and_told_by_whom(lease: Lease) -> None:
    lease.acquire("first")
    with pytest.raises(RelocationError, match=r"handoff first .* its lease ends in 1\d s"):
        lease.acquire("second")


def test_the_owner_may_extend(lease: Lease, monkeypatch: pytest.MonkeyPatch) -> None:
    lease.acquire("first")
    held = json.loads(lease.path.read_text())
    later = time.clock_gettime(time.CLOCK_BOOTTIME) + 10.0
    monkeypatch.setattr(lease_module, "_now", lambda: later)
    lease.acquire("first")
    extended = json.loads(lease.path.read_text())
    assert extended["since"] == pytest.approx(held["since"], abs=0.1)
    assert extended["until"] == later + TTL_S


def test_an_expired_lease_is_free(lease: Lease) -> None:
    lease.acquire("first")
    expire(lease)
    assert lease.current() is None
    lease.acquire("second")
    assert (lease.current() or {})["owner"] == "second"


def test_only_the_owner_releases(lease: Lease) -> None:
    lease.acquire("first")
    lease.release("second")
    assert lease.current() is not None
    lease.release("first")
    assert lease.current() is None


@pytest.mark.parametrize("step_s", [-3600.0, 20.0, 3600.0])
def test_a_clock_that_is_stepped_moves_nothing(
    lease: Lease, step_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease.acquire("first")
    real = time.time()
    monkeypatch.setattr(time, "time", lambda: real + step_s)
    monkeypatch.setattr(time, "time_ns", lambda: int((real + step_s) * 1e9))
    held = lease.current()
    assert held is not None and 0.0 < held["left_s"] <= TTL_S
    with pytest.raises(RelocationError, match="by handoff first"):
        lease.acquire("second")


def test_a_lease_ends_with_its_host(
    lease: Lease, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease.acquire("first")
    (tmp_path / "boot_id").write_text("another boot\n")
    monkeypatch.setattr(lease_module, "_BOOT_ID", tmp_path / "boot_id")
    assert lease.current() is None
    lease.acquire("second")
    assert (lease.current() or {})["owner"] == "second"


def test_a_lease_outlives_the_module_that_held_it(lease: Lease) -> None:
    with working(lease.path.parent, "videoapp", "first", RELOCATION):
        assert Lock(lease.path.parent, "videoapp").holder() is not None
    assert (lease.current() or {})["owner"] == "first"
    assert Lock(lease.path.parent, "videoapp").holder() is None


def test_a_failed_module_frees_the_app(lease: Lease) -> None:
    with (
        pytest.raises(KeyError),
        working(lease.path.parent, "videoapp", "first", RELOCATION),
    ):
        raise KeyError
    assert lease.current() is None


def test_two_runs_of_one_handoff_never_work_at_once(lease: Lease) -> None:
    # The lease of their common handoff would let both in.
    folder = lease.path.parent
    with working(folder, "videoapp", "h1", RELOCATION):
        with (
            pytest.raises(Busy, match="worked on by h1"),
            working(folder, "videoapp", "h1", RELOCATION),
        ):
            pass
        # Who was refused has taken nothing away.
        assert (lease.current() or {})["owner"] == "h1"


def test_a_module_whose_lease_has_run_out_works_on_alone(lease: Lease) -> None:
    # However long it takes: nothing has to extend the lease while the lock is held.
    folder = lease.path.parent
    with working(folder, "videoapp", "h1", RELOCATION):
        expire(lease)
        with pytest.raises(Busy), working(folder, "videoapp", "h2", RELOCATION):
            pass


@pytest.mark.parametrize("content", ['{"owner": "fi', "", "[]", "{}", '{"boot": 1}', "null"])
def test_a_lease_file_that_is_none_counts_as_none(lease: Lease, content: str) -> None:
    lease.acquire("first")
    lease.path.write_text(content)
    assert lease.current() is None
