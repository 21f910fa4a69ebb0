"""The queue of handoffs: one of a UE, and one of an app, at a time."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from .config import Config
from .ends import ends, settled
from .events import Events
from .log import Log
from .messages import HandoffMessage, Listener, Relocation
from .mobility import Mobility
from .ready import ReadyRuns
from .runner import End, Job, Progress, RunError, Runner, new_run, read_records
from .store import Store, dumps

_STOP_S = 30.0
_LOOK_S = 0.5
# A lease ends 15 s after the last sign of life of a handoff.
_LOOK_AGAIN_S = 2.0
_LOOKS = 10
# How long after one another the ME hosts are asked about a relocation whose end is not known:
# first soon, for most of them end within seconds; then once a minute, for a day.
_FOLLOW_FIRST_S = 1.5
_FOLLOW_MOST_S = 60.0
_FOLLOW_S = 86400.0
_SETTLES = (
    "it is settled as soon as the ME hosts see each other. Only if one of them is gone for good: "
    "ansible-playbook playbooks/settle.yml -e app=... -e keep=... -e dead=..."
)
# Messages that ask for what an earlier one, which still waits, was to prepare not to be done.
_TAKES_BACK = ("CANCELLED", "REJECTED")


class QueueFull(Exception):
    """Too many handoffs wait already."""


class NotThere(Exception):
    """There is no such handoff, or it has ended."""


class HandoffQueue:
    """Keeps handoffs on disk, and runs them.

    A handoff is `queued`, `running`, and then `completed`, `failed`, `cancelled` or `uncertain`.
    What its relocations came to is read from their records, also where the run was interrupted. One
    that was interrupted is never started again: nobody knows here what it has done. `uncertain` is
    not the last word: the ME hosts settle it among themselves, and are asked until they have.
    """

    def __init__(
        self,
        config: Config,
        store: Store,
        events: Events,
        log: Log,
        mobility: Mobility,
        listener: Listener,
        runner: Runner,
    ) -> None:
        self._config = config
        self._store = store
        self._events = events
        self._log = log
        self._mobility = mobility
        self._listener = listener
        self._runner = runner
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._cancelled: set[int] = set()
        self._stopping = False
        self._surveying = asyncio.Lock()
        self._following: asyncio.Task[None] | None = None
        self._pauses: Iterator[float] = iter(())
        self._woken = asyncio.Event()
        # Those that run, those that wait for their word, and the survey.
        self._threads = ThreadPoolExecutor(2 * config.handoffs.parallel + 1, "run")
        self._ready = ReadyRuns(self._start, config.state_dir / "runs", config.handoffs.parallel)

    async def start(self) -> None:
        """Go on where the last process ended."""
        for row in self._store.rows("SELECT id FROM handoffs WHERE state = 'running'"):
            self._spawn(row["id"], interrupted=True)
        self._follow_up()
        self._dispatch()

    async def stop(self) -> None:
        """Let what runs end, for a while; then cancel it."""
        self._stopping = True
        if self._tasks:
            await asyncio.wait(list(self._tasks.values()), timeout=_STOP_S)
        self._cancelled |= set(self._tasks)
        if self._tasks:
            await asyncio.wait(list(self._tasks.values()))
        self._woken.set()
        if self._following:
            await asyncio.wait([self._following])
        await self._ready.close()
        self._threads.shutdown()

    def submit(
        self, message: HandoffMessage, origin: str, key: str | None = None
    ) -> dict[str, Any]:
        """Accept a handoff message, whose names are known to be right; returns the handoff.

        A message that comes again under the same `key` is the same handoff.
        """
        if key is not None:
            known = self._store.row("SELECT id FROM handoffs WHERE key = ?", (key,))
            if known:
                return self.handoff(known["id"])
        waiting = self._store.count("SELECT count(*) FROM handoffs WHERE state = 'queued'")
        if waiting >= self._config.handoffs.queued_max:
            raise QueueFull
        now_s = time.time()
        before = self._mobility.location(message.ue)
        source_cell = message.source_cell or (before.cell if before else None)
        with self._store.transaction():
            if message.ho_status in _TAKES_BACK:
                self._take_back(message)
            number = self._store.insert(
                "INSERT INTO handoffs (key, run, ue, source_cell, target_cell, ho_status, apps,"
                " state, origin, asked_s, expected_s)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, 'queued', ?, ?, ?)",
                (
                    key,
                    new_run(),
                    message.ue,
                    message.source_cell,
                    message.target_cell,
                    message.ho_status,
                    dumps(self._config.apps_of(message.ue)),
                    origin,
                    now_s,
                    None if message.expected_in_s is None else now_s + message.expected_in_s,
                ),
            )
            self._listener.announced(message, source_cell)
            self._tell(number)
            self._log.info(
                "handoff asked for",
                handoff=number,
                ue=message.ue,
                target_cell=message.target_cell,
                ho_status=message.ho_status,
                origin=origin,
            )
        self._dispatch()
        return self.handoff(number)

    def cancel(self, number: int) -> dict[str, Any]:
        """Take a handoff that waits out of the queue, or have a running one stopped."""
        state = self.handoff(number)["state"]
        if state == "queued":
            self._change(number, state="cancelled", ended_s=time.time())
        elif state == "running":
            self._cancelled.add(number)
        else:
            raise NotThere
        self._dispatch()
        return self.handoff(number)

    def handoff(self, number: int) -> dict[str, Any]:
        """One handoff; raises NotThere."""
        row = self._store.row("SELECT * FROM handoffs WHERE id = ?", (number,))
        if row is None:
            raise NotThere
        return _public(row)

    def handoffs(self, limit: int) -> list[dict[str, Any]]:
        """The newest handoffs."""
        rows = self._store.rows("SELECT * FROM handoffs ORDER BY id DESC LIMIT ?", (limit,))
        return [_public(row) for row in rows]

    def relocations(self, limit: int) -> list[dict[str, Any]]:
        """The newest relocation records."""
        rows = self._store.rows(
            "SELECT number, handoff, record FROM relocations ORDER BY number DESC LIMIT ?",
            (limit,),
        )
        return [
            {
                **json.loads(row["record"]),
                "rlapp_handoff": row["handoff"],
                "rlapp_number": row["number"],
            }
            for row in rows
        ]

    def instances(self) -> list[dict[str, Any]]:
        """The instances of all apps, as they were last seen."""
        return self._store.rows("SELECT * FROM instances ORDER BY app, me_host")

    async def survey(self) -> dict[str, dict[str, Any]]:
        """Ask the ME hosts, and keep what they answer."""
        loop = asyncio.get_running_loop()
        async with self._surveying:
            answers = await loop.run_in_executor(self._threads, self._runner.survey)
        with self._store.transaction():
            for me_host, answer in answers.items():
                for app, seen in answer.get("apps", {}).items():
                    self._seen(app, me_host, seen.get("instance"), seen["state"])
        return answers

    def _take_back(self, message: HandoffMessage) -> None:
        for row in self._store.rows(
            "SELECT id FROM handoffs WHERE state = 'queued' AND ue = ? AND target_cell = ?"
            " AND ho_status = 'IN_PREPARATION'",
            (message.ue, message.target_cell),
        ):
            self._change(row["id"], state="cancelled", ended_s=time.time())

    def _dispatch(self) -> None:
        """Start what may start, in order: whoever waits keeps its UE and apps from later ones."""
        if self._stopping:
            return
        busy: set[tuple[str, str]] = set()
        rows = self._store.rows(
            "SELECT id, ue, apps, state FROM handoffs WHERE state IN ('queued', 'running')"
            " ORDER BY state = 'queued', id"
        )
        running = sum(row["state"] == "running" for row in rows)
        for row in rows:
            needs = {("ue", row["ue"]), *(("app", app) for app in json.loads(row["apps"]))}
            free = not needs & busy
            busy |= needs
            if row["state"] == "queued" and free and running < self._config.handoffs.parallel:
                running += 1
                self._change(row["id"], state="running", started_s=time.time())
                self._spawn(row["id"], interrupted=False)

    def _spawn(self, number: int, *, interrupted: bool) -> None:
        work = self._find_out(number) if interrupted else self._run(number)
        task = asyncio.get_running_loop().create_task(work)
        self._tasks[number] = task
        task.add_done_callback(lambda done: self._done(number, done))

    def _done(self, number: int, task: asyncio.Task[None]) -> None:
        del self._tasks[number]
        self._cancelled.discard(number)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._log.error("a handoff could not be followed", handoff=number, error=repr(error))
            with self._store.transaction():
                for item in _executed(self.handoff(number)):
                    self._store.execute(
                        "INSERT OR IGNORE INTO ends VALUES (?, ?, 'uncertain')",
                        (number, item["app"]),
                    )
                self._change(number, state="uncertain", error=str(error), ended_s=time.time())
            self._follow_up()
        self._dispatch()

    async def _run(self, number: int) -> None:
        row = self.handoff(number)
        job = _job(row)

        def tell(progress: Progress) -> None:
            self._progress(number, progress)

        def cancelled() -> bool:
            return number in self._cancelled

        ready = await self._ready.take(job)
        if ready is None:
            end = await self._start(job, tell, cancelled)
        else:
            job = ready.job
            self._change(number, run=job.run)
            end = await ready.go(row["asked_s"], tell, cancelled)
        # A task that was under way on a host is not stopped by that.
        stopped = end.status in ("canceled", "timeout")
        if stopped and not await self._is_over(job.run):
            return
        await self._conclude(number, end)

    async def _start(
        self, job: Job, tell: Callable[[Progress], None], cancelled: Callable[[], bool]
    ) -> End:
        """Run a job in a thread; what it tells is told in the event loop."""
        loop = asyncio.get_running_loop()

        def tell_from_thread(progress: Progress) -> None:
            loop.call_soon_threadsafe(tell, progress)

        try:
            return await loop.run_in_executor(
                self._threads, self._runner.hand_off, job, tell_from_thread, cancelled
            )
        except RunError as error:
            return End("failed", str(error))

    async def _is_over(self, run: str) -> bool:
        """Wait until nothing of a run is left; False where the service ends before that."""
        loop = asyncio.get_running_loop()
        while await loop.run_in_executor(self._threads, self._runner.is_running, run):
            if self._stopping:
                return False
            await asyncio.sleep(_LOOK_S)
        return True

    async def _find_out(self, number: int) -> None:
        """Say of a handoff that an earlier process ran how it ended."""
        if not await self._is_over(self.handoff(number)["run"]):
            return
        self._log.warning("a handoff was interrupted; asking what became of it", handoff=number)
        await self._conclude(number, None)

    async def _conclude(self, number: int, end: End | None) -> None:
        """Keep how a handoff ended: what the records say, and where the apps are without one."""
        row = self.handoff(number)
        records = await self._records(row)
        planned = _executed(row)
        silent = [item for item in planned if item["app"] not in records]
        outcomes: dict[str, str] = {}
        if silent or end is None:
            found, outcomes = ends(silent, await self._look(silent), row)
            records |= found
        outcomes |= {app: record["outcome"] for app, record in records.items()}
        state, error = _verdict(row, outcomes, end)
        with self._store.transaction():
            for record in records.values():
                self._keep_record(number, record)
            self._tell_ends(row, planned, outcomes)
            self._change(number, state=state, error=error, ended_s=time.time())
        if state == "completed" and row["ho_status"] == "IN_PREPARATION" and not self._stopping:
            # Announced in time is what finds a run that waits for it.
            self._ready.add(
                _job(row), lambda: self._mobility.prepared(time.time() - row["asked_s"])
            )
        level = self._log.info if state == "completed" else self._log.warning
        level(f"handoff {state}", handoff=number, ue=row["ue"], error=error)
        if state == "uncertain":
            self._follow_up()

    async def _records(self, row: dict[str, Any]) -> dict[str, dict[str, Any]]:
        """The newest record of each app that the run of a handoff has relocated."""
        folder = self._config.handoffs.results_dir
        records = await asyncio.to_thread(read_records, folder, row["run"])
        return {record["app"]: record for record in records}

    async def _look(self, planned: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
        """Ask the ME hosts about relocations that left no record here.

        While somebody works on an app, or a lease is held, the relocation, or what undoes it, may
        still be under way.
        """
        for _ in range(_LOOKS):
            answers = await self._ask()
            seen = [
                answer.get("apps", {}).get(item["app"], {})
                for answer in answers.values()
                for item in planned
            ]
            if not any(app.get("busy") or app.get("lease") for app in seen):
                break
            await asyncio.sleep(_LOOK_AGAIN_S)
        return answers

    async def _ask(self) -> dict[str, dict[str, Any]]:
        """What the ME hosts answer: nothing where they cannot be asked."""
        try:
            return await self.survey()
        except RunError as error:
            self._log.error("the ME hosts could not be asked", error=str(error))
            return {}

    def _follow_up(self) -> None:
        """Begin, or begin again, to ask about what is uncertain."""
        self._pauses = _pauses()
        self._woken.set()
        if self._following is None or self._following.done():
            self._following = asyncio.get_running_loop().create_task(self._follow())

    async def _follow(self) -> None:
        while not self._stopping and (uncertain := self._uncertain()):
            self._woken.clear()
            pause_s = next(self._pauses, None)
            if pause_s is None:
                self._log.warning(f"how handoffs ended is still not known: {_SETTLES}")
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), pause_s)
                continue
            try:
                answers = await self._ask()
                for number, apps in uncertain.items():
                    await self._settle(number, apps, answers)
            except Exception as error:  # the next look may go better
                self._log.error("what is uncertain could not be followed", error=repr(error))

    def _uncertain(self) -> dict[int, set[str]]:
        """The handoffs whose end is not known, each with the apps that it is not known of."""
        found: dict[int, set[str]] = {}
        for row in self._store.rows("SELECT handoff, app FROM ends WHERE outcome = 'uncertain'"):
            found.setdefault(row["handoff"], set()).add(row["app"])
        return found

    async def _settle(
        self, number: int, apps: set[str], answers: dict[str, dict[str, Any]]
    ) -> None:
        """Keep and tell what has become known of the relocations of a handoff since it ended."""
        row = self.handoff(number)
        planned = [item for item in _executed(row) if item["app"] in apps]
        found, outcomes = ends(planned, answers, row)
        # A later handoff may have told it in the folder of this one.
        found |= {
            app: record
            for app, record in (await self._records(row)).items()
            if app in apps and record["outcome"] != "uncertain"
        }
        outcomes |= {app: record["outcome"] for app, record in found.items()}
        known = [item for item in planned if outcomes[item["app"]] != "uncertain"]
        if not known:
            return
        with self._store.transaction():
            for item in known:
                app, record = item["app"], self._kept_record(item)
                if app in found:
                    self._keep_record(number, found[app])
                elif record:
                    self._keep_record(number, settled(record, item, outcomes[app]))
            self._tell_ends(row, known, outcomes)
            state, error = self._settled_verdict(number, row["error"])
            self._change(number, state=state, error=error)
        self._log.info(f"handoff {state} after all", handoff=number, ue=row["ue"], error=error)

    def _kept_record(self, item: dict[str, Any]) -> dict[str, Any] | None:
        kept = self._store.row(
            "SELECT record FROM relocations WHERE id = ? AND app = ?",
            (item["handoff"], item["app"]),
        )
        record: dict[str, Any] | None = kept and json.loads(kept["record"])
        return record

    def _settled_verdict(self, number: int, error: str | None) -> tuple[str, str | None]:
        rows = self._store.rows("SELECT outcome FROM ends WHERE handoff = ?", (number,))
        outcomes = {row["outcome"] for row in rows}
        if "uncertain" in outcomes:
            return "uncertain", error
        if outcomes == {"completed"}:
            return "completed", None
        return "failed", f"{error} It has ended since, and not every app has moved."

    def _tell_ends(
        self, row: dict[str, Any], planned: list[dict[str, Any]], outcomes: dict[str, str]
    ) -> None:
        """Keep how relocations ended, and tell those who wait for it, each once."""
        for item in planned:
            app, outcome = item["app"], outcomes[item["app"]]
            self._store.execute(
                "INSERT OR REPLACE INTO ends VALUES (?, ?, ?)", (row["id"], app, outcome)
            )
            if outcome != "uncertain":
                relocation = _relocation(row["ue"], item, self._kept_record(item))
                self._listener.relocated(relocation, outcome == "completed")

    def _progress(self, number: int, progress: Progress) -> None:
        """Keep what a run tells. In the event loop."""
        row = self.handoff(number)
        if progress.kind == "task":
            self._change(number, phase=progress.data["task"])
        elif progress.kind == "phase":
            self._events.publish("phase", handoff=number, **progress.data)
        elif progress.kind == "moved":
            self._mobility.move(row["ue"], row["target_cell"])
        else:
            if progress.data.get("move_ue"):
                self._mobility.moving(row["ue"], row["target_cell"])
            with self._store.transaction():
                self._change(number, plan=dumps(progress.data))
                for item in _executed({**row, "plan": progress.data}):
                    self._listener.relocating(_relocation(row["ue"], item, None))

    def _keep_record(self, number: int, record: dict[str, Any]) -> None:
        """Keep a record; one that tells how an interrupted relocation ended replaces the first."""
        key = (record["id"], record["app"])
        kept = self._store.row(
            "SELECT number, record FROM relocations WHERE id = ? AND app = ?", key
        )
        if kept is None:
            place = self._store.insert(
                "INSERT INTO relocations (id, app, time, handoff, record) VALUES (?, ?, ?, ?, ?)",
                (*key, record["time"], number, dumps(record)),
            )
        else:
            place = kept["number"]
            # No ME host knows what the UE saw.
            seen = json.loads(kept["record"]).get("client")
            record = {**record, "client": record.get("client") or seen}
            self._store.execute(
                "UPDATE relocations SET time = ?, record = ? WHERE number = ?",
                (record["time"], dumps(record), place),
            )
        self._events.publish("relocation", handoff=number, number=place, record=record)
        level = self._log.info if record["outcome"] == "completed" else self._log.warning
        level(
            f"relocation {record['outcome']}",
            handoff=number,
            app=record["app"],
            ue=record["ue"],
            source=record["source"],
            target=record["target"],
            downtime_s=record["downtime_s"],
            error=record.get("error"),
        )
        if record["outcome"] == "completed" and record["target_instance"]:
            self._seen(record["app"], record["source"], None, "absent")
            self._seen(record["app"], record["target"], record["target_instance"], "serving")

    def _seen(self, app: str, me_host: str, instance: dict[str, str] | None, state: str) -> None:
        found = None
        if instance and state != "absent":
            found = {"name": instance["name"], "address": instance["address"], "state": state}
        kept = self._store.row(
            "SELECT name, address, state FROM instances WHERE app = ? AND me_host = ?",
            (app, me_host),
        )
        if found == kept:
            return
        self._store.execute("DELETE FROM instances WHERE app = ? AND me_host = ?", (app, me_host))
        if found:
            self._store.execute(
                "INSERT INTO instances VALUES (?, ?, ?, ?, ?)", (app, me_host, *found.values())
            )
        self._events.publish("instance", app=app, me_host=me_host, instance=found)
        self._listener.instances_changed(app)

    def _change(self, number: int, **fields: Any) -> None:
        assignments = ", ".join(f"{name} = :{name}" for name in fields)
        self._store.execute(
            f"UPDATE handoffs SET {assignments} WHERE id = :id",  # noqa: S608 our own names
            {**fields, "id": number},
        )
        self._tell(number)

    def _tell(self, number: int) -> None:
        self._events.publish("handoff", handoff=self.handoff(number))


def _job(row: dict[str, Any]) -> Job:
    """What a handoff is to run."""
    return Job(
        run=row["run"],
        ue=row["ue"],
        target_cell=row["target_cell"],
        apps=row["apps"],
        ho_status=row["ho_status"],
        source_cell=row["source_cell"],
    )


def _public(row: dict[str, Any]) -> dict[str, Any]:
    plan = row["plan"]
    return {**row, "apps": json.loads(row["apps"]), "plan": plan and json.loads(plan)}


def _executed(row: dict[str, Any]) -> list[dict[str, Any]]:
    """The relocations that the plan of a handoff executes."""
    return [item for item in (row["plan"] or {}).get("relocations", []) if item["execute"]]


def _relocation(ue: str, item: dict[str, Any], record: dict[str, Any] | None) -> Relocation:
    record = record or {}
    return Relocation(
        app=item["app"],
        ue=ue,
        source=item["source"],
        target=item["target"],
        source_instance=record.get("source_instance"),
        target_instance=record.get("target_instance"),
    )


def _pauses() -> Iterator[float]:
    pause_s, left_s = _FOLLOW_FIRST_S, _FOLLOW_S
    while left_s > 0:
        yield pause_s
        left_s -= pause_s
        pause_s = min(2 * pause_s, _FOLLOW_MOST_S)


def _verdict(
    row: dict[str, Any], outcomes: dict[str, str], end: End | None
) -> tuple[str, str | None]:
    """The state of a handoff that has ended, and what is to be said of it."""
    error = end.error if end else "RLapp was ended while this handoff ran"
    if "uncertain" in outcomes.values():
        return "uncertain", error or f"how it ended is not known yet: {_SETTLES}"
    if end is None:
        executed = _executed(row)
        done = bool(executed) and all(outcomes[item["app"]] == "completed" for item in executed)
        if not done and row["plan"] is None:
            return "uncertain", f"{error}; where the apps are now is below instances"
        return ("completed", None) if done else ("failed", error)
    if end.status == "canceled" and "completed" not in outcomes.values():
        return "cancelled", error
    if end.status == "timeout":
        return "failed", "it took too long and was stopped"
    if end.status == "failed" or "aborted" in outcomes.values():
        return "failed", error
    return "completed", None
