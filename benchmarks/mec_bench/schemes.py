# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The schemes that are compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from .floor import Floor
from .ours import Ours
from .peers import Playbook, Script
from .podman import Podman
from .scheme import Scheme
from .site import Site


def _ours(start: str, *, proactive: bool) -> Callable[[Site, int], Scheme]:
    return lambda site, apps: Ours(site, start, proactive=proactive, apps=apps)


# How each is made, for a number of apps that it relocates at once. Peers relocate one.
SCHEMES: Mapping[str, Callable[[Site, int], Scheme]] = {
    "standby-proactive": _ours("standby", proactive=True),
    "cold-proactive": _ours("cold", proactive=True),
    "standby-reactive": _ours("standby", proactive=False),
    "cold-reactive": _ours("cold", proactive=False),
    "script": lambda site, _apps: Script(site),
    "playbook": lambda site, _apps: Playbook(site),
    "podman": lambda site, _apps: Podman(site),
    "floor": lambda site, _apps: Floor(site),
}
