# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""ME hosts for tests: folders of this machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ansible_collections.mec.relocation.plugins.module_utils.ground.config import HostConfig
from ansible_collections.mec.relocation.plugins.module_utils.wire.steps import TABLE, Step


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


def fake_host(take: Callable[..., Any]) -> Any:
    """An ME host of which a function takes every step, and the stream of one that has one."""

    def handler(step: type[Step[Any]]) -> Callable[..., Any]:
        return lambda *stream, **arguments: take(step(**arguments), *stream)

    handlers = {step: handler(step) for step in TABLE.values()}
    return SimpleNamespace(load=lambda: None, handlers=handlers)
