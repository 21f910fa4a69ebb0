# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""ME hosts for tests: folders of this machine."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.mec.relocation.plugins.module_utils.ground.config import HostConfig


def host_config(place: Path, name: str, *peers: str) -> HostConfig:
    """The configuration of an ME host whose volumes and state lie in a folder of its name."""
    return HostConfig.from_dict(
        {
            "name": name,
            "platform": "docker",
            "address": "",
            "pv_root": place / name / "pv",
            "state_dir": place / name / "state",
            "gateway_socket": "",
            "repository": {"url": "", "ca": "", "credentials": ""},
            "peers": {peer: {"address": peer} for peer in peers},
            "ssh": {"user": "root", "agent_key": "", "rsync_key": "", "known_hosts": ""},
        }
    )
