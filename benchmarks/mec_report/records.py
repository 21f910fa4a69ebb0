# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the lines of a results folder mean."""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.mec.relocation.plugins.module_utils.probe.probe import Sample, longest_gap

from .lines import Line

OUTCOMES = ("completed", "aborted", "uncertain")
CRITICAL_PHASES = ("hold", "switch")
Key = tuple[str, str]
"""A handoff and an app: what one relocation is known by."""


@dataclass(frozen=True)
class Phase:
    """A phase of a relocation; its time counts from the handoff message."""

    name: str
    start_s: float
    duration_s: float
    bytes: int

    @property
    def end_s(self) -> float:
        return self.start_s + self.duration_s


@dataclass(frozen=True)
class Instance:
    """An instance of an ME app, as the paper's Table 4 lists it."""

    name: str
    address: str


@dataclass(frozen=True)
class Client:
    """What the UE's probe saw: its own samples, and what the record says of them."""

    duration_s: float
    recorded_gap_s: float
    samples: tuple[Sample, ...]

    @property
    def longest_gap_s(self) -> float:
        """The longest time without a successful answer, from the samples."""
        return longest_gap(self.samples, self.duration_s)

    @property
    def slowest_s(self) -> float | None:
        """The slowest successful request; None without one."""
        return max((s.duration_s for s in self.samples if s.succeeded), default=None)

    @property
    def sent(self) -> int:
        return sum(not sample.skipped for sample in self.samples)

    @property
    def failed(self) -> int:
        return sum(not (sample.skipped or sample.succeeded) for sample in self.samples)

    @property
    def answer_ends_s(self) -> list[float]:
        """When the successful answers were complete, in order."""
        return sorted(sample.end_s for sample in self.samples if sample.succeeded)


@dataclass(frozen=True)
class Relocation:
    """One relocation record.

    client: None where no probe ran or its samples are not there.
    verified: whether the volume was found the same on both sides; None where nobody looked.
    """

    id: str
    time: str
    app: str
    ue: str
    platform: str
    scenario: str
    source: str
    target: str
    source_instance: Instance | None
    target_instance: Instance | None
    outcome: str
    downtime_s: float | None
    total_s: float | None
    phases: tuple[Phase, ...]
    client: Client | None
    verified: bool | None
    fallback: str | None
    warning: str | None
    error: str | None

    @property
    def key(self) -> Key:
        return self.id, self.app

    @property
    def completed(self) -> bool:
        return self.outcome == "completed"

    @property
    def bytes(self) -> int:
        """What its own phases moved; a preparation before it has its own line."""
        return sum(phase.bytes for phase in self.phases)


@dataclass(frozen=True)
class Preparation:
    """Pre-copies made for a handoff that was only announced."""

    handoff: str
    app: str
    phases: tuple[Phase, ...]

    @property
    def key(self) -> Key:
        return self.handoff, self.app

    @property
    def bytes(self) -> int:
        return sum(phase.bytes for phase in self.phases)


@dataclass(frozen=True)
class Experiment:
    """One repetition of the experiment. None: the app has no viewer."""

    series: str
    repetition: int
    app: str
    handoff: str
    session_kept: bool | None
    watch_time_kept: bool | None
    longest_stall_s: float | None
    line: Line

    @property
    def key(self) -> Key:
        return self.handoff, self.app


@dataclass(frozen=True)
class Event:
    """What one policy did at one event of a trace."""

    policy: str
    announced_s: float | None
    came: bool
    late_s: float
    handoffs: tuple[str, ...]


def relocation(line: Line, samples: tuple[Sample, ...] | None) -> Relocation:
    """Read a relocation record; raises FolderError."""
    client = line.optional_part("client")
    verification = line.optional_part("verification") if line.has("verification") else None
    outcome = line.choice("outcome", OUTCOMES)
    downtime_s = line.optional_number("downtime_s")
    settled = line.flag("settled") if line.has("settled") else False
    if outcome == "completed" and downtime_s is None and not settled:
        line.fail("downtime_s", "a completed relocation has one")
    return Relocation(
        id=line.text("id"),
        time=line.text("time"),
        app=line.text("app"),
        ue=line.text("ue"),
        platform=line.text("platform") if line.has("platform") else "docker",
        scenario=line.text("scenario"),
        source=line.text("source"),
        target=line.text("target"),
        source_instance=_instance(line.optional_part("source_instance")),
        target_instance=_instance(line.optional_part("target_instance")),
        outcome=outcome,
        downtime_s=downtime_s,
        total_s=line.optional_number("total_s"),
        phases=_phases(line),
        client=_client(client, samples) if client and samples is not None else None,
        verified=verification.flag("verified") if verification else None,
        fallback=line.optional_text("fallback"),
        warning=line.optional_text("warning") if line.has("warning") else None,
        error=line.optional_text("error"),
    )


def preparation(line: Line) -> Preparation:
    """Read a line of preparations.jsonl; raises FolderError."""
    return Preparation(
        handoff=line.text("handoff"),
        app=line.text("app"),
        phases=_phases(line),
    )


def experiment(line: Line) -> Experiment:
    """Read a line of experiments.jsonl; raises FolderError."""
    watched = line.optional_part("watched")
    return Experiment(
        series=line.text("series"),
        repetition=line.count("repetition"),
        app=line.text("app"),
        handoff=line.text("handoff"),
        session_kept=line.optional_flag("session_kept"),
        watch_time_kept=line.optional_flag("watch_time_kept"),
        longest_stall_s=watched.number("longest_stall_s") if watched else None,
        line=line,
    )


def event(line: Line) -> Event:
    """Read a line of replay.jsonl; raises FolderError."""
    return Event(
        policy=line.text("policy"),
        announced_s=line.optional_number("announced_s"),
        came=line.choice("ho_status", ("completed", "cancelled")) == "completed",
        late_s=line.number("late_s"),
        handoffs=tuple(line.texts("handoffs")),
    )


def _instance(line: Line | None) -> Instance | None:
    return None if line is None else Instance(line.text("name"), line.text("address"))


def _phases(line: Line) -> tuple[Phase, ...]:
    return tuple(
        Phase(
            phase.text("name"),
            phase.number("start_s"),
            phase.number("duration_s"),
            phase.count("bytes"),
        )
        for phase in line.parts("phases")
    )


def _client(line: Line, samples: tuple[Sample, ...]) -> Client:
    return Client(line.number("duration_s"), line.number("longest_gap_s"), samples)
