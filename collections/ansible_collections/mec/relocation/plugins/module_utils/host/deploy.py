# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Deployment of an app on one ME host: serving, stopped or absent."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

from ..ground.app import App, check_name
from ..ground.config import HostConfig
from ..ground.errors import RelocationError
from ..wire.channel import Channel
from ..wire.host import Host, together
from ..wire.steps import CloseGateway, OpenGateway
from .lease import TTL_S, Lease
from .local import LocalHost
from .me_host import MeHost
from .state import AppState

_ACTIVATE_S = 60.0
_HANDOFF = "deployment"


def deploy(
    config: HostConfig,
    declaration: Mapping[str, Any],
    state: str,
    *,
    image_id: str | None,
    resume: bool,
    purge: bool,
    check: bool,
) -> list[str]:
    """Bring an app on this host into a state; tells what changed, or would with ``check``.

    Raises:
        RelocationError: the declaration is wrong, or the state would make a second writer.
    """
    me_host = MeHost(config)
    name = check_name(declaration.get("name"))
    with contextlib.ExitStack() as stack:
        peers: list[Host] = []
        if state in ("serving", "absent"):
            peers += [stack.enter_context(Channel(config, peer)) for peer in config.peers]
        deployment = Deployment(me_host, peers, check=check)
        if not check:
            lease = Lease(AppState(config.state_dir, name).folder, name)
            stack.callback(lease.release, _HANDOFF)
            # Whoever settles what an interrupted handoff left need not wait for its lease by hand.
            patience_s = TTL_S + 1 if resume or state == "stopped" else 0.0
            stack.enter_context(lease.held(_HANDOFF, patience_s))
        if state == "serving" and resume:
            return deployment.resume(name)
        if state == "serving":
            if image_id is None:
                raise RelocationError("image_id is missing.", "Pass what image_sync returned.")
            return deployment.serve(App.from_dict(declaration), image_id)
        if state == "stopped":
            return deployment.stop(name)
        if state == "discarded":
            return deployment.discard(name)
        return deployment.remove(name, purge=purge)


class Deployment:
    """Brings one app on this host into a state; every method tells what it changed, or would.

    Args:
        me_host: this host.
        peers: the other ME hosts; their gateways have to know where the app is.
        check: only tell what would change.
    """

    def __init__(self, me_host: MeHost, peers: Sequence[Host], *, check: bool) -> None:
        self.me_host = me_host
        self.gateways: list[Host] = [*peers, LocalHost(me_host)]
        self.check = check

    def serve(self, app: App, image_id: str) -> list[str]:
        """Make this host's instance serve the app, and the only one to which requests go.

        Raises:
            RelocationError: another host serves the app, or a relocation left it unsettled.
        """
        kept = AppState(self.me_host.config.state_dir, app.name)
        self._refuse_second_writer(app.name, str(kept.instance().get("state", "absent")))
        changes = self._instance_changes(app, image_id, kept)
        if self.check:
            return changes
        kept.declare(app)
        if changes and changes != ["health"]:
            self.me_host.platform.remove(app.name)
            self.me_host.platform.create(app, image_id, image_id, first=True)
        if changes or kept.instance().get("state") != "serving":
            self.me_host.activate(app.name, _ACTIVATE_S)
            self.me_host.settle(app.name, _HANDOFF)
        return changes + self._open_gateways(app.name)

    def resume(self, name: str) -> list[str]:
        """Let this host's instance serve after a relocation with an unknown outcome.

        The caller vouches that no other host serves the app.
        """
        kept = AppState(self.me_host.config.state_dir, name)
        kept.declaration()
        state = kept.instance().get("state")
        changes = [] if state == "serving" else ["instance"]
        if self.check:
            return changes
        if state == "relocating":
            self.me_host.platform.thaw(name)
        if not self.me_host.healthy(name):
            self.me_host.activate(name, _ACTIVATE_S)
        if state != "serving":
            self.me_host.settle(name, _HANDOFF)
        return changes + self._open_gateways(name)

    def stop(self, name: str) -> list[str]:
        """End the instance, confirmed; its PV stays."""
        platform = self.me_host.platform
        if platform.find(name) is None:
            return []
        if not self.check:
            self.me_host.remove(name)
        return ["instance"]

    def discard(self, name: str) -> list[str]:
        """Clean a preparation up; a host on which the app is more than prepared is left alone."""
        kept = AppState(self.me_host.config.state_dir, name)
        if kept.instance().get("state") != "prepared":
            return []
        if not self.check:
            self.me_host.remove(name)
            shutil.rmtree(self.me_host.config.pv_root / name, ignore_errors=True)
        return ["preparation"]

    def remove(self, name: str, *, purge: bool) -> list[str]:
        """End the instance and forget the app on this host; its PV goes only with ``purge``.

        Where it serves here, the gateways of all ME hosts forget it, too.
        """
        here = self.me_host.config.name
        serves_here = self.me_host.gateway.locations().get(name) == here
        changes = self.stop(name)
        kept = AppState(self.me_host.config.state_dir, name)
        volume = self.me_host.config.pv_root / name
        changes += ["declaration"] if kept.folder.exists() else []
        changes += ["gateway"] if serves_here else []
        changes += ["volume"] if purge and volume.exists() else []
        if not self.check:
            if serves_here:
                together(self.gateways, CloseGateway(name))
            kept.forget()
            if purge:
                shutil.rmtree(volume, ignore_errors=True)
        return changes

    def _open_gateways(self, app: str) -> list[str]:
        here = self.me_host.config.name
        return ["gateway"] if any(together(self.gateways, OpenGateway(app, here))) else []

    def _refuse_second_writer(self, app: str, state: str) -> None:
        here = self.me_host.config.name
        elsewhere = self.me_host.gateway.locations().get(app, here)
        if elsewhere != here:
            raise RelocationError(
                f"App {app!r} serves on {elsewhere}, so {here} must not start it.",
                "Relocate it with playbooks/handoff.yml.",
            )
        if state == "relocating":
            raise RelocationError(
                f"A relocation left app {app!r} fenced on {here}.",
                f"Settle it: ansible-playbook playbooks/settle.yml -e app={app} -e keep=<ME host>.",
            )

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
