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
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import IO, Any

from ..ground import priority
from ..ground.app import App, check_name
from ..ground.config import HostConfig
from ..ground.errors import RelocationError
from ..image import sync as image_sync
from ..image.registry import ImageReference, Registry
from ..image.store import ImageStore
from ..platform import backlog
from ..platform.choose import load
from ..platform.health import Health
from ..platform.instance import Instance, Platform
from ..volume.apply import NotApplied, apply
from ..volume.compare import compare
from ..volume.mounts import is_mounted_below
from ..volume.room import tree_bytes
from ..volume.stream import Reader
from ..volume.syncfs import sync_file_systems
from ..wire import steps
from ..wire.steps import handles, handles_stream
from . import state
from .gateway import Gateway
from .owner import MAY_WRITE, State
from .ownership import Ownership

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
        self.ownership = Ownership(config, self)
        self.gateway = Gateway(
            config.gateway_socket, config.state_dir / "gateway" / "locations.map"
        )

    @functools.cached_property
    def handlers(self) -> steps.Handlers:
        """What takes each step on this host."""
        return steps.handlers(self, self.ownership)

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
            RelocationError: the app serves here, or the stream is damaged.
        """
        self.ownership.works_on(app)
        if (state := self._state(app).note().state) in (State.SERVING, State.RELOCATING):
            raise RelocationError(f"App {app!r} is {state} on {self.config.name}.")
        try:
            applied = apply(self.config.pv_root / check_name(app), stream)
        except NotApplied as error:
            return {"files": 0, "bytes": stream.size_bytes, "misfit": str(error)}
        self._write(app, applied.sync)
        return {"files": applied.files, "bytes": applied.bytes, "misfit": ""}

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
        self.wait_until_durable(app)

    @handles_stream(steps.Verify)
    def verify(self, stream: Reader, app: str) -> steps.Compared:
        """Compare the PV of an app that was activated here with the source's; see `volume.compare`.

        Raises:
            RelocationError: it was not, or has left this host since, or nothing can be read.
        """
        if app not in self._activated_ns:
            raise RelocationError(f"App {app!r} was not activated on this channel.")
        if self._state(app).note().state is not State.SERVING:
            raise RelocationError(f"App {app!r} has left {self.config.name} meanwhile.")
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
        self.ownership.ready(app.name, handoff)
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
        self.ownership.ready(app.name, handoff, instance.name)
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
        note, instance = kept.note(), self.platform.find(app.name)
        return (
            kept.declares(app)
            and instance is not None
            and note.state in (State.PREPARED, State.TAKING)
            and note.instance == instance.name
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
        """Remove the app's prepared instance, and an image that came for it alone.

        Raises:
            RelocationError: the app is more than prepared here.
        """
        self.ownership.discard(app)
        self.platform.remove(app)
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

    def serve(self, app: str, timeout_s: float) -> steps.Place:
        """Let the app's instance serve, whatever that needs; it does when this returns.

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
        return describe(instance)

    def keep_serving(self, app: str, timeout_s: float) -> bool:
        """Have an app serve that this host owns; tell whether anything had to be done for it.

        Raises:
            RelocationError: the platform does not answer, or the app did not serve within
                ``timeout_s``.
        """
        declared = self._state(app).declaration()
        self.platform.set_restarts(app, True)
        instance = self.platform.find(app)
        if instance is None:
            # Somebody has removed it behind the note's back. The volume is there to go on with.
            image_id = self.pull(declared.image)["image_id"]
            instance = self.platform.create(declared, image_id, image_id, first=False)
        if instance.running:
            self.platform.make_ready(app)
            self.platform.thaw(app)
            # A cold one that runs serves when it can: nobody has to ask it.
            if declared.start == "cold" or self.serves(declared, instance):
                self._deepen_backlog(declared)
                return False
        self._prepared.pop(app, None)
        self.serve(app, timeout_s)
        return True

    def go_on(self, app: str, timeout_s: float) -> None:
        """Let a frozen instance serve again; one that has died meanwhile is started.

        Raises:
            RelocationError: it does not serve within ``timeout_s``.
        """
        self.platform.thaw(app)
        if not self.platform.pids(app):
            self.serve(app, timeout_s)

    @handles(steps.Settle)
    def settle(self, app: str) -> None:
        """Let the platform start the app here by itself from now on, if this host owns it."""
        kept = self._state(app)
        if kept.note().state is State.SERVING:
            self.platform.set_restarts(app, True)
            self._deepen_backlog(kept.declaration())

    @handles(steps.Serves)
    def is_served(self, app: str) -> bool:
        """Tell whether this host owns the app, and its instance answers."""
        kept = self._state(app)
        # The platform is not asked: it may be what has failed.
        return kept.note().state is State.SERVING and self._health(kept.declaration()).serves()

    def end(self, app: str) -> None:
        """End the app's instance, confirmed; what is left of it stays."""
        # Another instance may have been there when this was looked up last.
        with contextlib.suppress(RelocationError):
            self.platform.make_ready(app)
        self.platform.kill(app)
        # An API that does not answer is told when the instance is removed.
        with contextlib.suppress(RelocationError):
            self.platform.set_restarts(app, False)

    def healthy(self, app: str) -> bool:
        """Whether the instance answers its health path with 200."""
        instance = self.platform.find(app)
        return instance is not None and self.serves(self._state(app).declaration(), instance)

    def serves(self, app: App, instance: Instance) -> bool:
        """Like ``healthy``, for an instance that has been looked up."""
        return instance.running and self._health(app, instance).serves()

    def put_aside(self, app: str, epoch: int) -> None:
        """Keep the app's volume where no relocation will write to it, named by its epoch."""
        volume = self.config.pv_root / check_name(app)
        aside = volume.with_name(f"{app}.epoch-{epoch}")
        number = 1
        while aside.exists():
            number += 1
            aside = volume.with_name(f"{app}.epoch-{epoch}-{number}")
        if volume.is_dir():
            os.rename(volume, aside)

    @handles(steps.Remove)
    def remove(self, app: str) -> str | None:
        """Remove the app's instance, ended or not; tell what could not be removed, and why.

        Raises:
            RelocationError: by its note it may serve here.
        """
        if (state := self._state(app).note().state) in MAY_WRITE:
            raise RelocationError(f"App {app!r} is {state} on {self.config.name}.")
        try:
            self.platform.remove(app)
        except RelocationError as error:
            return str(error)
        return None

    # -- the gateway ------------------------------------------------------------------------

    @handles(steps.CheckGateway)
    def check_gateway(self, app: str, me_hosts: Sequence[str]) -> None:
        """Raise unless this host's gateway can send the app's requests to each of ``me_hosts``."""
        for host in me_hosts:
            self.gateway.check(app, host)

    @handles(steps.Hold)
    def hold(self, app: str, max_s: float, host: str, owner: str, end_s: float) -> int:
        """Let new requests of the app wait; those that the instance on ``host`` answers still."""
        priority.go_first()
        return self.gateway.hold(app, max_s, host, owner, end_s)

    @handles(steps.InFlight)
    def in_flight(self, app: str, host: str) -> int:
        """Requests that the instance on ``host`` is answering through this host's gateway."""
        return self.gateway.in_flight(app, host)

    @handles(steps.Forward)
    def forward(self, app: str, host: str, owner: str) -> None:
        """Send the app's requests to ``host``, those that wait first."""
        self.gateway.forward(app, host, owner)
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
        return changed

    # -- inside -----------------------------------------------------------------------------

    def _state(self, app: str) -> state.AppState:
        return state.AppState(self.config.state_dir, app)

    def _instance(self, app: str) -> Instance:
        instance = self.platform.find(app)
        if instance is None:
            raise RelocationError(f"App {app!r} has no instance on {self.config.name}.")
        return instance

    def _write(self, app: str, write: Callable[[], None]) -> None:
        """Begin to make something durable; `wait_until_durable` waits for it."""
        self._writing.setdefault(app, []).append(self._writers.submit(write))

    def wait_until_durable(self, app: str) -> None:
        """What came for the app outlives a crash of this host when this returns."""
        writing = self._writing.pop(app, [])
        try:
            for written in wait(writing).done if writing else ():
                written.result()
        except OSError as error:
            raise RelocationError(
                f"What came for {app!r} cannot be kept on {self.config.name}: {error}."
            ) from error

    def _deepen_backlog(self, app: App) -> None:
        # One that has ended is the reconciler's business.
        with contextlib.suppress(RelocationError):
            backlog.deepen(self.platform.pids(app.name), app.port)

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

    def _health(self, app: App, instance: Instance | None = None) -> Health:
        # At its published port, which is nobody else's: its address in the engine's network is
        # given to another container when it ends.
        return Health(
            app,
            self.config.address,
            f"{instance.name if instance else app.name} on {self.config.name}",
            instance.activation_token if instance else "",
            functools.partial(self.platform.post_mortem, app.name),
        )


def _waits(app: App, image_id: str, base_image_id: str) -> bool:
    """Whether the prepared instance runs, and waits to be activated."""
    return app.start == "standby" and image_id == base_image_id


def describe(instance: Instance) -> steps.Place:
    """An instance as records have it."""
    return {"name": instance.name, "address": instance.address}
