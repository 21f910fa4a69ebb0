# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Pre-copy 2 with its conditions: the lease on both hosts, and room on the target."""

from __future__ import annotations

from ..ground.config import HostConfig
from ..ground.errors import RelocationError
from ..host.lease import working
from ..host.lock import RELOCATION
from ..host.owner import State
from ..host.state import AppState
from ..volume.room import require_room
from ..volume.rsync import VolumePass, VolumeSync
from ..wire import steps
from ..wire.host import Host


def precopy_volume(
    config: HostConfig, app: str, target: Host, handoff: str, *, check: bool
) -> VolumePass:
    """One pass over the PV of an app that serves on this host.

    Raises:
        RelocationError: the app does not serve here, is being relocated by another handoff, has no
            volume, or one that does not fit on the target.
    """
    kept = AppState(config.state_dir, app)
    declared = kept.declaration()
    if declared.volume is None:
        raise RelocationError(f"App {app!r} has no volume.", "Leave pre-copy 2 out.")
    if kept.note().state is not State.SERVING:
        raise RelocationError(
            f"App {app!r} does not serve on {config.name}.", "Run pre-copy 2 where it serves."
        )
    require_room(config, app, target)
    passes = VolumeSync(config, app, target.name)
    if check:
        return passes.run(dry_run=True)
    with working(kept.folder, app, handoff, RELOCATION):
        target.begin(steps.Lock(app, handoff)).result()
        target.begin(steps.Ready(app, handoff)).result()
        done = passes.run()
        target.begin(steps.Unlock(app, keep_lease=True)).result()
        return done
