# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What each kind of fault does to a host, as shell commands, and how all of it is undone."""

from __future__ import annotations

from dataclasses import dataclass

from .schedule import Fault

# The app's user in its container, which is the same outside (journal/Dockerfile).
APP_UID = 10234
# All of the library on a host, whatever has started it, except what the harness has there.
_LIBRARY = (
    "{ cat /sys/fs/cgroup/systemd/system.slice/mec-relocation*.service/cgroup.procs"
    " /sys/fs/cgroup/system.slice/mec-relocation*.service/cgroup.procs;"
    " pgrep -f '^/usr/bin/python3 .*mec[_-]relocation'; } 2>/dev/null | sort -nu"
)
_CLOCK = "/run/mec-chaos/clock"
_UNITS = "docker.service containerd.service kubelet.service haproxy.service 'mec-relocation*'"


@dataclass(frozen=True)
class Ground:
    """What faults of a host have to know of it.

    Attributes:
        interface: on the backbone.
        volumes, state, engine: the folders of the volumes, the library's state and the engine.
    """

    interface: str
    volumes: str
    state: str
    engine: str


def command(fault: Fault, ground: Ground) -> str:
    """The shell command that is the fault: it ends when the fault is over.

    What a fault has begun it ends by itself, whatever becomes of the harness.
    """
    wait = f"sleep {fault.lasts_s}"
    one = f"{_LIBRARY} | {nth(fault.amount)}"
    interface = ground.interface
    commands = {
        "library-killed": f"{_LIBRARY} | xargs -r kill -KILL",
        "process-killed": f"{one} | xargs -r kill -KILL",
        "library-stopped": _stopped(_LIBRARY, wait),
        "process-stopped": _stopped(one, wait),
        "library-restarted": "systemctl restart mec-relocation.service",
        "rsync-killed": "pkill -KILL -x rsync",
        "app-killed": f"pkill -KILL -u {APP_UID}",
        "app-stopped": f"pkill -STOP -u {APP_UID}; {wait}; pkill -CONT -u {APP_UID}",
        "cut": _cut([_in(interface), _out(interface)], wait),
        "cut-in": _cut([_in(interface)], wait),
        "cut-out": _cut([_out(interface)], wait),
        "slow": (
            f"tc qdisc replace dev {interface} root tbf rate {fault.amount}mbit"
            f" burst 16kb latency 50ms; {wait}; tc qdisc del dev {interface} root"
        ),
        "engine-killed": "systemctl kill --kill-who=main --signal=KILL docker.service",
        "engine-restarted": "systemctl restart docker.service",
        "containerd-killed": "systemctl kill --kill-who=main --signal=KILL containerd.service",
        "kubelet-killed": "systemctl kill --signal=KILL kubelet.service",
        "gateway-killed": "systemctl kill --signal=KILL haproxy.service",
        "gateway-reloaded": "systemctl reload haproxy.service",
        "gateway-restarted": "systemctl restart haproxy.service",
        "volume-full": _full(ground.volumes, wait),
        "state-full": _full(ground.state, wait),
        "engine-full": _full(ground.engine, wait),
        "clock": (
            f"mkdir -p {_CLOCK.rpartition('/')[0]};"
            f" echo {int(fault.amount)} >{_CLOCK}; {wait}; rm -f {_CLOCK}"
        ),
    }
    return commands[fault.kind]


def healing(ground: Ground) -> str:
    """The shell command that undoes whatever a fault has left on a host."""
    interface = ground.interface
    rules = [
        f"while iptables -w -t mangle -D {rule} 2>/dev/null; do :; done"
        for rule in (_in(interface), _out(interface))
    ]
    return "; ".join(
        [
            *rules,
            f"tc qdisc del dev {interface} root 2>/dev/null",
            f"{_LIBRARY} | xargs -r kill -CONT",
            f"pkill -CONT -u {APP_UID}",
            f"rm -f {ground.volumes}/.full {ground.state}/.full {ground.engine}/.full",
            f"rm -f {_CLOCK}",
            f"systemctl reset-failed {_UNITS} 2>/dev/null",
            "true",
        ]
    )


def nth(fraction: float) -> str:
    """One line of many: the first with 0, the last with 1."""
    return (
        "awk '{ line[NR] = $0 } END { if (NR) print line[1 + int("
        f"{fraction} * (NR - 1) + 0.5)] }}'"
    )


def _stopped(processes: str, wait: str) -> str:
    return (
        f'them=$({processes}); [ -z "$them" ] || kill -STOP $them; {wait};'
        ' [ -z "$them" ] || kill -CONT $them 2>/dev/null; true'
    )


def _in(interface: str) -> str:
    return f"PREROUTING -i {interface} -j DROP"


def _out(interface: str) -> str:
    return f"POSTROUTING -o {interface} -j DROP"


def _cut(rules: list[str], wait: str) -> str:
    cut = "; ".join(f"iptables -w -t mangle -I {rule}" for rule in rules)
    mend = "; ".join(f"iptables -w -t mangle -D {rule}" for rule in rules)
    return f"{cut}; {wait}; {mend}"


def _full(folder: str, wait: str) -> str:
    """All that is free, to the last block."""
    free = f"$(($(df --output=avail --block-size=1 {folder} | tail -n 1) - 1048576))"
    return (
        f"fallocate -l {free} {folder}/.full; head -c 2M /dev/zero >>{folder}/.full 2>/dev/null;"
        f" {wait}; rm -f {folder}/.full"
    )
