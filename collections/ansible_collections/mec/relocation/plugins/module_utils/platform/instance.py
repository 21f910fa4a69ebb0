# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the library asks of a platform: instances of apps on one ME host.

A platform is one file that provides these methods; nothing else in the library knows whether an
instance is a container of an engine or a pod of a cluster.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from ..ground.app import ACTIVATION_VARIABLE, App

_TOKEN_BYTES = 32
# How much of a log is said of an instance that has ended.
LOG_LINES = 5


@dataclass(frozen=True)
class Instance:
    """An instance of an app on this host.

    Attributes:
        name: what the platform calls it.
        container: the id of its container; empty where it has none yet.
        address: where it is reached from ME hosts; empty as long as it does not run.
        image_id: what it was created from.
        base_image_id: the app's image. Another one than `image_id` after a re-active relocation,
            whose image has the container layer of the source on top.
        activation_token: what it knows from its environment, and whoever activates it has to say.
            Kept by the platform with the instance itself; empty for one that has none.
    """

    name: str
    container: str
    address: str
    image_id: str
    base_image_id: str
    running: bool
    activation_token: str = field(default="", repr=False)


def new_activation_token() -> dict[str, str]:
    """Return the environment that tells one instance its activation token."""
    return {ACTIVATION_VARIABLE: secrets.token_urlsafe(_TOKEN_BYTES)}


class Platform(Protocol):
    """The instances of apps on this host; at most one instance of an app."""

    def find(self, app: str) -> Instance | None:
        """The app's instance, if there is one."""

    def image_id(self, image: str) -> str | None:
        """The id (config digest) of an image that is present here: by name or by id."""

    def create(self, app: App, image_id: str, base_image_id: str, *, first: bool) -> Instance:
        """Create an instance that does not run yet and that nothing restarts.

        With `first`, an empty PV gets what the image has at its place; a PV that is to be a copy of
        another one does not.
        """

    def layer_folders(self, app: str) -> list[str] | None:
        """The folders of what the instance changed and of its image's layers, the topmost first.

        None where the platform does not keep them in folders that can be read.
        """

    def storage(self) -> list[Path]:
        """The folders below which images lie, and what instances change outside of volumes."""

    def start(self, app: str) -> None:
        """Run the created instance."""

    def command(self, app: str, argv: tuple[str, ...]) -> None:
        """Run a command inside the instance; raises when it fails."""

    def signal(self, app: str, name: str) -> None:
        """Send a signal to the instance's first process."""

    def make_ready(self, app: str) -> None:
        """Look up now what `freeze` and `thaw` will need, so that they ask nobody."""

    def pids(self, app: str) -> list[int]:
        """The processes of the instance, as this host numbers them."""

    def freeze(self, app: str) -> None:
        """Stop every process of the instance where it stands."""

    def thaw(self, app: str) -> None:
        """Let a frozen instance go on."""

    def kill(self, app: str) -> None:
        """End the instance, frozen or not, without letting it do anything more; confirmed.

        Nothing writes to its PV when this returns, nor will anything that is started without being
        asked for here.
        """

    def set_restarts(self, app: str, restarts: bool) -> None:
        """Whether the platform may start the app here by itself, again or anew."""

    def post_mortem(self, app: str) -> str | None:
        """How the instance has ended, with the last lines of its log; None while it has not.

        Raises:
            RelocationError: the platform does not answer.
        """

    def changes(self) -> Iterator[str]:
        """The apps whose instances here change, as they do; ends by itself after a while.

        Raises:
            RelocationError: the platform does not answer.
        """

    def remove(self, app: str) -> None:
        """Remove the instance, killing it first, and an image that is its own; its PV stays."""


def last_words(exit_code: int, log: str) -> str:
    """Say how an instance has ended."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    said = f"; its log ends with: {' | '.join(lines)}" if lines else ", and its log is empty"
    return f"exit code {exit_code}{said}"
