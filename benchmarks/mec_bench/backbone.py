# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The backbone: what crosses it, and how fast it lets it cross."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from .site import Place

# What the limiter lets pass at once, and how long it lets wait, as for a link with a small queue.
_BURST_S = 0.005
_LEAST_BURST_BYTES = 16 * 1024
_QUEUE = "50ms"


class Backbone:
    """The interfaces of the hosts that lie on it."""

    def __init__(self, hosts: Sequence[Place]) -> None:
        self._hosts = hosts
        self._interfaces = [_interface(host) for host in hosts]

    def sent_bytes(self) -> int:
        """What all hosts together have sent since they started."""
        total = 0
        for host, interface in zip(self._hosts, self._interfaces, strict=True):
            total += int(host.run("cat", f"/sys/class/net/{interface}/statistics/tx_bytes"))
        return total

    @contextlib.contextmanager
    def limited(self, rate_bit_s: int | None) -> Iterator[None]:
        """Let each host send no faster while the block runs; None: as fast as it goes."""
        if rate_bit_s is None:
            yield
            return
        burst_bytes = max(int(rate_bit_s / 8 * _BURST_S), _LEAST_BURST_BYTES)
        shape = ("tbf", "rate", f"{rate_bit_s}bit", "burst", f"{burst_bytes}", "latency", _QUEUE)
        try:
            for host, interface in zip(self._hosts, self._interfaces, strict=True):
                host.run("tc", "qdisc", "replace", "dev", interface, "root", *shape)
            yield
        finally:
            self.unlimited()

    def unlimited(self) -> None:
        """Remove a limit, also one that an interrupted run has left."""
        for host, interface in zip(self._hosts, self._interfaces, strict=True):
            # The kernel's own queue cannot be removed, which is no error here.
            host.run("sh", "-c", f"tc qdisc del dev {interface} root 2>/dev/null || true")


def _interface(host: Place) -> str:
    """The name of the interface with the host's address on the backbone."""
    shown = host.run("ip", "-oneline", "address", "show", "to", host.address)
    return shown.split()[1]
