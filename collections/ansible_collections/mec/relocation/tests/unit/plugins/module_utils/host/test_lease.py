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
from ansible_collections.mec.relocation.plugins.module_utils.host.lease import Lease


@pytest.fixture
def lease(tmp_path: Path) -> Lease:
    return Lease(tmp_path / "apps" / "videoapp", "videoapp")


def expire(lease: Lease) -> None:
    held = json.loads(lease.path.read_text())
    lease.path.write_text(json.dumps({**held, "until": time.time() - 1}))


def test_another_handoff_is_refused_and_told_by_whom(lease: Lease) -> None:
    lease.acquire("first")
    with pytest.raises(RelocationError, match=r"handoff first .* its lease ends in 1\d s"):
        lease.acquire("second")


def test_the_owner_may_extend(lease: Lease) -> None:
    lease.acquire("first")
    since = (lease.current() or {})["since"]
    lease.acquire("first")
    assert (lease.current() or {})["since"] == since


def test_an_expired_lease_is_free(lease: Lease) -> None:
    lease.acquire("first")
    expire(lease)
    assert lease.current() is None
    lease.acquire("second")


def test_only_the_owner_releases(lease: Lease) -> None:
    lease.acquire("first")
    lease.release("second")
    assert lease.current() is not None
    lease.release("first")
    assert lease.current() is None


def test_a_lease_outlives_the_module_that_held_it(lease: Lease) -> None:
    with lease.held("first"):
        pass
    assert (lease.current() or {})["owner"] == "first"


def test_a_failed_module_frees_the_app(lease: Lease) -> None:
    with pytest.raises(KeyError), lease.held("first"):
        raise KeyError
    assert lease.current() is None


def test_a_cut_off_lease_file_counts_as_none(lease: Lease) -> None:
    lease.acquire("first")
    lease.path.write_text('{"owner": "fi')
    assert lease.current() is None
