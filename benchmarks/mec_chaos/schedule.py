# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which faults a handoff meets, and when: all of it drawn from a seed."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any

# Of all runs, how many have two faults.
TWO_FAULTS = 1 / 3
# Of all moments, how many lie anywhere in a handoff; others are close to a step of it.
ANYWHERE = 1 / 3
# A handoff begins with questions, and ends with reports: what lies within counts as well.
_FRACTIONS = (0.0, 1.05)
# What a host notes of the app, and what its gateway goes by, change so often in a handoff.
CHANGES = {"source": (1, 2, 3, 4), "target": (1, 2, 3, 4, 5, 6)}
_SCENARIOS = {"proactive": 6, "announced": 2, "reactive": 2}


@dataclass(frozen=True)
class Kind:
    """What a kind of fault is drawn from.

    Attributes:
        weight: how often it is drawn, in proportion.
        places: where it can strike.
        lasts_s: how long, at least and at most.
        amounts: one is drawn for it; what it means is the fault's own.
        platforms: those that know it.
        needs: what the testbed has to have for it.
    """

    weight: int
    places: tuple[str, ...] = ("source", "target")
    lasts_s: tuple[float, float] = (0.0, 0.0)
    amounts: tuple[float, ...] = ()
    platforms: tuple[str, ...] = ("docker", "kubernetes")
    needs: str = ""


KINDS: dict[str, Kind] = {
    # The library: all of its processes on a host, or one of them.
    "library-killed": Kind(4),
    "process-killed": Kind(4, amounts=(0.0, 0.25, 0.5, 0.75, 1.0)),
    "library-stopped": Kind(3, lasts_s=(0.05, 20.0)),
    "process-stopped": Kind(2, lasts_s=(0.05, 20.0), amounts=(0.0, 0.25, 0.5, 0.75, 1.0)),
    "library-restarted": Kind(1),
    "rsync-killed": Kind(1),
    # The instance of the app.
    "app-killed": Kind(3),
    "app-stopped": Kind(2, lasts_s=(0.05, 20.0)),
    # The backbone of a host.
    "cut": Kind(4, lasts_s=(0.1, 20.0)),
    "cut-in": Kind(2, lasts_s=(0.1, 20.0)),
    "cut-out": Kind(2, lasts_s=(0.1, 20.0)),
    "slow": Kind(2, lasts_s=(1.0, 15.0), amounts=(0.5, 2.0, 10.0)),
    # What runs beside the library.
    "engine-killed": Kind(3),
    "engine-restarted": Kind(2),
    "containerd-killed": Kind(2),
    "kubelet-killed": Kind(3, platforms=("kubernetes",)),
    "gateway-killed": Kind(3),
    "gateway-reloaded": Kind(3),
    "gateway-restarted": Kind(1),
    # The host.
    "power": Kind(4, lasts_s=(0.0, 5.0)),
    "volume-full": Kind(2, lasts_s=(0.5, 15.0), needs="disks"),
    "state-full": Kind(2, lasts_s=(0.5, 15.0), needs="disks"),
    "engine-full": Kind(1, lasts_s=(0.5, 15.0), needs="disks"),
    "clock": Kind(3, lasts_s=(1.0, 20.0), amounts=(-86400, -30, -10, 10, 30, 86400), needs="clock"),
    # The controller.
    "repeated": Kind(3, places=("controller",)),
    "contrary": Kind(2, places=("controller",)),
    "controller-killed": Kind(3, places=("controller",)),
}


@dataclass(frozen=True)
class Moment:
    """When a fault strikes.

    Attributes:
        host: source or target, where a note or a gateway has to change first; empty: none has to.
        change: how many changes there have to be; 0: none.
        fraction: of the handoff's usual length, since it began (where no change is waited for).
        after_s: since the change.
    """

    host: str = ""
    change: int = 0
    fraction: float = 0.0
    after_s: float = 0.0

    def __str__(self) -> str:
        if self.change:
            return f"{self.after_s * 1000:.0f} ms after change {self.change} on the {self.host}"
        return f"at {self.fraction:.0%} of the handoff"


@dataclass(frozen=True)
class Fault:
    """One fault. `place` is source, target or controller."""

    kind: str
    place: str
    moment: Moment
    lasts_s: float = 0.0
    amount: float = 0.0

    def __str__(self) -> str:
        lasts = f" for {self.lasts_s:.2f} s" if self.lasts_s else ""
        return f"{self.kind} on the {self.place} {self.moment}{lasts}"


@dataclass(frozen=True)
class Schedule:
    """What one run does."""

    seed: int
    scenario: str
    faults: tuple[Fault, ...]

    def as_json(self) -> dict[str, Any]:
        """The schedule as it is kept."""
        return asdict(self)

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Schedule:
        """A schedule that was kept, whatever its seed draws by now."""
        faults = (
            Fault(**{**fault, "moment": Moment(**fault["moment"])}) for fault in kept["faults"]
        )
        return cls(kept["seed"], kept["scenario"], tuple(faults))


def seed_of(commit: str, number: int) -> int:
    """The seed of an official run, for everybody who has the commit."""
    return int.from_bytes(hashlib.sha256(f"{commit} {number}".encode()).digest()[:4], "big")


def draw(seed: int, platform: str, has: Collection[str], kinds: Collection[str] = ()) -> Schedule:
    """The schedule of a seed.

    Args:
        platform: docker or kubernetes.
        has: what the testbed has that some kinds need.
        kinds: draw from these alone; none: from all.
    """
    chance = random.Random(seed)  # noqa: S311
    known = {
        name: kind
        for name, kind in KINDS.items()
        if platform in kind.platforms
        and (not kind.needs or kind.needs in has)
        and (not kinds or name in kinds)
    }
    scenario = chance.choices(list(_SCENARIOS), list(_SCENARIOS.values()))[0]
    count = 2 if chance.random() < TWO_FAULTS else 1
    return Schedule(seed, scenario, tuple(_fault(chance, known) for _ in range(count)))


def _fault(chance: random.Random, known: dict[str, Kind]) -> Fault:
    name = chance.choices(list(known), [kind.weight for kind in known.values()])[0]
    kind = known[name]
    place = chance.choice(kind.places)
    moment = _moment(chance)
    least_s, most_s = kind.lasts_s
    # As many short ones as long ones: a blink finds other things than a long night.
    lasts_s = (
        least_s * (most_s / least_s) ** chance.random() if least_s else chance.uniform(0, most_s)
    )
    amount = chance.choice(kind.amounts) if kind.amounts else 0.0
    return Fault(name, place, moment, round(lasts_s, 3), amount)


def _moment(chance: random.Random) -> Moment:
    if chance.random() < ANYWHERE:
        return Moment(fraction=round(chance.uniform(*_FRACTIONS), 4))
    host = chance.choice(("source", "target"))
    most_s = chance.choice((0.0, 0.02, 0.1, 0.5))
    return Moment(host, chance.choice(CHANGES[host]), after_s=round(chance.uniform(0, most_s), 4))
