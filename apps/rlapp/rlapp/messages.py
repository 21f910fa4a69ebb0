"""What UEs and networks tell RLapp."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from mec_ue.geo import Position

# ETSI GS MEC 012, HoStatus.
HoStatus = Literal["IN_PREPARATION", "IN_EXECUTION", "COMPLETED", "REJECTED", "CANCELLED"]


@dataclass(frozen=True)
class Location:
    """Where a UE is, the signal (RSRP) of each cell it hears, and its cell (None: out of reach)."""

    ue: str
    time_s: float
    lat: float
    lon: float
    cell: str | None = None
    access_point: str | None = None
    speed_mps: float | None = None
    heading_deg: float | None = None
    signal_dbm: Mapping[str, float] = field(default_factory=dict)

    @property
    def position(self) -> Position:
        """Raises ValueError where that is not on the earth."""
        return Position(self.lat, self.lon)


@dataclass(frozen=True)
class HandoffMessage:
    """This UE goes to that cell. Without a status: prepare and complete in one go.

    expected_in_s: when the handoff will be executed, from now on; None where that is not known.
    """

    ue: str
    target_cell: str
    ho_status: HoStatus | None = None
    source_cell: str | None = None
    expected_in_s: float | None = None


@dataclass(frozen=True)
class Relocation:
    """One app's part in a handoff, as the plan has it, or as it ended."""

    app: str
    ue: str
    source: str
    target: str
    source_instance: Mapping[str, str] | None = None
    target_instance: Mapping[str, str] | None = None


class Predictor(Protocol):
    """Tells from a UE's locations which handoffs are to be expected."""

    def observe(self, location: Location) -> list[HandoffMessage]:
        """What follows from one more location."""

    def expect(self, ue: str, cell: str) -> None:
        """A UE is about to be moved to a cell, whoever asked for it."""

    def learn(self, duration_s: float) -> None:
        """A preparation took so long."""

    def summary(self) -> dict[str, Any]:
        """How well it predicts."""


class Listener(Protocol):
    """Who wants to know what happens. Called within the transaction that keeps it."""

    def located(self, before: Location | None, after: Location) -> None:
        """A UE has told where it is, or has changed its cell."""

    def announced(self, message: HandoffMessage, source_cell: str | None) -> None:
        """A handoff message was accepted."""

    def relocating(self, relocation: Relocation) -> None:
        """An app is being relocated."""

    def relocated(self, relocation: Relocation, completed: bool) -> None:
        """A relocation has ended, and how is known."""

    def instances_changed(self, app: str) -> None:
        """An app has other instances than before."""

    def access_point_changed(self, name: str, status: str) -> None:
        """An access point can be used, or cannot any more."""
