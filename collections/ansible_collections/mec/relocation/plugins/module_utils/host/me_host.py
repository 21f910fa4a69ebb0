# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An ME host and the steps that it can take in a relocation.

The same steps (`wire.steps`) are taken on this host (``local.LocalHost``) and on another one over a
warm channel (``wire.channel.Channel``), so the cutover reads the same for both.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import IO, Any

from ..ground import priority
from ..ground.app import App, check_name
from ..ground.config import HostConfig
from ..ground.errors import RelocationError
from ..image import sync as image_sync
from ..image.registry import ImageReference, Registry
from ..image.store import ImageStore
from ..platform.choose import load
from ..platform.health import Health
from ..platform.instance import Instance, Platform
from ..volume.apply import apply
from ..volume.compare import compare
from ..volume.mounts import is_mounted_below
from ..volume.room import tree_bytes
from ..volume.stream import Reader
from ..volume.syncfs import sync_file_systems
from ..wire import steps
from ..wire.steps import handles, handles_stream
from . import state
from .gateway import Gateway
from .lease import Lease

_STANDBY_S = 60.0
# The clock by which files are stamped (clock_gettime(2)); the module time has no name for it.
_CLOCK_REALTIME_COARSE = 5


class MeHost:
    """The steps. Arguments and results are what JSON can hold."""

    def __init__(self, config: HostConfig, platform: Platform | None = None) -> None:
        self.config = config
        self._platform = platform
        self._prepared: dict[str, tuple[App, Instance]] = {}
        self._writing: dict[str, list[Future[None]]] = {}
        self._activated_ns: dict[str, int] = {}
        self._activated: dict[str, str] = {}
        self.gateway = Gateway(
            config.gateway_socket, config.state_dir / "gateway" / "locations.map"
        )

    @property
    def platform(self) -> Platform:
        """The platform, loaded at its first use: gateway steps do without it."""
        if self._platform is None:
            self._platform = load(self.config)
        return self._platform

    @functools.cached_property
    def _writers(self) -> ThreadPoolExecutor:
        """Threads that make durable what came, side by side."""
        return ThreadPoolExecutor(4)

    def load(self) -> None:
        """Load the platform ahead of its first use; what fails here fails there again."""
        with contextlib.suppress(RelocationError):
            self.platform  # noqa: B018

    # -- about the host ---------------------------------------------------------------------

    @handles(steps.Hello)
    def hello(self) -> steps.Greeting:
        """Who answers, and which version of the library, with its table of steps."""
        return {"name": self.config.name, "version": steps.LIBRARY}

    @handles(steps.Lease)
    def lease(self, app: str, owner: str) -> None:
        """Take or extend the lease of the app for a handoff."""
        self._lease(app).acquire(owner)

    @handles(steps.Unlease)
    def unlease(self, app: str, owner: str) -> None:
        """Give the lease up."""
        self._lease(app).release(owner)

    @handles(steps.Space)
    def space(self, app: str) -> steps.Room:
        """Free bytes below the PV root, and the bytes that the app's PV has here already."""
        self.config.pv_root.mkdir(parents=True, exist_ok=True)
        return {
            "free_bytes": shutil.disk_usage(self.config.pv_root).free,
            "present_bytes": tree_bytes(str(self.config.pv_root / app)),
        }

    @handles_stream(steps.Apply)
    def apply(self, stream: Reader, app: str) -> steps.Crossed:
        """Make the app's PV here like the source's, as far as the stream says.

        It is made durable meanwhile; `durable` and `activate` wait for that.

        Raises:
            RelocationError: the app serves here, or the stream cannot be applied.
        """
        if self._state(app).instance().get("state") == "serving":
            raise RelocationError(f"App {app!r} serves on {self.config.name} already.")
        applied = apply(self.config.pv_root / check_name(app), stream)
        self._write(app, applied.sync)
        return {"files": applied.files, "bytes": applied.bytes}

    @handles(steps.Sync)
    def sync(self, app: str) -> None:
        """Begin to write all to the disk that came for the app, by whichever way.

        Passes of rsync, images and the engine's containers are in the page cache until then. What
        comes later is not waited for.
        """
        volume = self.config.pv_root / check_name(app)
        if is_mounted_below(volume):
            # Nothing in a volume is opened by its path.
            self._write(app, os.sync)
            return
        folders = [self.config.pv_root, volume, self.config.state_dir, *self.platform.storage()]
        self._write(app, functools.partial(sync_file_systems, folders))

    @handles(steps.Durable)
    def durable(self, app: str) -> None:
        """Wait for all that was begun to be written for the app.

        Raises:
            RelocationError: the disk does not take it.
        """
        self._wait_until_durable(app)

    @handles_stream(steps.Verify)
    def verify(self, stream: Reader, app: str, handoff: str) -> steps.Compared:
        """Compare the PV of an app that was activated here with the source's; see `volume.compare`.

        Raises:
            RelocationError: it was not, another handoff is at work on it, or nothing can be read.
        """
        if app not in self._activated_ns:
            raise RelocationError(f"App {app!r} was not activated on this channel.")
        with self._lease(app).held(handoff):
            found = compare(self.config.pv_root / app, stream, self._activated_ns[app])
        return {
            "files": found.files,
            "bytes": found.bytes,
            "changed_since": found.changed_since,
            "differing": found.differing,
            "differences": found.differences,
        }

    @handles(steps.Record)
    def record(self, record: Mapping[str, Any]) -> None:
        """Keep a relocation record."""
        state.append_record(self.config.state_dir, record)

    # -- the instance -----------------------------------------------------------------------

    @handles(steps.Prepare)
    def prepare(
        self,
        declaration: Mapping[str, Any],
        image_id: str,
        handoff: str,
        base_image_id: str | None = None,
    ) -> steps.Prepared:
        """Have an instance ready for the cutover: standby ones run, others are created.

        Args:
            declaration: the app.
            image_id: what to create the instance from.
            handoff: on whose behalf.
            base_image_id: the app's image, where `image_id` is one with a container layer on top.
                Its instance is not run: what it finds there may let it serve by itself.

        Raises:
            RelocationError: the image is not here, the app serves here already, or its new instance
                serves though nobody here has activated it.
        """
        app = App.from_dict(declaration)
        base = base_image_id or image_id
        kept = self._state(app.name)
        if kept.instance().get("state") == "serving":
            raise RelocationError(f"App {app.name!r} serves on {self.config.name} already.")
        if self.platform.image_id(image_id) is None:
            raise RelocationError(
                f"Image {app.image} ({image_id[:19]}) is not on {self.config.name}.",
                "Run image_sync first.",
            )
        standby = _waits(app, image_id, base)
        changed = not self.is_prepared(declaration, image_id, base)
        if changed:
            kept.declare(app)
            self.platform.remove(app.name)
            self.platform.create(app, image_id, base, first=False)
            if standby:
                self.platform.start(app.name)
        instance = self._instance(app.name)
        kept.note("prepared", handoff=handoff, name=instance.name, time=time.time())
        if standby:
            self._health(app, instance).wait_until_ready(time.monotonic() + _STANDBY_S)
        if changed and standby and self._serves_unasked(app, instance):
            raise RelocationError(
                f"{instance.name} on {self.config.name} serves, though it was not activated: GET "
                f"{app.health} was answered with 200.",
                "Somebody else activated it, or its health path does not tell whether it serves.",
            )
        self._prepared[app.name] = app, instance
        return {"name": instance.name, "address": instance.address, "changed": changed}

    @handles(steps.IsPrepared)
    def is_prepared(
        self, declaration: Mapping[str, Any], image_id: str, base_image_id: str | None = None
    ) -> bool:
        """Whether `prepare` has nothing left to do."""
        app = App.from_dict(declaration)
        base = base_image_id or image_id
        kept = self._state(app.name)
        note, instance = kept.instance(), self.platform.find(app.name)
        return (
            kept.declares(app)
            and instance is not None
            and note.get("state") == "prepared"
            and note.get("name") == instance.name
            and (instance.image_id, instance.base_image_id) == (image_id, base)
            and instance.running == _waits(app, image_id, base)
            # Who serves already may have changed what the relocation brings.
            and not self._serves_unasked(app, instance)
        )

    @handles(steps.Pull)
    def pull(self, image: str) -> steps.Pulled:
        """Have an image of the repository here: ``image_id`` and the ``bytes`` that came."""
        repository = self.config.repository
        sync = image_sync.ImageSync(
            ImageReference.parse(image),
            image_sync.FromRegistry(Registry.of(repository)),
            ImageStore(),
            repository.name,
        )
        image_id, moved = sync.carry_out(sync.plan())
        return {"image_id": image_id, "bytes": moved.size_bytes}

    @handles(steps.Discard)
    def discard(self, app: str, image: str | None) -> None:
        """Remove the app's prepared instance, and an image that came for it alone."""
        self.remove(app)
        if image is not None:
            name = image_sync.local_name(ImageReference.parse(image), self.config.repository.name)
            ImageStore().remove(name)

    @handles(steps.ImageDescribe)
    def image_describe(self, image: str) -> steps.Described:
        """What an image of the repository is in this host's engine."""
        return image_sync.describe(
            ImageStore(), ImageReference.parse(image), self.config.repository.name
        )

    @handles(steps.ImageExportSize)
    def image_export_size(self, image_id: str, have_layers: Sequence[str]) -> int:
        """How many bytes `image_export` would write."""
        return image_sync.export_size(ImageStore(), image_id, have_layers)

    @handles_stream(steps.ImageExport)
    def image_export(self, out: IO[bytes], image_id: str, have_layers: Sequence[str]) -> None:
        """Write an image without the layers that the asker has."""
        image_sync.export_missing(ImageStore(), image_id, have_layers, out)

    @handles(steps.Activate)
    def activate(self, app: str, timeout_s: float) -> steps.Place:
        """Make the prepared instance serve; it does when this returns.

        Raises:
            RelocationError: it did not say so within ``timeout_s``.
        """
        self._activated_ns[app] = time.clock_gettime_ns(_CLOCK_REALTIME_COARSE)
        deadline = time.monotonic() + timeout_s
        if app not in self._prepared:
            self._prepared[app] = self._state(app).declaration(), self._instance(app)
        declared, instance = self._prepared.pop(app)
        if not instance.running:
            self.platform.start(app)
            instance = self._instance(app)
            if declared.start == "standby":
                self._health(declared, instance).wait_until_ready(deadline)
        self._ask_to_serve(declared, instance, deadline)
        self._wait_until_durable(app)
        self._activated[app] = instance.name
        return describe(instance)

    @handles(steps.Settle)
    def settle(self, app: str, handoff: str) -> None:
        """Note that the app serves here, and let the platform restart it from now on."""
        kept = self._state(app)
        # Known without asking the platform, which may be what has failed.
        name = self._activated.get(app) or kept.instance().get("name") or self._instance(app).name
        with kept.changing():
            kept.note("serving", handoff=handoff, name=name, time=time.time())
            self.platform.set_restarts(app, True)

    @handles(steps.Fence)
    def fence(self, app: str, handoff: str, target: str) -> None:
        """Before the cutover: note that this host must not serve again by itself, and see to it."""
        kept = self._state(app)
        name = kept.instance().get("name") or self._instance(app).name
        with kept.changing():
            kept.note("relocating", handoff=handoff, name=name, target=target)
            self.platform.set_restarts(app, False)

    def keep_serving(self, app: str, timeout_s: float) -> bool:
        """Let an app that serves here by its note go on; tells whether it had to be activated.

        Raises:
            RelocationError: the platform does not answer, or the app did not serve within
                ``timeout_s``.
        """
        kept = self._state(app)
        with kept.changing():
            if kept.instance().get("state") != "serving":
                return False
            self.platform.set_restarts(app, True)
        declared, instance = kept.declaration(), self.platform.find(app)
        waits = declared.start == "standby" and instance is not None and instance.running
        if instance is None or not waits or self.serves(declared, instance):
            return False
        deadline = time.monotonic() + timeout_s
        self._health(declared, instance).wait_until_ready(deadline)
        self._ask_to_serve(declared, instance, deadline)
        return True

    def healthy(self, app: str) -> bool:
        """Whether the instance answers its health path with 200."""
        instance = self.platform.find(app)
        return instance is not None and self.serves(self._state(app).declaration(), instance)

    def serves(self, app: App, instance: Instance) -> bool:
        """Like ``healthy``, for an instance that has been looked up."""
        return instance.running and self._health(app, instance).serves()

    @handles(steps.Kill)
    def kill(self, app: str) -> str | None:
        """End the instance and remove it; the answer confirms that it is dead.

        Returns:
            What could not be removed of it, and why.
        """
        kept = self._state(app)
        with kept.changing():
            self.platform.kill(app)
            kept.forget_instance()
        try:
            self.platform.remove(app)
        except RelocationError as error:
            return str(error)
        return None

    def remove(self, app: str) -> None:
        """Like ``kill``.

        Raises:
            RelocationError: it is dead, but could not be removed.
        """
        left = self.kill(app)
        if left is not None:
            raise RelocationError(left)

    # -- the gateway ------------------------------------------------------------------------

    @handles(steps.CheckGateway)
    def check_gateway(self, app: str, me_hosts: Sequence[str]) -> None:
        """Raise unless this host's gateway can send the app's requests to each of ``me_hosts``."""
        for host in me_hosts:
            self.gateway.check(app, host)

    @handles(steps.Hold)
    def hold(self, app: str, max_s: float, host: str) -> int:
        """Let new requests of the app wait; those that the instance on ``host`` answers still."""
        priority.go_first()
        return self.gateway.hold(app, max_s, host)

    @handles(steps.InFlight)
    def in_flight(self, app: str, host: str) -> int:
        """Requests that the instance on ``host`` is answering through this host's gateway."""
        return self.gateway.in_flight(app, host)

    @handles(steps.Forward)
    def forward(self, app: str, host: str) -> None:
        """Send the app's requests to ``host``, those that wait first."""
        self.gateway.forward(app, host)
        priority.give_way()

    @handles(steps.Release)
    def release(self, app: str) -> None:
        """Let the waiting requests go on."""
        self.gateway.release(app)
        priority.give_way()

    @handles(steps.Persist)
    def persist(self) -> None:
        """Make the gateway's locations survive its restart."""
        self.gateway.persist()

    @handles(steps.OpenGateway)
    def open_gateway(self, app: str, host: str) -> bool:
        """Send the app's requests to ``host`` from now on, durably; tells if that is news."""
        changed = self.gateway.locations().get(app) != host
        if changed:
            self.gateway.check(app, host)
        self.gateway.forward(app, host)
        self.gateway.persist()
        return changed

    @handles(steps.CloseGateway)
    def close_gateway(self, app: str) -> bool:
        """Answer the app's requests with 503 from now on, durably; tells if that is news."""
        changed = app in self.gateway.locations()
        self.gateway.remove(app)
        self.gateway.persist()
        self.gateway.release(app)
        return changed

    # -- inside -----------------------------------------------------------------------------

    def _state(self, app: str) -> state.AppState:
        return state.AppState(self.config.state_dir, app)

    def _lease(self, app: str) -> Lease:
        return Lease(self._state(app).folder, app)

    def _instance(self, app: str) -> Instance:
        instance = self.platform.find(app)
        if instance is None:
            raise RelocationError(f"App {app!r} has no instance on {self.config.name}.")
        return instance

    def _write(self, app: str, write: Callable[[], None]) -> None:
        """Begin to make something durable; `_wait_until_durable` waits for it."""
        self._writing.setdefault(app, []).append(self._writers.submit(write))

    def _wait_until_durable(self, app: str) -> None:
        """What came for the app outlives a crash of this host when this returns."""
        try:
            for writing in self._writing.pop(app, []):
                writing.result()
        except OSError as error:
            raise RelocationError(
                f"What came for {app!r} cannot be kept on {self.config.name}: {error}."
            ) from error

    def _serves_unasked(self, app: App, instance: Instance) -> bool:
        """Whether an instance that waits to be activated serves all the same."""
        return app.activate is not None and self.serves(app, instance)

    def _ask_to_serve(self, app: App, instance: Instance, deadline: float) -> None:
        health, activate = self._health(app, instance), app.activate
        if activate is not None and activate.http is not None:
            if health.activate(activate.http, deadline):
                return
        elif activate is not None and activate.signal is not None:
            self.platform.signal(app.name, activate.signal)
        elif activate is not None and activate.exec is not None:
            self.platform.command(app.name, activate.exec)
        health.wait_until_serves(deadline)

    def _health(self, app: App, instance: Instance) -> Health:
        # At its published port, which is nobody else's: its address in the engine's network is
        # given to another container when it ends.
        return Health(
            app,
            self.config.address,
            f"{instance.name} on {self.config.name}",
            instance.activation_token,
        )


def _waits(app: App, image_id: str, base_image_id: str) -> bool:
    """Whether the prepared instance runs, and waits to be activated."""
    return app.start == "standby" and image_id == base_image_id


def describe(instance: Instance) -> steps.Place:
    """An instance as records have it."""
    return {"name": instance.name, "address": instance.address}
