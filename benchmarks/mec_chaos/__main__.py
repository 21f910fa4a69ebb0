# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`python -m mec_chaos`: hand off with faults in between, judge each run, and report."""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mec_bench import PROJECT
from mec_bench.connections import connections
from mec_bench.site import CommandError, find_site, run
from mec_report.table import as_text
from mec_ue.testbed import TestbedError, find_ue

from . import report
from .field import Field
from .run import Result, Run
from .schedule import KINDS, Schedule, draw, seed_of

# What the ME hosts have besides what they always have.
HAS = {"prepared": ("disks", "clock"), "kept": ("disks", "clock"), "plain": ()}
# How long an app that is deployed may take until it serves.
_PATIENCE_S = {"docker": 5.0, "kubernetes": 40.0}
_TRIES = 3
# How long a handoff takes, as long as none was seen.
_USUAL_S = 9.0


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    commit = run(["git", "rev-parse", "HEAD"], cwd=PROJECT).strip()
    changed = run(["git", "status", "--porcelain"], cwd=PROJECT).strip()
    name = f"chaos-{options.platform}-{commit[:8]}{'-changed' if changed else ''}"
    folder = PROJECT / "results" / (options.run or name)
    # Ended from outside, a run cleans up as it does when it is interrupted.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if options.count:
            _runs(options, commit, folder)
    except KeyboardInterrupt:
        print(f"interrupted; the next call goes on with results/{folder.name}/", file=sys.stderr)
        return 130
    except (CommandError, TestbedError) as error:
        print(f"mec_chaos: {error}", file=sys.stderr)
        return 1
    return _report(folder)


def _runs(options: argparse.Namespace, commit: str, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    ue = find_ue(options.ue)
    with connections(ue.state_dir / "ssh" / "id_ed25519") as sockets:
        field = Field(find_site(ue, folder, sockets), options.platform)
        with _prepared(field, options), field.held():
            chaos = Chaos(field, folder)
            schedules = [*_schedules(options, commit, chaos.next_number)]
            for done, schedule in enumerate(schedules):
                chaos.once(schedule, f"{done + 1}/{len(schedules)}", len(schedules) - done)


@contextlib.contextmanager
def _prepared(field: Field, options: argparse.Namespace) -> Iterator[None]:
    """Have ME hosts that all faults can strike while the block runs."""
    if options.hosts == "plain":
        yield
        return
    try:
        field.prepare()
        yield
    finally:
        if options.hosts == "prepared":
            with contextlib.suppress(CommandError):
                field.remove()
            field.restore()


def _schedules(options: argparse.Namespace, commit: str, number: int) -> Iterator[Schedule]:
    """Those that are given, or of one seed, or of the commit, from a number on."""
    if options.schedule:
        for file in options.schedule:
            yield Schedule.from_json(json.loads(file.read_text(encoding="utf-8")))
        return
    for each in range(number, number + options.count):
        seed = seed_of(commit, each) if options.seed is None else options.seed
        yield draw(seed, options.platform, HAS[options.hosts], options.kinds)


class Chaos:
    """Runs, one after the other, in one folder."""

    def __init__(self, field: Field, folder: Path) -> None:
        self._field = field
        self._folder = folder
        self._runs = report.read(folder)
        self._here: list[float] = []
        self._serving: str | None = None

    @property
    def next_number(self) -> int:
        """The number of the next run; runs that were interrupted have none."""
        return 1 + max((known["number"] for known in self._runs), default=0)

    def once(self, schedule: Schedule, place: str, left: int) -> None:
        """Make one run, keep it, and leave a testbed that can bear the next."""
        began_s = time.monotonic()
        result = self._tried(schedule)
        self._keep(result.as_json())
        self._field.heal()
        self._serving = None if result.verdict.failed else result.verdict.serves_on
        self._here.append(time.monotonic() - began_s)
        left_s = statistics.mean(self._here) * (left - 1)
        print(f"{place:>8}  {_line(result)}  {_duration(left_s)} left", flush=True)

    def _tried(self, schedule: Schedule) -> Result:
        """One run; where the testbed cannot bear it, it is brought back, and tried again.

        Raises:
            CommandError: that does not help.
        """
        for left in reversed(range(_TRIES)):
            self._serving = self._serving or self._ready()
            number = self.next_number
            self._set_aside(number)
            one = Run(self._field, self._folder, number, schedule, self._usual_s())
            try:
                return one.execute(self._serving)
            except CommandError as error:
                if not left:
                    raise
                print(f"run {number} is tried again: {error}", file=sys.stderr)
                self._serving = None
                with contextlib.suppress(CommandError):
                    self._field.recover()
        raise AssertionError

    def _ready(self) -> str:
        """The ME host that serves the app; brings it back where none does."""
        for attempt in (self._field.deploy, self._field.recover, self._field.force):
            if (serving := self._serving_soon()) is not None:
                return serving
            # Where one way does not lead back, the next does.
            with contextlib.suppress(CommandError):
                attempt()
        if (serving := self._serving_soon()) is None:
            raise CommandError("The app cannot be brought back: run `make down` and `make up`.")
        return serving

    def _serving_soon(self) -> str | None:
        """The ME host that serves the app; one whose services were restarted takes its time."""
        deadline_s = time.monotonic() + _PATIENCE_S[self._field.platform]
        while (serving := self._field.serving()) is None and time.monotonic() < deadline_s:
            time.sleep(1)
        return serving

    def _set_aside(self, number: int) -> None:
        """What an interrupted run of this number has left is no part of the next."""
        for left in self._folder.glob(f"run-{number:04d}-*"):
            left.rename(left.with_name(f"interrupted-{time.time_ns()}-{left.name}"))

    def _usual_s(self) -> float:
        usual = [run["handoff_s"] for run in self._runs if not run["failed"]]
        return statistics.median(usual) if usual else _USUAL_S

    def _keep(self, known: dict[str, Any]) -> None:
        self._runs.append(known)
        with (self._folder / "chaos.jsonl").open("a", encoding="utf-8") as out:
            out.write(json.dumps(known) + "\n")


def _line(result: Result) -> str:
    verdict = result.verdict
    faults = " and ".join(str(blow.fault) for blow in result.blows)
    what = f"{result.schedule.scenario} {result.source} -> {result.target}, {faults}"
    away = "for good" if verdict.away_s is None else f"for {verdict.away_s:.2f} s"
    if verdict.failed:
        wrong = "; ".join(f"{kind}: {found[0]}" for kind, found in verdict.wrong.items())
        ended = f"FAILED (seed {result.schedule.seed}): {wrong}"
    else:
        ended = f"{verdict.outcome or 'nothing moved'}, serves on {verdict.serves_on}"
    took = f"{verdict.acknowledged} writes, {result.took_s:.0f} s"
    return f"{what}: {ended}; away {away}, {took}."


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min"


def _report(folder: Path) -> int:
    runs = report.read(folder)
    if not runs:
        print(f"mec_chaos: {folder} has no runs", file=sys.stderr)
        return 1
    tables = [report.by_kind(runs), report.failures(runs)]
    page = folder / "report.md"
    page.write_text(report.as_markdown(folder.name, tables), encoding="utf-8")
    for table in tables:
        print(as_text(table))
    print(page)
    return 1 if any(known["failed"] for known in runs) else 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="mec_chaos", description="Hand off with faults in between, and judge each run."
    )
    parser.add_argument("--count", type=int, default=10, metavar="N", help="runs; 0: report alone")
    parser.add_argument("--seed", type=int, metavar="N", help="of every run; default: the commit's")
    parser.add_argument(
        "--schedule",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="one run of each of these, as schedule.json of an earlier run has it",
    )
    parser.add_argument("--platform", choices=["docker", "kubernetes"], default="docker")
    parser.add_argument(
        "--kinds", nargs="+", choices=KINDS, default=(), help="of faults; default: all"
    )
    parser.add_argument("--run", help="the results folder's name; default: of platform and commit")
    parser.add_argument(
        "--hosts",
        choices=HAS,
        help="with disks and clocks of their own for these runs, from now on, or without; default: "
        "prepared, on Kubernetes plain",
    )
    parser.add_argument("--ue", default="ue1")
    options = parser.parse_args(arguments)
    if options.hosts is None:
        # The data of its engine cannot be moved from under a kubelet.
        options.hosts = "plain" if options.platform == "kubernetes" else "prepared"
    return options


if __name__ == "__main__":
    sys.exit(main())
