# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the library knows of the ME host that it runs on."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import RelocationError

PATH = Path("/etc/mec-relocation/host.json")


@dataclass(frozen=True)
class Repository:
    """The image repository and how this host signs in to it."""

    url: str
    ca: Path
    credentials: Path

    @property
    def name(self) -> str:
        """Host and port, as they stand in front of an image name."""
        return self.url.removeprefix("https://")


@dataclass(frozen=True)
class Ssh:
    """How this host reaches the others: two keys, each good for one command only."""

    user: str
    agent_key: Path
    rsync_key: Path
    known_hosts: Path


@dataclass(frozen=True)
class ClusterAccess:
    """How this host reaches the API of its cluster, and the namespace of the apps there."""

    kubeconfig: Path
    namespace: str


@dataclass(frozen=True)
class HostConfig:
    """The contents of ``host.json``, written by the role ``me_host``."""

    name: str
    platform: str
    address: str
    pv_root: Path
    state_dir: Path
    gateway_socket: Path
    repository: Repository
    peers: dict[str, str]
    ssh: Ssh
    cluster: ClusterAccess | None = None

    @classmethod
    def load(cls, path: Path = PATH) -> HostConfig:
        """Read the configuration.

        Raises:
            RelocationError: the file is missing, unreadable or incomplete.
        """
        try:
            return cls.from_dict(json.loads(path.read_text()))
        except FileNotFoundError:
            raise RelocationError(
                f"{path} does not exist: this host is not prepared as an ME host.",
                "Apply the role me_host to it (playbooks/testbed.yml does).",
            ) from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RelocationError(
                f"{path} cannot be used: {type(error).__name__}: {error}.",
                "Apply the role me_host to this host again.",
            ) from error

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> HostConfig:
        """Build the configuration from the parsed file."""
        repository = data["repository"]
        ssh = data["ssh"]
        cluster = data.get("cluster")
        return cls(
            name=data["name"],
            platform=data["platform"],
            address=data["address"],
            pv_root=Path(data["pv_root"]),
            state_dir=Path(data["state_dir"]),
            gateway_socket=Path(data["gateway_socket"]),
            repository=Repository(
                url=repository["url"],
                ca=Path(repository["ca"]),
                credentials=Path(repository["credentials"]),
            ),
            peers={name: peer["address"] for name, peer in data["peers"].items()},
            ssh=Ssh(
                user=ssh["user"],
                agent_key=Path(ssh["agent_key"]),
                rsync_key=Path(ssh["rsync_key"]),
                known_hosts=Path(ssh["known_hosts"]),
            ),
            cluster=cluster
            and ClusterAccess(Path(cluster["kubeconfig"]), namespace=cluster["namespace"]),
        )

    def peer_address(self, name: str) -> str:
        """The backbone address of another ME host.

        Raises:
            RelocationError: there is no ME host of this name.
        """
        try:
            return self.peers[name]
        except KeyError:
            known = ", ".join(sorted(self.peers)) or "none"
            raise RelocationError(
                f"{self.name} knows no ME host {name!r} (it knows: {known}).",
                "Add it to the group me_hosts and apply the role me_host.",
            ) from None
