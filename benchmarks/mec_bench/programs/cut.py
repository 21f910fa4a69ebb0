# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""On the source: the least that a relocation can take. Prints one JSON object.

    cut.py APP PID TARGET SINCE_NS

Freezes the processes of the cgroup of PID, sends what changed over a channel that is open, switches
both gateways; nothing else. It is no relocation: the target's instance runs already, on a copy of
its own, and nobody activates it with what was sent. That goes to the volume <APP>-sent beside it.
"""

import json
import os
import sys
import time
from pathlib import Path

from ansible_collections.mec.relocation.plugins.module_utils.ground.config import HostConfig
from ansible_collections.mec.relocation.plugins.module_utils.host.local import LocalHost
from ansible_collections.mec.relocation.plugins.module_utils.host.me_host import MeHost
from ansible_collections.mec.relocation.plugins.module_utils.platform.freezer import Freezer
from ansible_collections.mec.relocation.plugins.module_utils.volume.delta import (
    NONE,
    Signatures,
    build,
)
from ansible_collections.mec.relocation.plugins.module_utils.volume.watch import Dirty
from ansible_collections.mec.relocation.plugins.module_utils.wire.channel import Channel
from ansible_collections.mec.relocation.plugins.module_utils.wire.host import Host, together
from ansible_collections.mec.relocation.plugins.module_utils.wire.steps import (
    Apply,
    CheckGateway,
    Forward,
    Lock,
    Persist,
)


def changed_since(root: Path, since_ns: int) -> Dirty:
    """The files that were written since then."""
    top = os.fsencode(root)
    paths = (os.path.join(folder, file) for folder, _, files in os.walk(top) for file in files)
    return Dirty(
        frozenset(
            os.path.relpath(path, top) for path in paths if os.lstat(path).st_mtime_ns >= since_ns
        )
    )


_OWNER = "floor"


def send(target: Channel, app: str, root: Path, dirty: Dirty, signatures: Signatures) -> Signatures:
    """Send what is dirty, without the blocks that the target has; it is there on return."""
    built = []
    apply = Apply(f"{app}-sent")
    target.stream(apply, lambda out: built.append(build(root, dirty, out, signatures))).result()
    return built[0].signatures


def main() -> None:
    app, pid, target, since_ns = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    me_host = MeHost(HostConfig.load())
    root = me_host.config.pv_root / app
    freezer = Freezer.of_process(pid)
    with Channel(me_host.config, target) as channel:
        gateways: list[Host] = [channel, LocalHost(me_host)]
        together(gateways, CheckGateway(app, [target]))
        channel.begin(Lock(f"{app}-sent", _OWNER)).result()
        dirty = changed_since(root, since_ns)
        signatures = send(channel, app, root, dirty, NONE)
        began_s = time.monotonic()
        freezer.freeze()
        frozen_s = time.monotonic()
        send(channel, app, root, dirty, signatures)
        sent_s = time.monotonic()
        together(gateways, Forward(app, target, _OWNER))
        ended_s = time.monotonic()
        # Requests that the freeze met are answered now, late.
        freezer.thaw()
        together(gateways, Persist())
    phases = {"freeze": frozen_s - began_s, "send": sent_s - frozen_s, "switch": ended_s - sent_s}
    print(json.dumps({"downtime_s": ended_s - began_s, "phases": phases}))


if __name__ == "__main__":
    main()
