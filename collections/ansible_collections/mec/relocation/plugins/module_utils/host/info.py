# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is where: the answer of one ME host about its apps."""

from __future__ import annotations

import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from ..ground.app import App
from ..ground.config import HostConfig
from ..ground.library import VERSION
from .lease import Lease
from .lock import Lock
from .me_host import MeHost
from .state import AppState, last_records


def survey(config: HostConfig) -> dict[str, Any]:
    """What this ME host knows: its apps, where its gateway sends their requests, its free space."""
    me_host = MeHost(config)
    records = last_records(config.state_dir)
    known = list(AppState.all(config.state_dir))
    # An app may take its time to answer: all are asked at once, and nobody waits for another.
    with ThreadPoolExecutor(max(len(known), 1)) as asking:
        begun = {kept.name: _app(me_host, kept, records.get(kept.name), asking) for kept in known}
    return {
        "host": config.name,
        "platform": config.platform,
        "version": VERSION,
        "free_bytes": shutil.disk_usage(config.pv_root).free,
        "gateway": me_host.gateway.locations(),
        "apps": {name: _answered(app) for name, app in begun.items()},
    }


def _answered(app: dict[str, Any]) -> dict[str, Any]:
    """Put the answer about its health into what is known of an app."""
    instance = app["instance"]
    if instance is None:
        return app
    healthy: Future[bool] = instance["healthy"]
    return {**app, "instance": {**instance, "healthy": healthy.result()}}


def _app(
    me_host: MeHost, kept: AppState, last: dict[str, Any] | None, asking: ThreadPoolExecutor
) -> dict[str, Any]:
    """What is known of an app; ``healthy`` is being asked."""
    # A host that has only been told who its owner is does not know what it is.
    declared = kept.declaration() if kept.is_declared else None
    note = kept.note_or_lost()
    instance = me_host.platform.find(kept.name)
    return {
        "declaration": declared.public() if declared else None,
        "state": str(note.state),
        "handoff": note.handoff or None,
        "epoch": note.known,
        "copy": note.copy,
        "peer": note.peer or None,
        "current": kept.current,
        "busy": holder.owner if (holder := Lock(kept.folder, kept.name).holder()) else None,
        "lease": Lease(kept.folder, kept.name).current(),
        "instance": None
        if instance is None or declared is None
        else {
            "name": instance.name,
            "address": instance.address,
            "image_id": instance.image_id,
            "base_image_id": instance.base_image_id,
            "running": instance.running,
            "healthy": asking.submit(me_host.serves, declared, instance),
        },
        "volume": _volume(me_host.config, declared) if declared else None,
        "last_relocation": last,
    }


def _volume(config: HostConfig, app: App) -> dict[str, Any] | None:
    path = config.pv_root / app.name
    return {"path": str(path)} if app.volume and path.is_dir() else None
