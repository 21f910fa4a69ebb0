# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The platforms that there are."""

from __future__ import annotations

from ..ground.config import HostConfig
from ..ground.errors import RelocationError
from .docker import DockerPlatform
from .instance import Platform
from .kubernetes import KubernetesPlatform

_PLATFORMS: dict[str, type[DockerPlatform] | type[KubernetesPlatform]] = {
    "docker": DockerPlatform,
    "kubernetes": KubernetesPlatform,
}


def load(config: HostConfig) -> Platform:
    """The platform that this host is configured for."""
    try:
        return _PLATFORMS[config.platform](config)
    except KeyError:
        raise RelocationError(
            f"Platform {config.platform!r} is not one of: {', '.join(_PLATFORMS)}.",
            "Correct mec_platform.",
        ) from None
