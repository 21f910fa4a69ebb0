# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Keeps what this node's notes say of its apps true in the cluster.

A kubelet starts a pod's container again without the container's layer, and a node that restarts
begins with all gates closed. An app of which the note says that it serves here is therefore allowed
here, and activated when its pod is a new one that waits. Apps of which the note says anything else
are left alone: whoever relocates them knows better.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator

from ..ground import library
from ..ground.config import HostConfig
from ..ground.errors import RelocationError
from ..platform.cluster import Cluster
from ..platform.kubernetes import APP_LABEL, HOST_LABEL
from .me_host import MeHost
from .state import AppState

# What was missed is seen after this at the latest, and that the library was replaced.
_WATCH_S = 60.0
_PAUSE_S = 2.0
_ACTIVATE_S = 10.0
_log = logging.getLogger(__name__)


class Keeper:
    """Looks after the apps of one node."""

    def __init__(self, config: HostConfig, me_host: MeHost) -> None:
        self._config = config
        self._me_host = me_host

    def keep_all(self) -> None:
        """Look after every app that this host knows."""
        for kept in AppState.all(self._config.state_dir):
            self.keep(kept.name)

    def keep(self, app: str) -> None:
        """Look after one app; what cannot be done is logged, and tried at the next change."""
        try:
            if self._me_host.keep_serving(app, _ACTIVATE_S):
                _log.info("%s serves again", app)
        except RelocationError as error:
            _log.warning("%s: %s", app, error)

    def changes(self, cluster: Cluster) -> Iterator[str]:
        """The apps of this host whose pods change, as they do."""
        labels = {HOST_LABEL: self._config.name}
        for event, pod in cluster.watch("Pod", labels, time.monotonic() + _WATCH_S):
            if event != "LISTED":
                yield pod["metadata"]["labels"][APP_LABEL]


def main() -> None:
    """Keep, until the library is replaced."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    config = HostConfig.load()
    if config.cluster is None:
        raise SystemExit(f"{config.name} is no node of a cluster.")
    loaded = library.stamp()
    keeper = Keeper(config, MeHost(config))
    while library.stamp() == loaded:
        # With and without the API: a gate can be opened before the control plane is back.
        keeper.keep_all()
        with contextlib.suppress(RelocationError):
            for app in keeper.changes(Cluster(config.cluster)):
                keeper.keep(app)
            continue
        time.sleep(_PAUSE_S)


if __name__ == "__main__":
    main()
