# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Have an image on this host."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ..ground.config import HostConfig
from ..image.registry import ImageReference, Registry
from ..image.store import ImageStore
from ..image.sync import FromRegistry, FromSource, ImageSync, Origin, Peer


def run(params: Mapping[str, Any], *, check: bool) -> dict[str, Any]:
    """Compare, bring what is missing, and tell.

    Raises:
        RelocationError: the image cannot be had, or not be kept here.
    """
    image = ImageReference.parse(params["image"])
    source = params["source"] if params["from"] == "source" else None
    config = HostConfig.load()
    begin_s = time.monotonic()
    sync = ImageSync(image, _origin(config, source), ImageStore(), config.repository.name)
    plan = sync.plan()
    image_id, moved = (plan.image_id, sync.estimate(plan)) if check else sync.carry_out(plan)
    duration_s = round(time.monotonic() - begin_s, 6)
    facts = {
        "image": str(image),
        "reference": sync.name,
        "digest": plan.wanted.digest,
        "image_id": image_id,
        "present_before": plan.present is not None,
        "bytes": moved.size_bytes,
        "layers_moved": moved.layers,
        "duration_s": duration_s,
        "from": source or "registry",
        "phase": {
            "name": "image_sync",
            "start_s": params["at_s"],
            "duration_s": duration_s,
            "bytes": moved.size_bytes,
        },
    }
    before = plan.before.image_id if plan.before else None
    return {
        "changed": not plan.named,
        "diff": {"before": {sync.name: before}, "after": {sync.name: image_id}},
        "ansible_facts": {"mec_relocation": {"image_sync": facts}},
        **facts,
    }


def _origin(config: HostConfig, source: str | None) -> Origin:
    """Where the image comes from: the ME host `source`, or the repository."""
    if source is not None:
        return FromSource(Peer(config, source), config.repository.name)
    return FromRegistry(Registry.of(config.repository))
