# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`python -m mec_bench`: measure relocation schemes side by side, and report them."""

from __future__ import annotations

import argparse
import json
import secrets
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from mec_report.table import as_text
from mec_ue.testbed import TestbedError, find_ue

from . import PROJECT, render, tables
from .bench import Bench
from .connections import connections
from .environment import environment
from .schemes import SCHEMES
from .site import CommandError, find_site
from .summary import read
from .sweeps import SWEEPS


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    if options.report is not None:
        return _report(options.report)
    folder = PROJECT / "results" / time.strftime("bench-%Y%m%d-%H%M%S")
    # Ended from outside, a run cleans up as it does when it is interrupted.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        _measure(options, folder)
    except KeyboardInterrupt:
        print(f"interrupted; what was measured is in results/{folder.name}/", file=sys.stderr)
        return 130
    except (CommandError, TestbedError) as error:
        print(f"mec_bench: {error}", file=sys.stderr)
        return 1
    return _report(folder)


def _measure(options: argparse.Namespace, folder: Path) -> None:
    ue = find_ue(options.ue)
    folder.mkdir(parents=True)
    with connections(ue.state_dir / "ssh" / "id_ed25519") as sockets:
        site = find_site(ue, folder, sockets)
        known = {
            "run": {"name": folder.name, "rounds": options.rounds, "seed": options.seed},
            "schemes": {name: make(site, 1).title for name, make in SCHEMES.items()},
            **environment(site),
        }
        (folder / "bench.json").write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")
        bench = Bench(site, options.seed)
        for name in options.sweep:
            sweep = SWEEPS[name]
            rows = [row for row in sweep.rows if row in (options.rows or sweep.rows)]
            wanted = options.schemes or sweep.schemes
            chosen = [scheme for scheme in SCHEMES if scheme in wanted]
            bench.run(name, sweep, rows, chosen, options.rounds)


def _report(folder: Path) -> int:
    try:
        found = read(folder)
        print(as_text(tables.targets(found)))
        for file in render.write(folder, found):
            print(file)
    except (OSError, ValueError) as error:
        print(f"mec_bench: {folder} cannot be reported: {error}", file=sys.stderr)
        return 1
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="mec_bench", description="Measure relocation schemes side by side."
    )
    parser.add_argument("--rounds", type=int, default=10, metavar="N")
    parser.add_argument("--sweep", nargs="+", choices=SWEEPS, default=["schemes"])
    parser.add_argument("--rows", nargs="+", metavar="ROW", help="rows of the sweep; default: all")
    parser.add_argument("--schemes", nargs="+", choices=SCHEMES, help="default: the sweep's")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**32), metavar="N")
    parser.add_argument("--ue", default="ue1")
    parser.add_argument(
        "--report", type=Path, metavar="FOLDER", help="measure nothing, report a folder again"
    )
    options = parser.parse_args(arguments)
    known = {row for name in options.sweep for row in SWEEPS[name].rows}
    if unknown := set(options.rows or ()) - known:
        parser.error(f"no such row: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    return options


if __name__ == "__main__":
    sys.exit(main())
