"""An instance between standby and serving: when it may touch the PV."""

from __future__ import annotations

import os
import socket
import tempfile
import threading
from pathlib import Path

from .config import Settings
from .passwords import hash_password
from .store import Store


class Standby(Exception):
    """The instance has not been activated: it must not know what is on the PV."""


class Instance:
    """Opens the PV once: when the platform says so, or at the start if it had said so before."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.name = socket.gethostname()
        self._store: Store | None = None
        self._activation = threading.Lock()

    @property
    def active(self) -> bool:
        """Whether the PV is open."""
        return self._store is not None

    @property
    def store(self) -> Store:
        """The PV's content; raises Standby before the activation."""
        if self._store is None:
            raise Standby
        return self._store

    def resume(self) -> None:
        """After a start: serve again if this instance was activated before."""
        if self.settings.marker.exists():
            self.activate()

    def activate(self) -> None:
        """Open the PV and serve; once is enough, twice does no harm.

        Raises:
            StoreError: the PV cannot be opened; the instance stays in standby.
        """
        with self._activation:
            if self._store is not None:
                return
            store = Store(self.settings.database)
            try:
                self._add_first_user(store)
                self.settings.marker.touch()
            except BaseException:
                store.close()
                raise
            self._store = store

    def rehearse(self) -> None:
        """Do once, on a folder of its own, what the activation does: the next time is faster."""
        with tempfile.TemporaryDirectory() as folder:
            store = Store(Path(folder) / self.settings.database.name)
            store.users()
            store.check()
            store.close()

    def remember(self) -> None:
        """Make the activation outlive a crash of the host; it need not delay the answer."""
        folder = os.open(self.settings.state_dir, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def close(self) -> None:
        """Close the PV."""
        if self._store is not None:
            self._store.close()
            self._store = None

    def _add_first_user(self, store: Store) -> None:
        user, password = self.settings.first_user, self.settings.first_password
        if user and password and not store.users():
            store.add_user(user, hash_password(password))
