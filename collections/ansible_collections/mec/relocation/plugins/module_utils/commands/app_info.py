# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tell where apps are and what is prepared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..ground.config import HostConfig
from ..host.info import survey


def run(params: Mapping[str, Any], *, check: bool) -> dict[str, Any]:  # noqa: ARG001 - it reads
    """Ask this host."""
    answer = survey(HostConfig.load())
    return {"changed": False, "ansible_facts": {"mec_relocation": {"host": answer}}, **answer}
