"""Runs that were started ahead, and wait for the word.

Ansible takes seconds to start and to ask the hosts. For a handoff that is announced all of this is
done before its time: such a run has its plan, has moved nothing, and waits at a pipe. Whatever
else is to happen to its UE or its apps ends it first.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from .runner import End, Job, Progress, new_run

# What the run has found when it made its plan is not true for ever.
USEFUL_S = 60.0

Tell = Callable[[Progress], None]
Start = Callable[[Job, Tell, Callable[[], bool]], Awaitable[End]]


class Word:
    """A pipe at which a run waits. It has the word at once, also where it comes there later."""

    def __init__(self, folder: Path, run: str) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path = folder / f"{run}.word"
        os.mkfifo(self.path, 0o600)
        # Both ends: to open the other one alone would wait for the run.
        self._pipe = os.open(self.path, os.O_RDWR)

    def give(self, asked_s: float) -> None:
        """Let the run go on: the handoff was asked for at that time."""
        os.write(self._pipe, f"{asked_s:.3f}\n".encode())

    def close(self) -> None:
        """No word comes any more."""
        os.close(self._pipe)
        self.path.unlink(missing_ok=True)


@dataclass
class Ready:
    """A run that waits, or that was given its word."""

    job: Job
    word: Word
    useful_until_s: float
    planned: Callable[[], None]
    told: list[Progress] = field(default_factory=list)
    tell: Tell | None = None
    cancelled: Callable[[], bool] = lambda: False
    ended: bool = False
    end: asyncio.Task[End] | None = None

    def hear(self, progress: Progress) -> None:
        """Keep what the run tells until somebody asks for it."""
        if progress.kind == "plan":
            self.planned()
        (self.told.append if self.tell is None else self.tell)(progress)

    async def go(self, asked_s: float, tell: Tell, cancelled: Callable[[], bool]) -> End:
        """Give the word, and wait for the end."""
        self.tell, self.cancelled = tell, cancelled
        for progress in self.told:
            tell(progress)
        self.word.give(asked_s)
        assert self.end is not None  # noqa: S101 started with it
        return await self.end


class ReadyRuns:
    """The runs that wait, one of a UE.

    Args:
        start: runs a job, and tells in the event loop, as everything here.
        folder: where the pipes are.
        limit: how many may wait at a time.
    """

    def __init__(self, start: Start, folder: Path, limit: int) -> None:
        self._start = start
        self._folder = folder
        self._limit = limit
        self._waiting: dict[str, Ready] = {}

    def add(self, job: Job, planned: Callable[[], None]) -> None:
        """Start one for the handoff that was prepared for; `planned` is called when it waits."""
        if job.ue in self._waiting or len(self._waiting) >= self._limit:
            return
        run = new_run()
        word = Word(self._folder, run)
        job = replace(job, run=run, ho_status="IN_EXECUTION", word=word.path)
        ready = Ready(job, word, time.monotonic() + USEFUL_S, planned)
        self._waiting[job.ue] = ready

        def stopped() -> bool:
            late = ready.tell is None and time.monotonic() > ready.useful_until_s
            return ready.ended or late or ready.cancelled()

        async def run_it() -> End:
            try:
                return await self._start(job, ready.hear, stopped)
            finally:
                word.close()
                if self._waiting.get(job.ue) is ready:
                    del self._waiting[job.ue]

        ready.end = asyncio.get_running_loop().create_task(run_it())

    async def take(self, job: Job) -> Ready | None:
        """The run that waits for this, if there is one; those that are in its way are ended."""
        found = self._waiting.get(job.ue)
        if found is not None and _same(found.job, job):
            del self._waiting[job.ue]
        else:
            found = None
        await self._end(
            ready
            for ready in self._waiting.values()
            if ready.job.ue == job.ue or set(ready.job.apps) & set(job.apps)
        )
        return found

    async def close(self) -> None:
        """End them all."""
        await self._end(self._waiting.values())

    async def _end(self, runs: Iterable[Ready]) -> None:
        ending = list(runs)
        for ready in ending:
            ready.ended = True
        await asyncio.gather(*(ready.end for ready in ending if ready.end), return_exceptions=True)


def _same(ready: Job, asked: Job) -> bool:
    """Whether a run that waits does what is asked for."""
    return (
        asked.ho_status == "IN_EXECUTION"
        and (ready.target_cell, ready.apps) == (asked.target_cell, asked.apps)
        and asked.source_cell in (None, ready.source_cell)
    )
