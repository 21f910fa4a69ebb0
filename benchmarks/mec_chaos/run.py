# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One run: a handoff, the faults of its schedule, and what became of it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mec_bench.site import CommandError

from . import history
from .beats import overlaps
from .faults import command
from .field import Field, Play, as_lines
from .history import Write, write_of
from .judge import Seen, Verdict, judge
from .schedule import Fault, Schedule

# Within which the app serves again after the last fault.
BOUND_S = {"docker": 30.0, "kubernetes": 60.0}
WRITERS = 6
_BEGIN_S = 15.0
_PLAY_S = 240.0
# The app is looked at so often, and for so long when all is over: what serves goes on serving.
_QUIET_S = 1.0
# A record may come a little after the service.
_SETTLE_S = 5.0
_LOOK_S = 0.05


@dataclass
class Blow:
    """A fault, and what came of it; `after` says how many changes each host had seen before it."""

    fault: Fault
    began_s: float | None = None
    ended_s: float | None = None
    said: str = ""
    after: dict[str, int] = field(default_factory=dict)


@dataclass
class Result:
    """A run, as it is kept."""

    number: int
    schedule: Schedule
    source: str
    target: str
    blows: list[Blow]
    handoff_s: float
    took_s: float
    verdict: Verdict
    plays: list[int] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """One line of chaos.jsonl."""
        return {
            "number": self.number,
            **self.schedule.as_json(),
            "source": self.source,
            "target": self.target,
            "struck": [
                {
                    "kind": blow.fault.kind,
                    "began_s": blow.began_s,
                    "ended_s": blow.ended_s,
                    "after": blow.after,
                    "said": blow.said,
                }
                for blow in self.blows
            ],
            "handoff_s": round(self.handoff_s, 3),
            "took_s": round(self.took_s, 3),
            "plays": self.plays,
            "failed": self.verdict.failed,
            "verdict": self.verdict.as_json(),
        }


class Run:
    """One run. `usual_s`: how long a handoff takes without a fault."""

    def __init__(
        self, field: Field, folder: Path, number: int, schedule: Schedule, usual_s: float
    ) -> None:
        self._field = field
        self._number = number
        self._schedule = schedule
        self._usual_s = usual_s
        self._folder = folder / f"run-{number:04d}-{schedule.seed}"
        # Of this very run: an interrupted one of the same number may have left one.
        self._journal = f"r{number}-{schedule.seed}-{time.time_ns():x}"
        self._message: dict[str, str] = {}
        self._broken: set[str] = set()
        self._starting = threading.Lock()
        self._plays: list[Play] = []
        self._over = threading.Event()
        self._interrupted = threading.Event()
        self._blows = [Blow(fault) for fault in schedule.faults]

    def execute(self, source: str) -> Result:
        """Hand off from an ME host to the other one, and judge.

        Raises:
            CommandError: the testbed is not as it should be before the handoff, or has to be asked
                in vain after it.
        """
        began_s, since = time.monotonic(), time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
        field, target = self._field, self._field.other(source)
        self._folder.mkdir(parents=True)
        self._write("schedule.json", json.dumps(self._schedule.as_json(), indent=1) + "\n")
        field.attach(source)
        field.sync()
        before = set(field.records())
        for hand in field.hands.values():
            hand.forget()
        with field.writers.writing(self._journal, WRITERS):
            if not self._soon(lambda: bool(self._writes(acknowledged=True)), _BEGIN_S):
                raise CommandError(f"The app does not acknowledge anything on {source}.")
            # What an earlier power cut has broken, which nobody had synced, stays broken.
            self._broken = self._complaints()
            handed_s = self._hand_off(source, target)
            bound_s = BOUND_S[field.platform]
            faults_ended_s = max((blow.ended_s or 0.0 for blow in self._blows), default=0.0)
            serves = self._serves_for_good(faults_ended_s, bound_s)
            if serves:
                self._soon(lambda: self._is_told(before), _SETTLE_S)
            until_s = time.monotonic()
        for blow in self._blows:
            blow.after = {
                name: sum(at_s < (blow.began_s or 0.0) for at_s, _, _ in hand.changes)
                for name, hand in field.hands.items()
            }
        seen = self._seen(source, target, before, faults_ended_s, until_s, serves)
        verdict = judge(seen, bound_s)
        result = Result(
            self._number,
            self._schedule,
            source,
            target,
            self._blows,
            handed_s,
            time.monotonic() - began_s,
            verdict,
            [play.process.returncode for play in self._plays],
        )
        self._write("writes.jsonl", as_lines(field.writers.said))
        if verdict.failed:
            self._keep(seen, since)
        else:
            with contextlib.suppress(CommandError):
                field.ask("DELETE", f"/entries/{self._journal}")
            for file in (self._folder / "writes.jsonl", self._folder / "schedule.json"):
                file.unlink()
        self._write("run.json", json.dumps(result.as_json(), indent=1) + "\n")
        return result

    # -- the handoff and its faults ---------------------------------------------------------

    def _hand_off(self, source: str, target: str) -> float:
        """Hand off while the faults strike; returns how long the playbooks took."""
        began_s = time.monotonic()
        hosts = {"source": source, "target": target}
        threads = [
            threading.Thread(target=self._strike, args=(blow, hosts, began_s), daemon=True)
            for blow in self._blows
        ]
        for thread in threads:
            thread.start()
        try:
            for message in _MESSAGES[self._schedule.scenario]:
                self._message = message
                self._wait_for(self._start(target, **self._message))
            took_s = time.monotonic() - began_s
            self._over.set()
            for thread in threads:
                thread.join(_PLAY_S)
            # Those that faults have started.
            for play in list(self._plays):
                self._wait_for(play)
        except BaseException:
            # A host that is without power gets it back before anything else.
            self._interrupted.set()
            self._over.set()
            for thread in threads:
                thread.join(_PLAY_S)
            raise
        finally:
            for play in self._plays:
                _kill(play)
        return took_s

    def _start(self, host: str, **message: str) -> Play:
        with self._starting:
            log = self._folder / f"playbook-{len(self._plays) + 1}.log"
            play = self._field.hand_off(host, log, self._folder.name, **message)
            self._plays.append(play)
            return play

    def _wait_for(self, play: Play) -> None:
        if not self._soon(play.ended, _PLAY_S):
            _kill(play)

    def _strike(self, blow: Blow, hosts: dict[str, str], began_s: float) -> None:
        """Wait for the moment of a fault, and let it strike; what goes wrong is noted."""
        moment = blow.fault.moment
        if moment.change:
            hand = self._field.hands[hosts[moment.host]]
            if not hand.wait_for_change(moment.change, self._over.is_set):
                blow.said = "The change did not come. "
            wait_s = moment.after_s
        else:
            wait_s = max(0.0, began_s + moment.fraction * self._usual_s - time.monotonic())
        if self._interrupted.wait(wait_s):
            return
        blow.began_s = time.monotonic()
        try:
            if blow.fault.place == "controller":
                self._strike_controller(blow.fault, hosts)
            elif blow.fault.kind == "power":
                self._lose_power(blow, hosts[blow.fault.place])
            else:
                self._strike_host(blow, hosts[blow.fault.place])
        except (CommandError, OSError) as error:
            blow.said += f"{error}"
        blow.ended_s = blow.ended_s or time.monotonic()

    def _strike_host(self, blow: Blow, host: str) -> None:
        struck = self._field.hands[host].strike(command(blow.fault, self._field.grounds[host]))
        blow.began_s, blow.ended_s = struck.began_s, struck.ended_s
        blow.said += struck.said.strip()
        if struck.status:
            blow.said += f" (status {struck.status})"

    def _lose_power(self, blow: Blow, host: str) -> None:
        container = self._field.containers[host]
        container.power_off()
        time.sleep(blow.fault.lasts_s)
        blow.ended_s = container.power_on()
        self._field.hands[host].reach_out()
        # Whatever else has struck it and did not live to end it.
        self._field.heal(host)

    def _strike_controller(self, fault: Fault, hosts: dict[str, str]) -> None:
        if fault.kind == "controller-killed":
            for play in self._plays:
                _kill(play)
        elif fault.kind == "repeated":
            self._start(hosts["target"], **self._message)
        else:
            self._start(hosts["source"])

    # -- what became of it ------------------------------------------------------------------

    def _writes(self, *, acknowledged: bool = False) -> list[Write]:
        writes = [write_of(said) for said in self._field.writers.said]
        return [write for write in writes if write.acknowledged or not acknowledged]

    def _serves_for_good(self, faults_ended_s: float, bound_s: float) -> bool:
        """Wait until the app serves and goes on doing so; tells whether it does in time."""
        while True:
            time.sleep(_QUIET_S)
            now_s = time.monotonic()
            acknowledged = self._writes(acknowledged=True)
            last_s = max(write.ended_s for write in acknowledged)
            since_s = max(faults_ended_s, now_s - 2 * _QUIET_S)
            if history.away_s(acknowledged, since_s, now_s) is not None and last_s > since_s:
                return True
            if now_s > max(faults_ended_s, last_s) + bound_s:
                return False

    def _is_told(self, before: set[str]) -> bool:
        records = self._records(before)
        fences = any('"relocating"' in text for _, _, text in self._changes())
        return not fences or (bool(records) and records[-1]["outcome"] != "uncertain")

    def _changes(self) -> list[tuple[float, str, str]]:
        return [change for hand in self._field.hands.values() for change in hand.changes]

    def _records(self, before: set[str]) -> list[dict[str, Any]]:
        """The records that this run has made, the newest last."""
        fresh = [json.loads(line) for line in self._field.records() if line not in before]
        return sorted(fresh, key=lambda record: str(record["time"]))

    def _seen(
        self,
        source: str,
        target: str,
        before: set[str],
        faults_ended_s: float,
        until_s: float,
        serves: bool,
    ) -> Seen:
        field = self._field
        journals, slots, complaints = [], None, []
        if serves:
            try:
                journals = [field.ask("GET", f"/entries/{self._journal}").encode()]
                slots = json.loads(field.ask("GET", "/slots"))
                del slots["instance"]
                complaints = sorted(self._complaints() - self._broken)
            except CommandError:
                serves = False
        writes = self._writes()
        if not serves:
            # Nobody serves: nothing is lost that one of the hosts has.
            journals = [field.journal_on(host, self._journal) for host in field.cells]
        try:
            survey, gateways = field.survey()
        except CommandError:
            survey, gateways = {}, {}
        return Seen(
            kinds=[fault.kind for fault in self._schedule.faults],
            source=source,
            target=target,
            writes=writes,
            journal=min(journals, key=lambda journal: len(history.lost(writes, journal))),
            slots=slots,
            complaints=complaints,
            overlaps=overlaps(beat for hand in field.hands.values() for beat in hand.beats),
            beating={
                instance: host for host, hand in field.hands.items() for instance, _ in hand.beats
            },
            faults_ended_s=faults_ended_s,
            until_s=until_s,
            records=self._records(before),
            told=any('"relocating"' in text for _, _, text in self._changes()),
            survey=survey,
            gateways=gateways,
        )

    def _complaints(self) -> set[str]:
        """What the instance that serves has not found whole when it was activated."""
        complaints: list[str] = json.loads(self._field.ask("GET", "/complaints"))["complaints"]
        return set(complaints)

    def _keep(self, seen: Seen, since: str) -> None:
        """What shows why it failed."""
        self._write("journal.txt", seen.journal.decode(errors="replace"))
        self._write("records.jsonl", as_lines(seen.records))
        self._write(
            "survey.json", json.dumps({"apps": seen.survey, "gateways": seen.gateways}, indent=1)
        )
        for host, hand in self._field.hands.items():
            changes = [
                {"at_s": at_s, "file": file, "text": text} for at_s, file, text in hand.changes
            ]
            self._write(f"{host}-changes.jsonl", as_lines(changes))
            self._write(f"{host}-beats.json", json.dumps(hand.beats) + "\n")
        for name, text in self._field.evidence(since).items():
            self._write(name, text)

    def _write(self, name: str, text: str) -> None:
        (self._folder / name).write_text(text, encoding="utf-8")

    @staticmethod
    def _soon(true: Callable[[], bool], within_s: float) -> bool:
        deadline_s = time.monotonic() + within_s
        while not true():
            if time.monotonic() > deadline_s:
                return False
            time.sleep(_LOOK_S)
        return True


# The messages of a scenario, each a playbook.
_MESSAGES: dict[str, tuple[dict[str, str], ...]] = {
    "proactive": ({},),
    "announced": ({"ho_status": "in_preparation"}, {"ho_status": "in_execution"}),
    "reactive": ({"ho_status": "in_execution", "handoff_policy": "reactive"},),
}


def _kill(play: Play) -> None:
    """End a playbook as a controller ends that loses its power."""
    if not play.ended():
        with contextlib.suppress(ProcessLookupError):
            os.killpg(play.process.pid, signal.SIGKILL)
        play.process.wait()
