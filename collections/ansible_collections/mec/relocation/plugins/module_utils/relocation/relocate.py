# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A relocation from this host: opens what the cutover needs, runs it, keeps the record."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..ground import priority
from ..ground.app import App
from ..ground.config import HostConfig
from ..ground.errors import RelocationError
from ..ground.record import Record
from ..host.lease import Lease, working
from ..host.local import LocalHost
from ..host.lock import RELOCATION
from ..host.me_host import MeHost, describe
from ..host.owner import State
from ..host.state import AppState
from ..image.commit import Commit, committer
from ..platform.instance import Instance
from ..volume.compare import not_verified, verify
from ..volume.copy import Volume, VolumeCopy
from ..volume.room import require_room
from ..volume.rsync import VolumeSync
from ..wire import steps
from ..wire.channel import Channel
from ..wire.host import Host, Target
from ..wire.ssh import Connection
from .cutover import Bounds, Cutover
from .transfer import Proactive, Reactive, Transfer


@dataclass(frozen=True)
class Order:
    """What is to be relocated, where to, and on whose behalf."""

    app: str
    target: str
    handoff: str
    ue: str | None = None
    scenario: str = "proactive"
    first_commit: bool = True
    verify: bool = False
    at_s: float = 0.0
    earlier: Sequence[dict[str, Any]] = field(default_factory=list)
    bounds: Bounds = field(default_factory=Bounds)


def is_there(config: HostConfig, order: Order) -> bool:
    """Whether the app serves on the target already, as this host's gateway knows it."""
    if AppState(config.state_dir, order.app).note().state is State.SERVING:
        return config.name == order.target
    return MeHost(config).gateway.locations().get(order.app) == order.target


def prepare(config: HostConfig, order: Order, *, check: bool) -> bool:
    """Have the target's instance ready for a later cutover; tells whether it was not yet.

    Raises:
        RelocationError: the app does not serve here, or the target cannot take it.
    """
    me_host = MeHost(config)
    app, instance = _serving(me_host, order.app)
    declared, image_id = app.to_dict(), instance.base_image_id
    Connection(config, config.ssh.agent_key, order.target).open()
    with Channel(config, order.target) as target:
        if check:
            return not target.begin(steps.IsPrepared(declared, image_id)).result()
        folder = AppState(config.state_dir, order.app).folder
        with working(folder, order.app, order.handoff, RELOCATION):
            target.begin(steps.Lock(order.app, order.handoff)).result()
            ready = target.begin(steps.Prepare(declared, image_id, order.handoff)).result()
            target.begin(steps.Unlock(order.app, keep_lease=False)).result()
        Lease(folder, order.app).release(order.handoff)
        return ready["changed"]


def commit(
    config: HostConfig, name: str, handoff: str, *, plain: bool, check: bool
) -> tuple[Commit, int]:
    """Commit the app that serves here and push it; returns the commit, and the bytes sent.

    Raises:
        RelocationError: the app does not serve here, or the repository does not take the image.
    """
    me_host = MeHost(config)
    app, instance = _serving(me_host, name)
    folder = AppState(config.state_dir, name).folder
    commits = committer(config, app, instance, me_host.platform, folder, plain=plain)
    if check:
        return commits.estimate(), 0
    with working(folder, name, handoff, RELOCATION):
        return commits.push(commits.commit())


def relocate(config: HostConfig, order: Order) -> dict[str, Any]:
    """Relocate an app that serves here; returns the record, whatever the outcome.

    Raises:
        RelocationError: before anything was touched: the app, a host or a gateway is not as the
            relocation needs it.
    """
    me_host = MeHost(config)
    kept = AppState(config.state_dir, order.app)
    record = Record(
        order.at_s,
        order.earlier,
        id=order.handoff,
        app=order.app,
        ue=order.ue,
        platform=config.platform,
        scenario=order.scenario,
        source=config.name,
        target=order.target,
        source_instance=None,
        target_instance=None,
    )
    with contextlib.ExitStack() as stack:
        lock = stack.enter_context(working(kept.folder, order.app, order.handoff, RELOCATION))
        with record.phase("connect"):
            # The channels open while this host looks at its own side.
            with priority.ordinary():
                peers = {
                    name: stack.enter_context(contextlib.closing(Channel(config, name)))
                    for name in _peers(config, order)
                }
            app, instance = _serving(me_host, order.app)
            record.fields["source_instance"] = describe(instance)
            target = peers[order.target]
            target.greet()
            part = target.begin(steps.Lock(order.app, order.handoff)).result()
            gateways = [*_reached(peers, record), LocalHost(me_host)]
            if app.volume:
                require_room(config, order.app, target)
        volume = None
        if app.volume:
            passes = VolumeSync(config, order.app, order.target)
            pids = functools.partial(me_host.platform.pids, order.app)
            volume = stack.enter_context(
                VolumeCopy(passes, target, order.app, pids, order.bounds.hold_s)
            )
        Cutover(
            app=app,
            source=LocalHost(me_host),
            me_host=me_host,
            lock=lock,
            target=target,
            newest=part["newest"],
            gateways=gateways,
            transfer=_transfer(me_host, order, app, instance, target, volume),
            # What came over the shared connection may have been lost with it.
            reopen=lambda: Channel(config, order.target, shared=False),
            bounds=order.bounds,
            record=record,
        ).run()
        done = record.to_dict()
        if order.verify and volume is not None and record.outcome == "completed":
            done = _verified(me_host, target, done)
        done = _kept(me_host, target, done)
        with contextlib.suppress(RelocationError):
            target.begin(steps.Unlock(order.app, keep_lease=False)).result()
    Lease(kept.folder, order.app).release(order.handoff)
    return done


def _reached(peers: Mapping[str, Channel], record: Record) -> list[Host]:
    """The hosts that can be reached; a host that only has a gateway may be down."""
    reached: list[Host] = []
    for peer in peers.values():
        try:
            peer.greet()
        except RelocationError as error:
            record.warn(f"The gateway of {peer.name} is told later: {error}")
        else:
            reached.append(peer)
    return reached


def _kept(me_host: MeHost, target: Host, record: dict[str, Any]) -> dict[str, Any]:
    """Keep the record on both hosts. It is returned to whoever asked for the relocation anyway."""
    failures = []
    for host in (LocalHost(me_host), target):
        try:
            host.begin(steps.Record(record)).result()
        except RelocationError as error:
            failures.append(f"{host.name} does not keep this record: {error}")
    warnings = " ".join(filter(None, [record["warning"], *failures]))
    return {**record, "warning": warnings or None}


def _transfer(
    me_host: MeHost,
    order: Order,
    app: App,
    instance: Instance,
    target: Host,
    volume: Volume | None,
) -> Transfer:
    """What has to cross, and how, in the order's scenario."""
    config = me_host.config
    base = instance.base_image_id
    if order.scenario == "proactive":
        return Proactive(app, base, order.handoff, target, volume)
    folder, plain = AppState(config.state_dir, app.name).folder, not order.first_commit
    commits = committer(config, app, instance, me_host.platform, folder, plain=plain)
    return Reactive(app, base, order.handoff, target, volume, commits, order.first_commit)


def _verified(me_host: MeHost, target: Target, record: dict[str, Any]) -> dict[str, Any]:
    """The record of a completed relocation, with what a comparison of the two volumes says."""
    app, here = record["app"], me_host.config.name
    root = me_host.config.pv_root / app
    if me_host.platform.find(app) is None:
        found = verify(root, target, app)
    else:
        found = not_verified(f"Its instance on {here} has not ended.")
    told = [record["error"]]
    if found["error"] is not None:
        told.append(f"Relocated, but the volume was not verified: {found['error']}")
    elif not found["verified"]:
        told.append(
            f"Relocated, but the volume on {target.name} differs from the source's: "
            f"{'; '.join(found['differences'])} ({found['differing']} in all). "
            f"The source's is still there: {root} on {here}."
        )
    return {**record, "verification": found, "error": " ".join(filter(None, told)) or None}


def _serving(me_host: MeHost, name: str) -> tuple[App, Instance]:
    """The app and its instance, which serves on this host."""
    config = me_host.config
    kept = AppState(config.state_dir, name)
    app = kept.declaration()
    instance = me_host.platform.find(name)
    if kept.note().state is State.SERVING and not kept.current:
        raise RelocationError(
            f"{config.name} has begun again, and has not yet heard from the other ME hosts whether "
            f"{name!r} serves elsewhere.",
            "Bring them up, and run the command again.",
        )
    if kept.note().state is not State.SERVING or instance is None or not instance.running:
        raise RelocationError(
            f"App {name!r} has no serving instance on {config.name}.",
            "Ask app_info where it is, or deploy it again.",
        )
    return app, instance


def _peers(config: HostConfig, order: Order) -> list[str]:
    """The target first; then every other host with a gateway."""
    config.peer_address(order.target)
    return [order.target, *(name for name in config.peers if name != order.target)]
