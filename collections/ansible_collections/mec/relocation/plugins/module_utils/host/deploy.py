# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Deployment of an app on one ME host: serving, stopped, discarded or absent."""

from __future__ import annotations

import contextlib
import functools
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

from ..ground.app import App, check_name
from ..ground.config import HostConfig
from ..ground.errors import RelocationError, damaged_note, settle_command
from ..wire import steps
from ..wire.channel import Channel
from ..wire.host import Host, begun
from . import owner
from .lease import Lease
from .local import LocalHost
from .lock import DEPLOYMENT, Lock
from .me_host import MeHost
from .owner import Answer, Do, Note, State
from .ownership import carry_out
from .state import AppState, settle_record

_ACTIVATE_S = 60.0
_GATEWAY_S = 10.0
# On whose behalf a deployment works; a person's decision waits for no lease.
_OWNER = "deployment"
_SETTLE_S = 20.0


def deploy(
    config: HostConfig,
    declaration: Mapping[str, Any],
    state: str,
    *,
    image_id: str | None,
    resume: bool,
    dead: Sequence[str],
    purge: bool,
    check: bool,
) -> tuple[list[str], list[str]]:
    """Bring an app on this host into a state.

    Args:
        config: this host.
        declaration: the app.
        state: `serving`, `stopped`, `discarded` or `absent`.
        image_id: what to serve it from.
        resume: a person has decided that this host's copy is the one to be kept.
        dead: the hosts that a person says are gone for good.
        purge: with `absent`, remove the volume, too.
        check: only tell what would change.

    Returns:
        What changed, or would; and warnings.

    Raises:
        RelocationError: the declaration is wrong, or the state would make a second writer.
    """
    name = check_name(declaration.get("name"))
    kept = AppState(config.state_dir, name)
    with contextlib.ExitStack() as stack:
        if not check:
            patience_s = _SETTLE_S if resume else 0.0
            stack.enter_context(Lock(kept.folder, name).held(_OWNER, DEPLOYMENT, patience_s))
            if not resume:
                # A person's decision outranks the lease of a handoff that was interrupted.
                lease = Lease(kept.folder, name)
                lease.acquire(_OWNER)
                stack.callback(lease.release, _OWNER)
        peers = _Peers(config, name, stack, outranks=resume, check=check)
        deployment = Deployment(MeHost(config), peers, dead, check=check)
        if state == "serving" and resume:
            changes = deployment.settle(name)
        elif state == "serving":
            if image_id is None:
                raise RelocationError("image_id is missing.", "Pass what image_sync returned.")
            changes = deployment.serve(App.from_dict(declaration), image_id)
        elif state == "stopped":
            changes = deployment.stop(name)
        elif state == "discarded":
            changes = deployment.discard(name)
        else:
            changes = deployment.remove(name, purge=purge)
        return changes, deployment.warnings


class _Peers:
    """The other ME hosts, as far as they can be reached; opened when they are needed."""

    def __init__(
        self,
        config: HostConfig,
        app: str,
        stack: contextlib.ExitStack,
        *,
        outranks: bool,
        check: bool,
    ) -> None:
        self._config = config
        self._outranks = outranks
        self._app = app
        self._stack = stack
        self._check = check
        self.silent: dict[str, RelocationError] = {}

    @functools.cached_property
    def reached(self) -> dict[str, Host]:
        """The hosts that answer, by name; why the others do not is in ``silent``."""
        channels = {name: Channel(self._config, name) for name in self._config.peers}
        reached: dict[str, Host] = {}
        for name, channel in channels.items():
            self._stack.callback(channel.close)
            try:
                channel.greet()
                reached[name] = channel
            except RelocationError as error:
                self.silent[name] = error
        return reached

    def parts(self) -> dict[str, steps.Part]:
        """Return the part of each host that answers; nobody else works on the app there then.

        Raises:
            RelocationError: another process works on it.
        """
        if self._check:
            return {
                name: peer.begin(steps.Parts([self._app])).result()[self._app]
                for name, peer in self.reached.items()
            }
        parts = {}
        for name, peer in self.reached.items():
            parts[name] = peer.begin(steps.Lock(self._app, _OWNER, self._outranks)).result()
            self._stack.callback(self._leave, peer)
        return parts

    def _leave(self, peer: Host) -> None:
        with contextlib.suppress(RelocationError):
            peer.begin(steps.Unlock(self._app, keep_lease=False)).result()


class Deployment:
    """Brings one app on this host into a state; every method tells what it changed, or would.

    Args:
        me_host: this host.
        peers: the other ME hosts.
        dead: those of them that a person says are gone for good.
        check: only tell what would change.
    """

    def __init__(
        self, me_host: MeHost, peers: _Peers, dead: Sequence[str] = (), *, check: bool
    ) -> None:
        self.me_host = me_host
        self.here = me_host.config.name
        self.peers = peers
        self.dead = dead
        self.check = check
        self.warnings: list[str] = []

    def serve(self, app: App, image_id: str) -> list[str]:
        """Make this host's instance serve the app, and the only one to which requests go.

        Raises:
            RelocationError: another host serves the app, or a relocation left it unsettled.
        """
        kept = self._state(app.name)
        note = kept.note()
        self._refuse_unsettled(app.name, note)
        changes = self._instance_changes(app, image_id, kept)
        if note.state is State.SERVING:
            if not self.check and changes:
                self._renew(app, image_id, changes)
                self.me_host.serve(app.name, _ACTIVATE_S)
            return changes + self._open_gateways(app.name)
        if not (self.check or kept.is_declared):
            # Kept before it can be refused: `settle` has to know what it is to serve.
            kept.declare(app)
        parts = self._parts(app.name)
        for peer, part in parts.items():
            self._refuse_second_writer(app.name, peer, part)
            if part["copy"] > note.copy:
                raise RelocationError(
                    f"App {app.name!r} serves nowhere, and {peer} has a newer volume than "
                    f"{self.here}.",
                    settle_command(app.name, peer),
                )
        if not self.check:
            self._renew(app, image_id, changes)
            self._own(app.name, parts)
        return [*changes, "owner"]

    def settle(self, name: str) -> list[str]:
        """Let this host's copy be the one that is kept, and its instance serve.

        Raises:
            RelocationError: another host does not confirm that it has ended the app, and nobody
                has said that it is gone; or it serves there.
        """
        kept = self._state(name)
        app, note = kept.declaration(), kept.note_or_lost()
        parts = self._parts(name)
        is_owner = note.state is State.SERVING and not note.rivals and kept.current
        if is_owner and all(part["state"] != State.LOST for part in parts.values()):
            changes = [] if self.me_host.healthy(name) else ["instance"]
            if changes and not self.check:
                self.me_host.keep_serving(name, _ACTIVATE_S)
            return changes + self._open_gateways(name)
        for peer, part in parts.items():
            if part["state"] == State.SERVING and self._serves(peer, name):
                raise RelocationError(
                    f"App {name!r} serves on {peer}: there is nothing to be settled.",
                    "Relocate it with playbooks/handoff.yml.",
                )
            if part["copy"] > note.copy:
                self.warnings.append(
                    f"The volume of {name!r} on {peer} is newer than the one on {self.here} that "
                    f"is kept (epoch {part['copy']}, not {note.copy}). It stays where it is."
                )
        if not self.check:
            if self.me_host.platform.find(name) is None:
                image_id = self.me_host.pull(app.image)["image_id"]
                first = note.copy == 0 and note.state is not State.LOST
                self.me_host.platform.create(app, image_id, image_id, first=first)
            self._own(name, parts)
            settle_record(self.me_host.config.state_dir, name, self.here)
        return ["owner"]

    def stop(self, name: str) -> list[str]:
        """End the instance, confirmed; its PV stays."""
        platform = self.me_host.platform
        if platform.find(name) is None:
            return []
        if not self.check:
            self._decide(name, owner.Stopped())
            platform.remove(name)
        return ["instance"]

    def discard(self, name: str) -> list[str]:
        """Clean a preparation up; a host on which the app is more than prepared is left alone."""
        if self._state(name).note().state is not State.PREPARED:
            return []
        if not self.check:
            self._decide(name, owner.Discarded())
            self.me_host.platform.remove(name)
            shutil.rmtree(self.me_host.config.pv_root / name, ignore_errors=True)
        return ["preparation"]

    def remove(self, name: str, *, purge: bool) -> list[str]:
        """End the instance and forget the app on this host; its PV goes only with ``purge``.

        Where it serves here, the gateways of all ME hosts forget it, too.
        """
        serves_here = self.me_host.gateway.locations().get(name) == self.here
        changes = self.stop(name)
        kept = self._state(name)
        volume = self.me_host.config.pv_root / name
        changes += ["declaration"] if kept.knows else []
        changes += ["gateway"] if serves_here else []
        changes += ["volume"] if purge and volume.exists() else []
        if not self.check:
            if serves_here:
                self._tell_gateways(steps.CloseGateway(name))
            if purge:
                shutil.rmtree(volume, ignore_errors=True)
            # Last, because it takes the lock's file away.
            kept.forget()
        return changes

    # -- who owns it ------------------------------------------------------------------------

    def _own(self, name: str, parts: Mapping[str, steps.Part]) -> None:
        """Make this host the owner; every other one has ended the app before it serves."""
        kept = self._state(name)
        note = kept.note_or_lost()
        newest = max([note.newest, *(part["newest"] for part in parts.values())])
        states = {note.state, *(part["state"] for part in parts.values())}
        epoch = newest + 1 + owner.room_for(dead=bool(self.dead), lost=State.LOST in states)
        self._decide(name, owner.Kept(epoch, _OWNER, tuple(parts)))
        self._decide(name, owner.Confirmed())
        kept.mark_current()
        for peer in parts:
            try:
                self.peers.reached[peer].begin(steps.Remove(name)).result()
            except RelocationError as error:
                self.warnings.append(f"{peer} keeps an instance that has ended: {error}")

    def _decide(self, name: str, event: owner.Event) -> None:
        kept = self._state(name)
        note = kept.note_or_lost() if isinstance(event, owner.Kept) else kept.note()
        decision = owner.decide(note, event)
        if decision.answer is Answer.REFUSED:
            raise RelocationError(f"{self.here} refuses: {decision.why}.")

        def sync(_note: Note) -> None:
            self.me_host.sync(name)
            self.me_host.wait_until_durable(name)

        def fence(note: Note) -> None:
            for rival in note.rivals:
                step = steps.Retire(name, note.taken, self.here)
                told = self.peers.reached[rival].begin(step).result()
                if told["answer"] != Answer.ACCEPTED:
                    raise RelocationError(f"{rival} does not end app {name!r}: {told['why']}.")

        carry_out(
            decision,
            {
                Do.SYNC: sync,
                Do.WRITE: kept.write,
                Do.FENCE: fence,
                Do.SERVE: lambda _note: self._begin_to_serve(name),
                Do.ROUTE: lambda _note: self._open_gateways(name),
                Do.END: lambda _note: self.me_host.end(name),
            },
        )

    def _begin_to_serve(self, name: str) -> None:
        self.me_host.platform.set_restarts(name, True)
        if (found := self.me_host.platform.find(name)) is not None and found.running:
            self.me_host.platform.thaw(name)
        self.me_host.serve(name, _ACTIVATE_S)

    def _parts(self, name: str) -> dict[str, steps.Part]:
        """The parts of all other hosts, but those that a person says are gone.

        Raises:
            RelocationError: one of them does not answer, or one that is said to be gone does.
        """
        parts = self.peers.parts()
        for peer in self.dead:
            if peer in parts:
                raise RelocationError(f"{peer} answers: it is not gone.", "Leave it out of `dead`.")
        for peer, error in self.peers.silent.items():
            if peer not in self.dead:
                raise RelocationError(
                    f"Whether app {name!r} serves on {peer} cannot be known: {error}",
                    f"Bring {peer} up. If it is gone for good: "
                    f"{settle_command(name, self.here, peer)}",
                )
        return parts

    def _serves(self, peer: str, name: str) -> bool:
        return self.peers.reached[peer].begin(steps.Serves(name)).result()

    def _refuse_unsettled(self, name: str, note: Note) -> None:
        if note.state in (State.RELOCATING, State.TAKING):
            raise RelocationError(
                f"A relocation of app {name!r} between {self.here} and {note.peer} was "
                f"interrupted. It ends by itself as soon as {note.peer} answers.",
                f"If {note.peer} is gone for good: {settle_command(name, self.here, note.peer)}",
            )
        if note.rivals:
            raise RelocationError(
                f"`settle` of app {name!r} was interrupted.", settle_command(name, self.here)
            )
        if note.state is State.SERVING and not self._state(name).current:
            raise RelocationError(
                f"{self.here} has begun again, and asks the other ME hosts whether {name!r} serves "
                "elsewhere. It serves by itself as soon as they answer.",
                f"If one is gone for good: {settle_command(name, self.here, '<ME host>')}",
            )

    def _refuse_second_writer(self, name: str, peer: str, part: steps.Part) -> None:
        if part["state"] == State.LOST:
            raise damaged_note(name, peer)
        if part["state"] in owner.MAY_WRITE:
            raise RelocationError(
                f"App {name!r} is {part['state']} on {peer}, so {self.here} must not start it.",
                "Relocate it with playbooks/handoff.yml.",
            )

    # -- the instance, the gateways ---------------------------------------------------------

    def _renew(self, app: App, image_id: str, changes: Sequence[str]) -> None:
        kept = self._state(app.name)
        kept.declare(app)
        if changes and list(changes) != ["health"]:
            self.me_host.platform.remove(app.name)
            self.me_host.platform.create(app, image_id, image_id, first=True)

    def _instance_changes(self, app: App, image_id: str, kept: AppState) -> list[str]:
        instance = self.me_host.platform.find(app.name)
        if instance is None:
            return ["instance"]
        changes = []
        if instance.base_image_id != image_id:
            changes.append("image")
        if not kept.declares(app):
            changes.append("declaration")
        if not changes and not (instance.running and self.me_host.healthy(app.name)):
            changes.append("health")
        return changes

    def _open_gateways(self, name: str) -> list[str]:
        if self.check:
            known = self.me_host.gateway.locations().get(name) == self.here
            return [] if known else ["gateway"]
        return ["gateway"] if any(self._tell_gateways(steps.OpenGateway(name, self.here))) else []

    def _tell_gateways(self, step: steps.Step[bool]) -> list[bool]:
        """Take a step on each gateway; who cannot be told is told by the owner's reconciler."""
        hosts = [LocalHost(self.me_host), *self.peers.reached.values()]
        told = []
        for host, reply in begun(hosts, step):
            try:
                told.append(reply.result(_GATEWAY_S))
            except RelocationError as error:
                if host.name == self.here:
                    raise
                self.warnings.append(f"The gateway of {host.name} is told later: {error}")
        self.warnings += [
            f"The gateway of {name} is told later: {error}"
            for name, error in self.peers.silent.items()
        ]
        return told

    def _state(self, name: str) -> AppState:
        return AppState(self.me_host.config.state_dir, name)
