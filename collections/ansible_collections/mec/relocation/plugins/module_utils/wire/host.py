# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hosts that take steps: this one, or another over a channel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import IO, Generic, Protocol, TypeVar

from ..ground.errors import RelocationError
from .steps import Answer, Step

Answered = TypeVar("Answered", covariant=True)


class Reply(Protocol[Answered]):
    """The answer to a step that was begun."""

    def result(self, timeout_s: float = 120.0) -> Answered:
        """Wait for the answer, for at most ``timeout_s``; raises what the step raised."""


class Host(Protocol):
    """An ME host that takes steps: this one, or another over a channel."""

    name: str

    def begin(self, step: Step[Answer]) -> Reply[Answer]:
        """Begin a step; several hosts can be at it side by side."""


class Target(Host, Protocol):
    """Another ME host, which can be sent a stream of bytes, too."""

    def stream(self, step: Step[Answer], write: Callable[[IO[bytes]], None]) -> Reply[Answer]:
        """Begin a step, and send what ``write`` writes; the step knows where that ends."""

    def abandon(self) -> None:
        """Break the channel off, whoever waits for it; a forked copy of this process may, too."""


def begun(hosts: Sequence[Host], step: Step[Answer]) -> list[tuple[Host, Reply[Answer]]]:
    """Begin a step on several hosts side by side; each host's own failure is in its reply."""
    return [(host, _begin(host, step)) for host in hosts]


def together(hosts: Sequence[Host], step: Step[Answer], timeout_s: float = 120.0) -> list[Answer]:
    """Take a step on several hosts side by side; every answer is waited for before one raises."""
    results: list[Answer] = []
    first_error: RelocationError | None = None
    for _host, reply in begun(hosts, step):
        try:
            results.append(reply.result(timeout_s))
        except RelocationError as error:
            first_error = first_error or error
    if first_error is not None:
        raise first_error
    return results


def _begin(host: Host, step: Step[Answer]) -> Reply[Answer]:
    try:
        return host.begin(step)
    except RelocationError as error:
        return Failed(error)


class Failed(Generic[Answered]):
    """The reply of a step that could not be begun."""

    def __init__(self, error: RelocationError) -> None:
        self._error = error

    def result(self, timeout_s: float = 120.0) -> Answered:  # noqa: ARG002
        """Raise what was in the way."""
        raise self._error
