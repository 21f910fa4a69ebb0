# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What crosses to the target in each scenario: ahead, while the source serves, and last, after it.

Section 3.1 of the paper. ``Proactive``: the base image is there, the volume is kept in step.
``Reactive``: nothing is there, so the container layer goes by way of the repository, too.
"""

from __future__ import annotations

import contextlib
from typing import Protocol

from ..ground.app import App
from ..ground.errors import RelocationError
from ..ground.record import Record
from ..image.commit import Committer
from ..volume.copy import Volume, wait_until_durable
from ..wire.host import Host
from ..wire.steps import Discard, Place, Prepare, Prepared, Pull, Sync

# A pull may have to bring the base image.
_PULL_S = 600.0
# What a delta, and what a container layer may take that was expected to be small.
_DELTA_S, _LAYER_S = 8.0, 60.0


class Transfer(Protocol):
    """How the app's state gets to the target.

    Attributes:
        patience_s: how long `last` may take beyond what requests wait for, before the target is
            taken for one that hangs.
    """

    @property
    def patience_s(self) -> float:
        """See above."""

    def ahead(self, record: Record) -> Place | None:
        """Bring what can be brought while the source serves; the target's instance, if made."""

    def last(self, record: Record) -> Place | None:
        """Bring the rest, while nobody serves; the target's instance, if it is another one now."""

    def give_up(self) -> None:
        """Remove from the target what only this relocation has brought there."""


class Proactive:
    """The image is there. The volume goes in passes.

    Args:
        app: the app as it is declared on the source.
        image_id: its image; the target has to have it.
        handoff: on whose behalf.
        target: the target.
        volume: its PV; None for an app without one.
    """

    def __init__(
        self, app: App, image_id: str, handoff: str, target: Host, volume: Volume | None
    ) -> None:
        self._app = app.name
        self._prepare = Prepare(app.to_dict(), image_id, handoff)
        self._target = target
        self._volume = volume

    @property
    def patience_s(self) -> float:
        return _DELTA_S

    def ahead(self, record: Record) -> Place | None:
        with record.phase("prepare"):
            prepared = self._target.begin(self._prepare).result()
        if self._volume is not None:
            self._volume.ahead(record)
        else:
            # The image may have come just before.
            with record.phase("sync"):
                self._target.begin(Sync(self._app)).result()
                wait_until_durable(self._target, self._app)
        return _instance(prepared)

    def last(self, record: Record) -> Place | None:
        if self._volume is not None:
            self._volume.last(record)
        return None

    def give_up(self) -> None:
        """Nothing: the next try finds it prepared."""


class Reactive:
    """Nothing is there. The container layer is committed, pushed and pulled; the volume follows.

    Args:
        app: the app as it is declared on the source.
        base_image_id: its image, without the container layer.
        handoff: on whose behalf.
        target: the target.
        volume: its PV; None for an app without one.
        committer: commits the source's instance.
        first_commit: commit, push and pull a first time while the source serves, so that only what
            has changed since is left for the hold. Without it, all of it is done in the hold, one
            after another, as the paper does.
    """

    def __init__(
        self,
        app: App,
        base_image_id: str,
        handoff: str,
        target: Host,
        volume: Volume | None,
        committer: Committer,
        first_commit: bool,
    ) -> None:
        self._app = app
        self._base_image_id = base_image_id
        self._handoff = handoff
        self._target = target
        self._volume = volume
        self._committer = committer
        self._first_commit = first_commit
        self._pulled: str | None = None
        self._made_of = ""

    @property
    def patience_s(self) -> float:
        return _LAYER_S if self._first_commit else _PULL_S

    def ahead(self, record: Record) -> Place | None:
        if not self._first_commit:
            return None
        self._bring_image(record)
        if self._volume is not None:
            self._volume.ahead(record)
        # The passes took their time: what was written meanwhile need not wait for the hold.
        made = self._bring_image(record)
        with record.phase("sync"):
            wait_until_durable(self._target, self._app.name)
        return made

    def last(self, record: Record) -> Place | None:
        made = self._bring_image(record)
        if self._volume is not None:
            self._volume.last(record)
        return made

    def give_up(self) -> None:
        # A target that has gone has nothing that could be removed now.
        with contextlib.suppress(RelocationError):
            self._target.begin(Discard(self._app.name, self._pulled)).result()

    def _bring_image(self, record: Record) -> Place | None:
        """Have an instance of the source's present container layer at the target."""
        with record.phase("commit"):
            commit = self._committer.commit()
        if not commit.changed and commit.image_id == self._made_of:
            return None
        with record.phase("push") as phase:
            commit, phase.bytes = self._committer.push(commit)
        self._pulled = commit.image
        with record.phase("pull") as phase:
            pulled = self._target.begin(Pull(commit.image)).result(_PULL_S)
            phase.bytes = pulled["bytes"]
        with record.phase("create"):
            made = self._target.begin(
                Prepare(self._app.to_dict(), pulled["image_id"], self._handoff, self._base_image_id)
            ).result()
        # The engine leaves what it unpacks in the page cache.
        self._target.begin(Sync(self._app.name)).result()
        self._made_of = commit.image_id
        return _instance(made)


def _instance(prepared: Prepared) -> Place:
    return {"name": prepared["name"], "address": prepared["address"]}
