# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the harness asks of a relocation scheme, and what it tells about one relocation.

The harness fills the volume, runs the probe and the writers, moves the UE, counts bytes and takes
times for all schemes alike. A scheme does nothing but deploy its app, and relocate it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from .site import Place


class SchemeError(Exception):
    """A scheme could not do what it was asked for; the message shows what it printed."""


@dataclass(frozen=True)
class Moved:
    """One relocation, as the scheme itself saw it. None, or nothing: it cannot tell.

    Attributes:
        downtime_s: of each app, by the scheme's own definition.
        message_at_s: when the handoff message came, on this process's monotonic clock, where
            preparations were made before it.
        phases: what took how long, in seconds.
    """

    downtime_s: Sequence[float] = ()
    message_at_s: float | None = None
    phases: Mapping[str, float] = field(default_factory=dict)


class Scheme(Protocol):
    """A way to relocate an app between two places.

    Attributes:
        name: in files and on the command line: lower-case letters, digits, hyphens.
        title: in tables and plots.
        app: the app's DNS label. The UE asks ``https://<app>.<domain>``; both gateways have a
            backend ``<app>.<place>`` for each place, see ``gateways.Gateways.know``.
        places: the two places, in the order of the cells that they serve.
        volume: the folder of its volume, the same path on each place.
        moves_ue: whether `move` has the UE change its cell; else the harness does, first thing in
            the measured time.
    """

    name: str
    title: str
    app: str
    places: tuple[Place, Place]
    volume: str
    moves_ue: bool

    def prepare(self) -> None:
        """Once: have the app serve at the first place, gateways included.

        What an interrupted run has left is cleaned first. The harness fills the volume after it.
        """

    def where(self) -> Place:
        """The place that serves."""

    def inside(self, *command: str) -> list[str]:
        """A command for the serving place that runs `command` among the instance's processes."""

    def ready(self) -> None:
        """Before each relocation, unmeasured, while a viewer writes: have ready what may be."""

    def move(self) -> Moved:
        """One relocation to the other place, and only that; it serves there on return."""

    def clean(self) -> None:
        """Leave nothing behind, also when `prepare` was never called or broke off."""
