# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Deployment of an app on one ME host: serving, stopped or absent."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

from .app import App, check_name
from .channel import Channel
from .config import HostConfig
from .errors import RelocationError
from .me_host import Host, LocalHost, MeHost, together
from .state import AppState

_ACTIVATE_S = 60.0
_HANDOFF = "deployment"


def deploy(
    config: HostConfig,
    declaration: Mapping[str, Any],
    state: str,
    *,
    image_id: str,
    resume: bool,
    purge: bool,
    check: bool,
) -> list[str]:
    """Bring an app on this host into a state; tells what changed, or would with ``check``.

    Raises:
        RelocationError: the declaration is wrong, or the state would make a second writer.
    """
    me_host = MeHost(config)
    if state != "serving":
        name = check_name(declaration.get("name"))
        local = Deployment(me_host, [], check=check)
        return local.stop(name) if state == "stopped" else local.remove(name, purge=purge)
    app = App.from_dict(declaration)
    with contextlib.ExitStack() as stack:
        peers = [stack.enter_context(Channel(config, name)) for name in config.peers]
        return Deployment(me_host, peers, check=check).serve(app, image_id, resume=resume)


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

    def serve(self, app: App, image_id: str, *, resume: bool = False) -> list[str]:
        """Make this host's instance serve the app, and the only one to which requests go.

        Args:
            app: the declaration.
            image_id: the image that the instance has to run.
            resume: also where a relocation left the app fenced; the caller vouches that no other
                host serves it.

        Raises:
            RelocationError: another host serves the app, or a relocation left it unsettled.
        """
        kept = AppState(self.me_host.config.state_dir, app.name)
        note = kept.instance()
        if not resume:
            self._refuse_second_writer(app.name, str(note.get("state", "absent")))
        changes = self._instance_changes(app, image_id, kept)
        if self.check:
            return changes
        kept.declare(app)
        platform = self.me_host.platform
        if "instance" in changes or "image" in changes or "declaration" in changes:
            platform.remove(app.name)
            platform.create(app, image_id)
        elif note.get("state") == "relocating":
            platform.thaw(app.name)
        if changes or note.get("state") != "serving":
            self.me_host.activate(app.name, _ACTIVATE_S)
            self.me_host.settle(app.name, str(note.get("handoff", _HANDOFF)))
        here = self.me_host.config.name
        if any(together(self.gateways, "open_gateway", app=app.name, host=here)):
            changes.append("gateway")
        return changes

    def stop(self, name: str) -> list[str]:
        """End the instance, confirmed; its PV stays."""
        platform = self.me_host.platform
        if platform.find(name) is None:
            return []
        if not self.check:
            self.me_host.kill(name)
        return ["instance"]

    def remove(self, name: str, *, purge: bool) -> list[str]:
        """End the instance and forget the app on this host; its PV goes only with ``purge``."""
        changes = self.stop(name)
        kept = AppState(self.me_host.config.state_dir, name)
        volume = self.me_host.config.pv_root / name
        if kept.folder.exists():
            changes.append("declaration")
        if name in self.me_host.gateway.locations():
            changes.append("gateway")
        if purge and volume.exists():
            changes.append("volume")
        if not self.check:
            self.me_host.close_gateway(name)
            kept.forget()
            if purge:
                shutil.rmtree(volume, ignore_errors=True)
        return changes

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
        if instance.image_id != image_id:
            changes.append("image")
        if not kept.declares(app):
            changes.append("declaration")
        if not changes and not (instance.running and self.me_host.healthy(app.name)):
            changes.append("health")
        return changes
