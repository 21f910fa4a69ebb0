#!/usr/bin/env python3
"""Attach this UE to a cell: `mec-ue-attach CELL`.

A UE has one interface a cell and is in one cell at a time. A change is make-before-break: the new
address and the route to the service address through the new cell's gateway come first, in one
batch; what is under way on the old address leaves through the old cell for a grace period; then the
old address goes, when this program has answered already. Without CELL the UE attaches to the cell
that it was in last, as at boot.

One JSON object is printed: cell, address, gateway, changed, previous.
Exit status: 0 attached, 1 the system refused, 2 the arguments or the configuration are wrong.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path
from typing import Any

CONFIG = Path("/etc/mec-ue/cells.json")
RUN = Path("/run/mec-ue")
STATE = Path("/var/lib/mec-ue")

# Each cell has a routing table of its own, for what leaves with the address of that cell.
FIRST_TABLE = 100


class AttachError(Exception):
    """The UE cannot attach. `status` is the exit status."""

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Cell:
    """A cell, and this UE's interface and address in it."""

    name: str
    gateway: IPv4Address
    interface: str
    address: IPv4Interface
    table: int


def read_config(path: Path) -> tuple[IPv4Address, dict[str, dict[str, str]]]:
    """The service address, and network and gateway of each cell by its name."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        return IPv4Address(config["service_address"]), dict(config["cells"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise AttachError(f"{path} cannot be used: {error}; apply the role ue", 2) from error


def ip(*arguments: str) -> list[dict[str, Any]]:
    """What `ip -json` answers."""
    answer = subprocess.run(
        ["ip", "-json", *arguments], check=True, capture_output=True, text=True
    ).stdout
    found: list[dict[str, Any]] = json.loads(answer or "[]")
    return found


def batch(commands: Sequence[str]) -> None:
    """Run `ip` commands in one process, in order."""
    subprocess.run(
        ["ip", "-batch", "-"],
        input="".join(f"{command}\n" for command in commands),
        check=True,
        capture_output=True,
        text=True,
    )


def addresses() -> list[tuple[str, IPv4Interface]]:
    """The interfaces of this host with their IPv4 addresses."""
    return [
        (link["ifname"], IPv4Interface(f"{info['local']}/{info['prefixlen']}"))
        for link in ip("-4", "address", "show")
        for info in link["addr_info"]
    ]


def find_cells(
    configured: dict[str, dict[str, str]],
    present: Sequence[tuple[str, IPv4Interface]],
    remembered: dict[str, list[str]],
) -> dict[str, Cell]:
    """The cells in which this UE has an interface.

    An interface belongs to the cell whose network its address is in. Once the UE has left a cell
    there is no address to go by, so what was found once is remembered (until the next boot).
    """
    cells = {}
    for table, (name, settings) in enumerate(configured.items(), FIRST_TABLE):
        network = IPv4Network(settings["network"])
        found = [(link, address) for link, address in present if address.ip in network]
        if not found and name in remembered:
            interface, text = remembered[name]
            found = [(interface, IPv4Interface(text))]
        for link, address in found[:1]:
            cells[name] = Cell(name, IPv4Address(settings["gateway"]), link, address, table)
    return cells


def current_cell(
    cells: dict[str, Cell], present: Sequence[tuple[str, IPv4Interface]], via: str | None
) -> Cell | None:
    """The cell through which the service address is routed, if the UE has its address there."""
    for cell in cells.values():
        if str(cell.gateway) == via and (cell.interface, cell.address) in present:
            return cell
    return None


def service_gateway(service: IPv4Address) -> str | None:
    """The gateway of the route to the service address, None where there is no such route."""
    routes = ip("-4", "route", "show", f"{service}/32")
    return routes[0].get("gateway") if routes else None


def attach_commands(service: IPv4Address, cell: Cell, rules: Sequence[str]) -> list[str]:
    """`ip` commands that add the cell's address and route; `rules`: sources that have a rule."""
    route = f"{service}/32 via {cell.gateway} dev {cell.interface} src {cell.address.ip}"
    return [
        f"address replace {cell.address} dev {cell.interface}",
        f"route replace {route} table {cell.table}",
        *(
            [f"rule add from {cell.address.ip} lookup {cell.table} priority {cell.table}"]
            if str(cell.address.ip) not in rules
            else []
        ),
        f"route replace {route}",
    ]


def leave(cell: Cell) -> None:
    """End what still uses the cell's address, and remove the address (its routes go with it)."""
    # Not every kernel can end sockets; without it they end when they time out.
    subprocess.run(
        ["ss", "--kill", "--tcp", "src", str(cell.address.ip)], check=False, capture_output=True
    )
    batch([f"address delete {cell.address} dev {cell.interface}"])


def choose(wanted: str | None, cells: dict[str, Cell], state: Path) -> Cell:
    """The cell to attach to: the one asked for, the one the UE was in last, the first."""
    if wanted is None:
        last = state.read_text(encoding="utf-8").strip() if state.exists() else ""
        wanted = last if last in cells else next(iter(cells), "")
    if wanted not in cells:
        known = ", ".join(cells) or "none"
        raise AttachError(f"unknown cell {wanted!r}: this UE has an interface in: {known}", 2)
    return cells[wanted]


def describe(cell: Cell | None, previous: Cell | None, changed: bool) -> dict[str, Any]:
    """The answer of this program."""
    return {
        "cell": cell.name if cell else None,
        "address": str(cell.address.ip) if cell else None,
        "gateway": str(cell.gateway) if cell else None,
        "changed": changed,
        "previous": previous.name if previous else None,
    }


def run(wanted: str | None, status_only: bool) -> tuple[dict[str, Any], list[Cell]]:
    """Attach, or only look. Returns the answer to print, and the cells to leave after the grace."""
    service, configured = read_config(CONFIG)
    memory = RUN / "interfaces.json"
    remembered = json.loads(memory.read_text(encoding="utf-8")) if memory.exists() else {}
    present = addresses()
    cells = find_cells(configured, present, remembered)
    before = current_cell(cells, present, service_gateway(service))
    if status_only:
        return describe(before, before, changed=False), []

    cell = choose(wanted, cells, STATE / "cell")
    interfaces = {name: [found.interface, str(found.address)] for name, found in cells.items()}
    memory.write_text(json.dumps(interfaces), encoding="utf-8")
    others = [c for c in cells.values() if c != cell and (c.interface, c.address) in present]
    changed = before != cell or bool(others)
    if changed:
        rules = [rule.get("src", "") for rule in ip("-4", "rule", "show")]
        batch(attach_commands(service, cell, rules))
    (STATE / "cell").write_text(f"{cell.name}\n", encoding="utf-8")
    return describe(cell, before, changed), others


def leave_later(cells: Sequence[Cell], grace_s: float) -> None:
    """Leave after the grace period, in a process of its own, which keeps the lock until then."""
    if os.fork() > 0:
        return
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(nothing, number)
    time.sleep(grace_s)
    for cell in cells:
        leave(cell)
    os._exit(0)


def main() -> None:
    """Parse the command line, run, print, and exit."""
    parser = argparse.ArgumentParser(prog="mec-ue-attach", description=__doc__.split("\n\n")[0])
    parser.add_argument("cell", nargs="?", metavar="CELL", help="the cell to attach to")
    parser.add_argument("--status", action="store_true", help="only tell which cell the UE is in")
    parser.add_argument(
        "--grace-s",
        type=float,
        default=0.2,
        metavar="SECONDS",
        help="how long the old address stays, for what is under way (default: 0.2)",
    )
    arguments = parser.parse_args()
    try:
        for folder in (RUN, STATE):
            folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        with (RUN / "lock").open("w") as lock:
            if not arguments.status:
                fcntl.flock(lock, fcntl.LOCK_EX)  # one change of cell at a time
            answer, others = run(arguments.cell, arguments.status)
            print(json.dumps(answer), flush=True)
            if answer["previous"] in (None, answer["cell"]):
                for other in others:
                    leave(other)
            else:
                leave_later(others, arguments.grace_s)
    except subprocess.CalledProcessError as error:
        sys.exit(f"mec-ue-attach: {error.cmd[0]}: {(error.stderr or '').strip()}")
    except AttachError as error:
        print(f"mec-ue-attach: {error}", file=sys.stderr)
        sys.exit(error.status)


if __name__ == "__main__":
    main()
