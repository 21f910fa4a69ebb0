# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a run ended as it has to, from what was seen of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from . import history
from .beats import Overlap
from .history import Write

# What a note says while nobody knows yet how it ends.
_UNFINISHED = ("relocating", "taking")
# What a fault with this in its name may take from the page cache of a host.
_FORGETS = ("power",)


@dataclass(frozen=True)
class Seen:
    """What was seen of a run.

    Attributes:
        kinds: of the faults.
        source, target: the ME hosts of the handoff that was asked for.
        writes: in the order of their ends.
        journal: as the app has it, or as the ME host has it that has most of it.
        slots: as the app has them; None where nobody serves.
        complaints: of the app, about what it churns.
        overlaps: moments with two writers.
        beating: which instance beat on which ME host.
        faults_ended_s: when the last fault was over.
        until_s: when the writers stopped.
        records: of this run, the newest last.
        told: whether a fence was noted, so that a record has to tell how it ended.
        survey: `app_info` of the app on each ME host, when all was over.
        gateways: where the gateway of each ME host sends the app's requests.
    """

    kinds: Sequence[str]
    source: str
    target: str
    writes: Sequence[Write]
    journal: bytes
    slots: Mapping[str, Sequence[str]] | None
    complaints: Sequence[str]
    overlaps: Sequence[Overlap]
    beating: Mapping[str, str]
    faults_ended_s: float
    until_s: float
    records: Sequence[Mapping[str, Any]]
    told: bool
    survey: Mapping[str, Mapping[str, Any] | None]
    gateways: Mapping[str, str | None]


@dataclass
class Verdict:
    """What is wrong with a run, by kind, and what it measured."""

    wrong: dict[str, list[str]] = field(default_factory=dict)
    acknowledged: int = 0
    serves_on: str | None = None
    away_s: float | None = None
    outcome: str | None = None

    @property
    def failed(self) -> bool:
        """Whether anything is wrong."""
        return bool(self.wrong)

    def as_json(self) -> dict[str, Any]:
        """The verdict as it is kept."""
        shown = {kind: found[: history.SHOWN] for kind, found in self.wrong.items()}
        counts = {kind: len(found) for kind, found in self.wrong.items()}
        return {**asdict(self), "wrong": shown, "counts": counts}


def judge(seen: Seen, bound_s: float) -> Verdict:
    """Judge a run. `bound_s`: within which the app has to serve again."""
    verdict = Verdict(acknowledged=sum(write.acknowledged for write in seen.writes))
    verdict.away_s = history.away_s(seen.writes, seen.faults_ended_s, seen.until_s)
    if verdict.away_s is not None:
        verdict.serves_on = _serves_on(seen)
    wrong = history.complaints(seen.writes, seen.journal)
    if seen.slots is not None:
        wrong["stale"] = history.stale(seen.writes, seen.journal, seen.slots)
    if not any(word in kind for kind in seen.kinds for word in _FORGETS):
        wrong["churn"] = list(seen.complaints)
    wrong["two_writers"] = [
        f"{each.first} and {each.second} for {each.to_s - each.from_s:.3f} s"
        for each in seen.overlaps
    ]
    if verdict.away_s is None:
        wrong["down"] = ["it does not serve again"]
    elif verdict.away_s > bound_s:
        wrong["down"] = [f"it served again after {verdict.away_s:.1f} s only"]
    wrong["record"] = list(_untrue(seen, verdict))
    wrong["blind"] = list(_blind(seen))
    verdict.wrong = {kind: found for kind, found in wrong.items() if found}
    return verdict


def _serves_on(seen: Seen) -> str | None:
    """The ME host on which the instance beats that has acknowledged last."""
    last = max(
        (write for write in seen.writes if write.acknowledged), key=lambda write: write.ended_s
    )
    return seen.beating.get(last.instance or "")


def _untrue(seen: Seen, verdict: Verdict) -> list[str]:
    """What record, notes and gateways say that is not so."""
    found = []
    newest = seen.records[-1] if seen.records else None
    if newest is not None:
        verdict.outcome = str(newest["outcome"])
    if verdict.serves_on is None:
        # What nobody serves is wrong enough; that it is up is what no record may say.
        if newest is not None and newest["outcome"] != "uncertain":
            found.append(f"{newest['outcome']}, and nobody serves")
        return found
    # Where a clock was stepped, nobody knows which one is the newest.
    last = seen.records if "clock" in seen.kinds else seen.records[-1:]
    told = [ends_on(record) for record in last]
    if newest is None and seen.told:
        found.append("no record tells how it ended")
    elif newest is not None and verdict.serves_on not in told:
        found.append(
            f"{newest['outcome']}: {told[-1] or 'nowhere'}, and {verdict.serves_on} serves"
        )
    for host, app in seen.survey.items():
        state = "absent" if app is None else app["state"]
        if (state == "serving") != (host == verdict.serves_on) or state in _UNFINISHED:
            found.append(f"{host} notes {state}, and {verdict.serves_on} serves")
    for host, there in seen.gateways.items():
        if there != verdict.serves_on:
            found.append(f"the gateway of {host} sends to {there or 'nowhere'}")
    return found


def ends_on(record: Mapping[str, Any]) -> str | None:
    """The ME host that serves by a record; None where it does not know."""
    return {"completed": record["target"], "aborted": record["source"]}.get(record["outcome"])


def _blind(seen: Seen) -> list[str]:
    """What the instrument did not see, so that its silence means nothing."""
    acknowledged = {write.instance for write in seen.writes if write.acknowledged}
    missing = [f"no beat of {each} was heard" for each in acknowledged - set(seen.beating) if each]
    return missing if acknowledged else ["no write was acknowledged"]
