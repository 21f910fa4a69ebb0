# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What each policy made of a trace of handoffs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .counts import bytes_of, outcomes, requests
from .figures import figures
from .folder import Folder
from .records import Event, Key, Preparation
from .series import TITLES, title_of

Json = dict[str, Any]


def policies(folder: Folder) -> Json | None:
    """Figures by policy; None where nothing was replayed."""
    if folder.replay is None:
        return None
    known = list(TITLES)
    names = sorted(
        {event.policy for event in folder.replay},
        key=lambda name: (known.index(name) if name in known else len(known), name),
    )
    named = {id_ for event in folder.replay for id_ in event.handoffs}
    strays = [made for made in folder.preparations if made.handoff not in named]
    return {
        "policies": [_policy(folder, name) for name in names],
        "unnamed_preparations": {"count": len(strays), "bytes": bytes_of(strays)},
    }


def _policy(folder: Folder, name: str) -> Json:
    events = [event for event in folder.replay or () if event.policy == name]
    ids = {id_ for event in events for id_ in event.handoffs}
    relocations = [found for found in folder.relocations if found.id in ids]
    completed = [found for found in relocations if found.completed]
    prepared = [made for made in folder.preparations if made.handoff in ids]
    downtimes_s = [found.downtime_s for found in completed if found.downtime_s is not None]
    seen = [found.client for found in relocations if found.client]
    moved = bytes_of(relocations)
    return {
        "name": name,
        "title": title_of(name),
        "events": len(events),
        "announced": sum(event.announced_s is not None for event in events),
        "came": sum(event.came for event in events),
        "came_without_completion": _without_completion(events, {f.id for f in completed}),
        "outcomes": outcomes(relocations),
        "downtime_sum_s": sum(downtimes_s),
        "downtime_s": figures(downtimes_s),
        "downtimes_s": downtimes_s,
        "longest_gap_s": max((client.longest_gap_s for client in seen), default=None),
        "requests": requests(relocations),
        "bytes": {
            "relocations": moved,
            "preparations": bytes_of(prepared),
            "total": moved + bytes_of(prepared),
        },
        "wasted": _wasted(events, prepared, {found.key for found in completed}),
        "late_s": figures([event.late_s for event in events]),
    }


def _wasted(events: Sequence[Event], prepared: Sequence[Preparation], done: set[Key]) -> Json:
    """Preparations that nobody needed.

    in_vain: handoffs that were announced and never came, with what was prepared for them.
    without_completion: all preparations that no completed relocation followed, in_vain included.
    """
    in_vain = [event for event in events if event.announced_s is not None and not event.came]
    ids = {id_ for event in in_vain for id_ in event.handoffs}
    for_them = [made for made in prepared if made.handoff in ids]
    unused = [made for made in prepared if made.key not in done]
    return {
        "in_vain": {
            "handoffs": len(in_vain),
            "preparations": len(for_them),
            "bytes": bytes_of(for_them),
        },
        "without_completion": {"preparations": len(unused), "bytes": bytes_of(unused)},
    }


def _without_completion(events: Sequence[Event], done: set[str]) -> int:
    return sum(event.came and done.isdisjoint(event.handoffs) for event in events)
