# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The cutover's order, and what it leaves behind when a step fails.

The hosts here note what they are asked; the steps themselves are tested on the testbed.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Generic

import pytest
from ansible_collections.mec.relocation.plugins.module_utils.ground.app import App
from ansible_collections.mec.relocation.plugins.module_utils.ground.config import HostConfig
from ansible_collections.mec.relocation.plugins.module_utils.ground.errors import RelocationError
from ansible_collections.mec.relocation.plugins.module_utils.ground.record import Record
from ansible_collections.mec.relocation.plugins.module_utils.host.lock import RELOCATION, Lock
from ansible_collections.mec.relocation.plugins.module_utils.host.me_host import MeHost
from ansible_collections.mec.relocation.plugins.module_utils.host.owner import Note, State
from ansible_collections.mec.relocation.plugins.module_utils.host.state import AppState
from ansible_collections.mec.relocation.plugins.module_utils.image.commit import Commit
from ansible_collections.mec.relocation.plugins.module_utils.platform.health import Health
from ansible_collections.mec.relocation.plugins.module_utils.platform.instance import Instance
from ansible_collections.mec.relocation.plugins.module_utils.relocation import cutover, transfer
from ansible_collections.mec.relocation.plugins.module_utils.relocation.cutover import (
    Bounds,
    Cutover,
)
from ansible_collections.mec.relocation.plugins.module_utils.relocation.transfer import (
    Proactive,
    Reactive,
    Transfer,
)
from ansible_collections.mec.relocation.plugins.module_utils.wire import steps
from ansible_collections.mec.relocation.plugins.module_utils.wire.channel import ChannelLost
from ansible_collections.mec.relocation.plugins.module_utils.wire.steps import Answer, Step
from ansible_collections.mec.relocation.tests.unit.plugins.module_utils.hosts import host_config

Journal = list[str]


ATTEMPT = 5  # the target knows of 4


class Noting:
    """A host that notes every step, and fails at those it is told to."""

    def __init__(
        self, name: str, journal: Journal, failing: dict[str, Exception], noted: str = ""
    ) -> None:
        self.name = name
        self.noted = noted or name
        self.journal = journal
        self.failing = failing
        self.refuses: set[str] = set()
        self.serves = True
        self.abandoned = Path(os.devnull)

    def begin(self, step: Step[Answer]) -> Taken[Answer]:
        to = f" to {step.host}" if isinstance(step, steps.Forward) else ""
        self.journal.append(f"{self.noted}.{step.step_name}{to}")
        return Taken(self, step)

    def stream(self, step: Step[Answer], write: Callable[[IO[bytes]], None]) -> Taken[Answer]:
        raise NotImplementedError

    def abandon(self) -> None:
        # In a process of its own, which has no descriptor of this one.
        self.abandoned.touch()

    def answer(self, step: Step[Any]) -> Any:
        place = {"name": f"videoapp-{self.name}", "address": "172.17.0.2"}
        told = {"answer": "accepted", "why": ""}
        if step.step_name in self.refuses:
            told = {"answer": "refused", "why": f"no {step.step_name}"}
        elif isinstance(step, steps.Activate | steps.Inquire):
            told["answer"] = "took"
        if isinstance(step, steps.Offer | steps.Inquire | steps.Activate):
            assert step.attempt == ATTEMPT
            return {**told, **place} if isinstance(step, steps.Activate) else told
        if isinstance(step, steps.Hold):
            # The drain asks again where it has something to wait for.
            return int("in_flight" in self.failing)
        if isinstance(step, steps.InFlight):
            return 0
        if isinstance(step, steps.Prepare):
            return {**place, "changed": True}
        if isinstance(step, steps.Pull):
            return {"image_id": "sha256:2", "bytes": 10}
        return self.serves if isinstance(step, steps.Serves) else None


class Taken(Generic[Answer]):
    """The reply of a host to a step."""

    def __init__(self, host: Noting, step: Step[Answer]) -> None:
        self.host = host
        self.step = step

    def result(self, _timeout_s: float = 0.0) -> Answer:
        if self.step.step_name in self.host.failing:
            raise self.host.failing[self.step.step_name]
        return steps.answers(self.step, self.host.answer(self.step))


class Pausing:
    """The source's platform, as far as a cutover needs it; notes what it is asked."""

    def __init__(self, journal: Journal, failing: dict[str, Exception], kept: AppState) -> None:
        self.journal = journal
        self.failing = failing
        self.kept = kept
        self.frozen = False
        self.restarts = True
        self.lives = True
        # What the note said whenever something was done.
        self.notes: dict[str, State] = {}

    def make_ready(self, _app: str) -> None:
        self.note("make_ready")

    def freeze(self, _app: str) -> None:
        self.note("freeze")
        self.frozen = True

    def thaw(self, _app: str) -> None:
        self.note("thaw")
        self.frozen = False

    def pids(self, _app: str) -> list[int]:
        return [1] if self.lives else []

    def find(self, _app: str) -> Instance:
        return Instance("videoapp-0", "0", "", "sha256:1", "sha256:1", running=self.lives)

    def start(self, _app: str) -> None:
        self.note("start")
        self.lives = True

    def post_mortem(self, _app: str) -> str | None:
        """Nothing: it has not ended."""
        return None

    def kill(self, _app: str) -> None:
        self.note("kill")
        self.lives = self.frozen = False

    def set_restarts(self, _app: str, restarts: bool) -> None:
        self.note(f"restarts_{restarts}".lower())
        self.restarts = restarts

    def note(self, what: str) -> None:
        self.journal.append(f"source.{what}")
        self.notes[what] = self.kept.note().state
        if what in self.failing:
            raise self.failing[what]


class Run:
    """A cutover between noting hosts; the source's note and lock are real."""

    def __init__(self, place: Path, *refusing: str, **failing: Exception) -> None:
        self.journal: Journal = []

        def of(host: str) -> dict[str, Exception]:
            return {
                key.removeprefix(f"{host}_"): error
                for key, error in failing.items()
                if key.startswith(f"{host}_")
            }

        config = host_config(place, "worker1", "target", "third")
        self.app = App.from_dict({"name": "videoapp", "image": "videoapp:1", "port": 80})
        self.kept = AppState(config.state_dir, "videoapp")
        self.kept.declare(self.app)
        self.kept.write(Note(State.SERVING, 3, 3, 0, 3, 3))
        self.platform = Pausing(self.journal, of("source"), self.kept)
        self.me_host = MeHost(config, self.platform)  # type: ignore[arg-type]
        self.source = Noting("worker1", self.journal, of("source"), noted="source")
        self.target = Noting("target", self.journal, of("target"))
        self.target.abandoned = place / "abandoned"
        self.third = Noting("third", self.journal, of("third"))
        self.again = Noting("again", self.journal, of("again"))
        for name in refusing:
            host, _, step = name.partition("_")
            {"target": self.target, "again": self.again}[host].refuses.add(step)
        self.record = Record(0.0, [], id="h1")
        self.copy_error = failing.get("copy")
        self.in_the_hold: Callable[[], object] = lambda: None

    def ahead(self, record: Record) -> None:
        with record.phase("volume_sync"):
            self.journal.append("pass")

    def last(self, record: Record) -> None:
        with record.phase("last_delta"):
            self.journal.append("last_delta")
            self.in_the_hold()
            if self.copy_error is not None:
                raise self.copy_error

    @contextlib.contextmanager
    def reopen(self) -> Iterator[Noting]:
        yield self.again

    def transfer(self) -> Transfer:
        return Proactive(self.app, "sha256:1", "h1", self.target, self)

    def run(self) -> dict[str, Any]:
        with Lock(self.kept.folder, "videoapp").held("h1", RELOCATION) as lock:
            Cutover(
                app=self.app,
                source=self.source,
                me_host=self.me_host,
                lock=lock,
                target=self.target,
                newest=ATTEMPT - 1,
                gateways=[self.target, self.third, self.source],
                transfer=self.transfer(),
                reopen=self.reopen,
                bounds=Bounds(),
                record=self.record,
            ).run()
        return self.record.to_dict()

    def position(self, step: str) -> int:
        return self.journal.index(step)

    @property
    def note(self) -> Note:
        return self.kept.note()

    def serves_as_before(self) -> bool:
        """Whether the source serves, its note says so, and requests go nowhere else."""
        sent = {step for step in self.journal if ".forward" in step}
        return (
            self.note.state is State.SERVING
            and self.platform.lives
            and not self.platform.frozen
            and "source.kill" not in self.journal
            and all(step.endswith(" to worker1") for step in sent)
        )


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cutover, "_INQUIRY_S", 0.02)
    monkeypatch.setattr(cutover, "_INQUIRY_PAUSE_S", 0.005)
    monkeypatch.setattr(cutover, "_SERVES_S", 0.02)


def test_the_steps_come_in_their_order(tmp_path: Path) -> None:
    run = Run(tmp_path)
    record = run.run()
    assert (record["outcome"], record["error"], record["warning"]) == ("completed", None, None)
    order = [
        "target.prepare",
        "pass",
        "target.offer",
        "source.make_ready",
        "source.restarts_false",
        "target.hold",
        "source.freeze",
        "last_delta",
        "target.activate",
        "target.forward to target",
        "source.kill",
        "target.settle",
        "source.remove",
        "target.serves",
    ]
    assert [step for step in run.journal if step in order] == order
    assert record["downtime_s"] > 0
    assert [phase["name"] for phase in record["phases"]] == [
        "prepare",
        "volume_sync",
        "fence",
        "hold",
        "drain",
        "freeze",
        "last_delta",
        "activate",
        "switch",
        "settle",
    ]
    assert record["target_instance"]["name"] == "videoapp-target"


def test_the_note_tells_at_every_moment_what_was_under_way(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.run()
    assert run.platform.notes["make_ready"] is State.SERVING
    assert run.platform.notes["freeze"] is State.RELOCATING
    # It is noted that the target has it before the instance here is ended.
    assert run.platform.notes["kill"] is State.RETIRED
    assert (run.note.known, run.note.copy, run.note.peer) == (ATTEMPT, 3, "target")


FAILURES: list[dict[str, Exception]] = [
    {"target_check_gateway": RelocationError("no backend")},
    {"target_prepare": RelocationError("no image")},
    {"target_offer": RelocationError("no room")},
    {"source_make_ready": RelocationError("no cgroup")},
    {"source_restarts_false": RelocationError("engine down")},
    {"target_hold": RelocationError("gateway down")},
    {"third_hold": RelocationError("gateway down")},
    {"target_in_flight": RelocationError("gateway down")},
    {"source_freeze": RelocationError("cannot freeze")},
    {"copy": RelocationError("disk full")},
    {"copy": KeyError("unforeseen")},
    {"target_prepare": OSError("unforeseen")},
]


@pytest.mark.parametrize("failing", FAILURES)
def test_a_failure_ends_with_the_source_serving(
    tmp_path: Path, failing: dict[str, Exception]
) -> None:
    run = Run(tmp_path, **failing)
    record = run.run()
    assert record["outcome"] == "aborted"
    assert next(iter(failing.values())).args[0] in record["error"]
    assert run.serves_as_before()
    assert "target.activate" not in run.journal
    if "source.freeze" in run.journal and "source_freeze" not in failing:
        assert run.position("source.thaw") > run.position("source.freeze")
    if "target.hold" in run.journal:
        for gateway in ("source", "target", "third"):
            assert f"{gateway}.forward to worker1" in run.journal
    # The target is no longer ready to be asked, where it may have been.
    assert ("target.withdraw" in run.journal) == ("target.offer" in run.journal)


@pytest.mark.parametrize("refused", [("target_offer",), ("target_activate",)])
def test_a_refusal_of_the_target_ends_with_the_source_serving(
    tmp_path: Path, refused: tuple[str, ...]
) -> None:
    run = Run(tmp_path, *refused)
    record = run.run()
    assert record["outcome"] == "aborted"
    assert refused[0].replace("target_", "no ") in record["error"]
    assert run.serves_as_before()
    assert run.note.floor == (ATTEMPT if refused == ("target_activate",) else 3)


@pytest.mark.parametrize("lost", [ChannelLost("closed"), RelocationError("x"), KeyError("x")])
def test_a_target_that_does_not_say_is_asked_over_a_new_channel(
    tmp_path: Path, lost: Exception
) -> None:
    run = Run(tmp_path, "again_inquire", target_activate=lost)
    record = run.run()
    assert record["outcome"] == "aborted"
    assert str(lost) in record["error"]
    # Not before the target has promised that it will not serve.
    assert run.position("again.inquire") < run.position("source.thaw")
    assert run.serves_as_before()


def test_a_target_that_took_it_before_the_channel_was_lost_keeps_it(tmp_path: Path) -> None:
    run = Run(tmp_path, target_activate=ChannelLost("closed"))
    record = run.run()
    assert record["outcome"] == "completed"
    assert "closed" in record["error"]
    assert "source.thaw" not in run.journal
    assert run.position("again.inquire") < run.position("source.kill")
    assert run.note.state is State.RETIRED


def test_a_source_that_cannot_note_it_serves_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(tmp_path, copy=RelocationError("no"))
    write = AppState.write

    def fail(kept: AppState, note: Note) -> None:
        if note.state is State.SERVING:
            raise RelocationError("disk broken")
        write(kept, note)

    monkeypatch.setattr(AppState, "write", fail)
    record = run.run()
    assert not run.platform.frozen
    assert "source.forward to worker1" in run.journal
    # The reconciler asks the target, and tells how it ended.
    assert record["outcome"] == "uncertain"
    assert "disk broken" in record["error"]
    assert run.note.state is State.RELOCATING


def test_an_abort_starts_a_source_that_has_died(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Health, "_ask", lambda *_arguments: 200)
    run = Run(tmp_path, copy=RelocationError("no"))
    run.in_the_hold = functools.partial(setattr, run.platform, "lives", False)
    assert run.run()["outcome"] == "aborted"
    assert run.position("source.start") < run.position("source.forward to worker1")
    assert run.serves_as_before()


def test_a_source_that_does_not_serve_again_is_told(tmp_path: Path) -> None:
    run = Run(tmp_path, copy=RelocationError("disk full"), source_thaw=RelocationError("engine"))
    record = run.run()
    assert record["outcome"] == "uncertain"
    assert "disk full" in record["error"] and "engine" in record["error"]
    # The reconciler goes on with it.
    assert run.note.state is State.RELOCATING


def test_a_source_that_does_not_serve_again_after_a_refusal_is_told(tmp_path: Path) -> None:
    run = Run(tmp_path, "target_activate", source_thaw=RelocationError("engine"))
    record = run.run()
    assert record["outcome"] == "uncertain"
    assert "target: no activate" in record["error"] and "engine" in record["error"]
    assert run.note.state is State.RELOCATING


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 10.0
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_target_that_hangs_in_the_hold_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "_DELTA_S", -2.0)
    run = Run(tmp_path, copy=ChannelLost("closed"))
    # Until somebody breaks the channel off.
    run.in_the_hold = functools.partial(wait_for, run.target.abandoned)
    record = run.run()
    assert (record["outcome"], record["error"]) == ("aborted", "closed")
    assert run.serves_as_before()


def test_without_certainty_nobody_serves(tmp_path: Path) -> None:
    lost = ChannelLost("closed")
    run = Run(tmp_path, target_activate=lost, again_inquire=lost)
    record = run.run()
    assert record["outcome"] == "uncertain"
    assert "settle.yml -e app=videoapp -e keep=worker1 -e dead=target" in record["error"]
    assert run.journal.count("again.inquire") > 1
    assert run.platform.frozen
    assert not any(".forward" in step for step in run.journal)
    assert (run.note.state, run.note.attempt) == (State.RELOCATING, ATTEMPT)


def test_after_the_activation_there_is_no_way_back(tmp_path: Path) -> None:
    run = Run(tmp_path, target_forward=RelocationError("gateway down"))
    record = run.run()
    assert record["outcome"] == "completed"
    assert "gateway down" in record["warning"]
    assert "source.thaw" not in run.journal
    assert "source.kill" in run.journal


@pytest.mark.parametrize("step", ["forward", "persist"])
def test_a_channel_that_is_lost_in_the_hold_keeps_nobody_else_from_being_told(
    tmp_path: Path, step: str
) -> None:
    # The one to an ME host that has only a gateway.
    run = Run(tmp_path, **{f"third_{step}": ChannelLost("closed")})
    record = run.run()
    assert record["outcome"] == "completed"
    assert "closed" in (record["warning"] or record["error"])
    for gateway in ("source", "target"):
        assert f"{gateway}.forward to target" in run.journal
        assert f"{gateway}.persist" in run.journal
    assert run.position("source.kill") < run.position("source.remove")
    assert run.note.state is State.RETIRED


def test_a_source_that_cannot_be_ended_is_told(tmp_path: Path) -> None:
    run = Run(tmp_path, source_kill=RelocationError("engine down"))
    record = run.run()
    assert record["outcome"] == "completed"
    assert "engine down" in record["error"]
    assert run.note.state is State.RETIRED


def test_a_target_that_does_not_serve_in_the_end_is_told(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.target.serves = False
    record = run.run()
    assert record["outcome"] == "uncertain"
    assert "took the app, and does not serve it now" in record["error"]


def test_a_target_that_has_begun_again_is_asked_over_a_new_channel(tmp_path: Path) -> None:
    run = Run(tmp_path, target_serves=ChannelLost("closed"))
    record = run.run()
    assert (record["outcome"], record["error"]) == ("completed", None)
    assert run.position("target.serves") < run.position("again.serves")


@pytest.mark.parametrize("step", ["settle", "serves"])
def test_what_cannot_be_tidied_up_keeps_nothing_else_from_being(tmp_path: Path, step: str) -> None:
    run = Run(tmp_path, **{f"target_{step}": KeyError(f"no {step}")})
    record = run.run()
    assert f"no {step}" in record["error"]
    assert "source.remove" in run.journal and "third.persist" in run.journal


def test_a_cutover_that_is_killed_is_undone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(tmp_path)
    told = tmp_path / "told"

    class Undoing:
        """The source, as the watchdog has it: a connection of its own."""

        def __init__(self, config: HostConfig) -> None:
            self.config = config

        def forward(self, app: str, host: str, owner: str) -> None:
            told.write_text(f"{app} to {host} for {owner}")

    monkeypatch.setattr(cutover, "MeHost", Undoing)
    monkeypatch.setattr(Pausing, "thaw", lambda _self, _app: (tmp_path / "thawed").touch())
    run.in_the_hold = lambda: os.kill(os.getpid(), signal.SIGKILL)
    pid = os.fork()
    if pid == 0:
        try:
            run.run()
        finally:
            os._exit(0)
    assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGKILL
    # Until it is, nobody else works on the app.
    with Lock(run.kept.folder, "videoapp").held("h2", RELOCATION, patience_s=10.0):
        assert (tmp_path / "thawed").exists()
        assert told.read_text() == "videoapp to worker1 for h1"
        assert (run.note.state, run.note.floor) == (State.SERVING, ATTEMPT)


def test_a_cutover_that_is_killed_after_it_asked_stays_fenced(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.target.answer = _dies_at(run.target, steps.Activate)  # type: ignore[method-assign]
    pid = os.fork()
    if pid == 0:
        try:
            run.run()
        finally:
            os._exit(0)
    assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGKILL
    with Lock(run.kept.folder, "videoapp").held("h2", RELOCATION, patience_s=10.0):
        assert (run.note.state, run.note.attempt) == (State.RELOCATING, ATTEMPT)


def _dies_at(host: Noting, step: type[Step[Any]]) -> Callable[[Step[Any]], Any]:
    """Have this process killed when a host is asked for a step."""
    answer = host.answer

    def dies(asked: Step[Any]) -> Any:
        if isinstance(asked, step):
            os.kill(os.getpid(), signal.SIGKILL)
        return answer(asked)

    return dies


class Committing:
    """Commits an instance whose container layer changes as often as it is told to."""

    def __init__(self, journal: Journal, changes: list[bool], error: Exception | None) -> None:
        self.journal = journal
        self.changes = changes
        self.error = error
        self.number = 0

    def commit(self) -> Commit:
        self.journal.append("commit")
        changed = self.changes.pop(0) if self.changes else False
        self.number += changed
        return Commit("videoapp:t", f"sha256:{self.number}", 5, changed)

    def push(self, commit: Commit) -> tuple[Commit, int]:
        self.journal.append("push")
        if self.error is not None:
            raise self.error
        return Commit("videoapp@sha256:x", commit.image_id, 5, commit.changed), 5

    def estimate(self) -> Commit:
        raise AssertionError


class ReactiveRun(Run):
    """A re-active cutover."""

    def __init__(
        self,
        place: Path,
        *changes: bool,
        first_commit: bool = True,
        push: Exception | None = None,
        refusing: Sequence[str] = (),
        **failing: Exception,
    ) -> None:
        super().__init__(place, *refusing, **failing)
        self.committer = Committing(self.journal, list(changes), push)
        self.first_commit = first_commit

    def transfer(self) -> Transfer:
        target, commits = self.target, self.committer
        return Reactive(self.app, "sha256:1", "h1", target, self, commits, self.first_commit)


def crossing(journal: Journal) -> list[str]:
    steps = ("commit", "push", "target.pull", "target.prepare", "source.freeze", "target.activate")
    return [step for step in journal if step in steps]


BROUGHT = ["commit", "push", "target.pull", "target.prepare"]


def test_what_was_pulled_is_on_the_disk_before_the_hold(tmp_path: Path) -> None:
    run = ReactiveRun(tmp_path, True, False, True)
    run.run()
    steps = ("target.prepare", "target.sync", "target.durable", "target.hold", "target.activate")
    assert [step for step in run.journal if step in steps] == [
        *("target.prepare", "target.sync", "target.durable", "target.hold"),
        # What the activation waits for.
        *("target.prepare", "target.sync", "target.activate"),
    ]


def test_an_app_without_a_volume_is_synced_too() -> None:
    journal: Journal = []
    app = App.from_dict({"name": "videoapp", "image": "videoapp:1", "port": 80})
    Proactive(app, "sha256:1", "h1", Noting("target", journal, {}), None).ahead(
        Record(0.0, [], id="h1")
    )
    assert journal == ["target.prepare", "target.sync", "target.durable"]


def test_a_first_commit_leaves_nothing_but_a_look_for_the_hold(tmp_path: Path) -> None:
    run = ReactiveRun(tmp_path, True)
    record = run.run()
    assert record["outcome"] == "completed"
    assert crossing(run.journal) == [
        *BROUGHT,
        *("commit", "source.freeze", "commit", "target.activate"),
    ]
    assert run.journal.count("last_delta") == 1


def test_what_changes_after_the_first_commit_still_arrives(tmp_path: Path) -> None:
    run = ReactiveRun(tmp_path, True, False, True)
    run.run()
    assert crossing(run.journal) == [
        *BROUGHT,
        *("commit", "source.freeze", *BROUGHT, "target.activate"),
    ]


def test_an_image_that_was_pushed_before_is_pulled_all_the_same(tmp_path: Path) -> None:
    run = ReactiveRun(tmp_path, False)
    run.run()
    assert crossing(run.journal)[:4] == BROUGHT


def test_the_papers_order_does_everything_in_the_hold(tmp_path: Path) -> None:
    run = ReactiveRun(tmp_path, True, first_commit=False)
    record = run.run()
    assert crossing(run.journal) == ["source.freeze", *BROUGHT, "target.activate"]
    assert [phase["name"] for phase in record["phases"]][3:8] == [
        *("freeze", "commit", "push", "pull", "create"),
    ]
    assert record["target_instance"]["name"] == "videoapp-target"


@pytest.mark.parametrize("first_commit", [True, False])
@pytest.mark.parametrize(
    "failing",
    [
        {"push": RelocationError("no space left")},
        {"target_pull": RelocationError("no space left")},
        {"target_prepare": RelocationError("no image")},
        {"copy": RelocationError("disk full")},
        {"refusing": ["target_activate"]},
    ],
)
def test_a_failure_leaves_the_source_serving_and_nothing_at_the_target(
    tmp_path: Path, failing: dict[str, Any], first_commit: bool
) -> None:
    run = ReactiveRun(tmp_path, True, first_commit=first_commit, **failing)
    record = run.run()
    assert record["outcome"] == "aborted"
    [why] = failing.values()
    assert (str(why) if isinstance(why, Exception) else "no activate") in record["error"]
    assert "target.discard" in run.journal
    assert run.serves_as_before()
