# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a host does of what is decided about an app, and for whom."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.mec.relocation.plugins.module_utils.ground.config import HostConfig
from ansible_collections.mec.relocation.plugins.module_utils.ground.errors import RelocationError
from ansible_collections.mec.relocation.plugins.module_utils.host import lock as lock_module
from ansible_collections.mec.relocation.plugins.module_utils.host import ownership as module
from ansible_collections.mec.relocation.plugins.module_utils.host.lease import Lease
from ansible_collections.mec.relocation.plugins.module_utils.host.lock import (
    RECONCILER,
    RELOCATION,
    Busy,
    Lock,
)
from ansible_collections.mec.relocation.plugins.module_utils.host.owner import Note, State
from ansible_collections.mec.relocation.plugins.module_utils.host.ownership import Ownership
from ansible_collections.mec.relocation.plugins.module_utils.host.state import AppState
from ansible_collections.mec.relocation.plugins.module_utils.wire import steps
from ansible_collections.mec.relocation.tests.unit.plugins.module_utils.hosts import host_config

APP = "notes"
SERVING = Note(State.SERVING, 3, 3, 0, 3, 3, handoff="h0", instance="notes-1")
PREPARED = Note(State.PREPARED, handoff="h1", instance="notes-2")
ATTEMPT = 7


class Instances:
    """Instances that note what they are asked, and what the note said then."""

    def __init__(self, kept: AppState) -> None:
        self.kept = kept
        self.did: list[tuple[str, State]] = []
        self.failing: dict[str, Exception] = {}

    def wait_until_durable(self, app: str) -> None:
        self._do("sync", app)

    def serve(self, app: str, _timeout_s: float) -> steps.Place:
        self._do("serve", app)
        return {"name": "notes-2", "address": "172.17.0.2"}

    def end(self, app: str) -> None:
        self._do("end", app)

    def put_aside(self, app: str, epoch: int) -> None:
        self._do(f"put aside {epoch}", app)

    def _do(self, what: str, app: str) -> None:
        assert app == APP
        self.did.append((what, self.kept.note().state))
        if what in self.failing:
            raise self.failing[what]

    @property
    def done(self) -> list[str]:
        return [what for what, _state in self.did]


class Host:
    """One host; each channel to it has an agent with an object of its own."""

    def __init__(self, config: HostConfig) -> None:
        self.config = config
        self.kept = AppState(config.state_dir, APP)
        self.instances = Instances(self.kept)
        self.here = self.agent()

    def agent(self) -> Ownership:
        return Ownership(self.config, self.instances)

    @property
    def note(self) -> Note:
        return self.kept.note()


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(host_config(tmp_path, "worker2", "worker1"))


@pytest.fixture
def asked(host: Host) -> Iterator[Host]:
    """It has accepted an offer."""
    host.kept.write(PREPARED)
    host.here.lock(APP, "h1")
    assert host.here.offer(APP, ATTEMPT, "h1", "worker1") == {"answer": "accepted", "why": ""}
    yield host
    host.here.unlock(APP, keep_lease=False)


# -- who may ask ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "step",
    [
        lambda here: here.ready(APP, "h1"),
        lambda here: here.discard(APP),
        lambda here: here.offer(APP, ATTEMPT, "h1", "worker1"),
        lambda here: here.withdraw(APP, ATTEMPT),
        lambda here: here.activate(APP, ATTEMPT, 1.0),
        lambda here: here.retire(APP, ATTEMPT, "worker1"),
    ],
)
def test_nobody_changes_anything_without_the_lock(
    host: Host, step: Callable[[Ownership], Any]
) -> None:
    host.kept.write(PREPARED)
    another = host.agent()
    another.lock(APP, "h1")  # even if another channel of the same handoff has it
    with pytest.raises(RelocationError, match="lock of app 'notes' on worker2 is not held"):
        step(host.here)
    assert (host.note, host.instances.did) == (PREPARED, [])
    another.unlock(APP, keep_lease=False)


def test_one_channel_works_on_an_app(host: Host) -> None:
    host.here.lock(APP, "h1")
    with pytest.raises(Busy):
        host.agent().lock(APP, "h1")
    assert host.agent().part(APP)["busy"] == "h1"
    assert host.here.lock(APP, "h1")["busy"] == ""  # again, on the same channel
    host.here.unlock(APP, keep_lease=True)
    assert host.agent().part(APP)["busy"] == ""
    with Lock(host.kept.folder, APP).held(RECONCILER, RECONCILER):
        assert host.agent().part(APP)["busy"] == ""


@pytest.mark.parametrize(
    ("state", "busy"), [(State.SERVING, "h1"), (State.RELOCATING, "h1"), (State.RETIRED, "")]
)
def test_a_source_that_has_handed_the_app_over_is_not_waited_for(
    host: Host, state: State, busy: str
) -> None:
    host.kept.write(Note(state, 3, 4, copy=3, peer="worker1", handoff="h1"))
    with Lock(host.kept.folder, APP).held("h1", RELOCATION):
        assert host.agent().part(APP)["busy"] == busy


def test_the_lease_of_another_handoff_is_kept_to(host: Host) -> None:
    host.here.lock(APP, "h1")
    host.here.unlock(APP, keep_lease=True)
    another = host.agent()
    with pytest.raises(RelocationError, match="by handoff h1"):
        another.lock(APP, "h2")
    # The refused one has not kept the lock.
    host.here.lock(APP, "h1")
    host.here.unlock(APP, keep_lease=False)
    another.lock(APP, "h2")
    another.unlock(APP, keep_lease=False)
    assert Lease(host.kept.folder, APP).current() is None


def test_what_an_earlier_process_left_is_refused_for_good(host: Host) -> None:
    host.kept.write(PREPARED._replace(state=State.TAKING, attempt=ATTEMPT, peer="worker1"))
    part = host.here.lock(APP, "h2")
    assert (part["state"], part["newest"]) == ("absent", ATTEMPT)
    assert host.instances.done == ["end"]
    host.here.unlock(APP, keep_lease=False)


# -- activation -------------------------------------------------------------------------------


def test_the_order_is_sync_note_serve(asked: Host) -> None:
    told = asked.here.activate(APP, ATTEMPT, 1.0)
    assert told == {"answer": "took", "why": "", "name": "notes-2", "address": "172.17.0.2"}
    # Whole before it is noted, and noted before anything can be written.
    assert asked.instances.did == [("sync", State.TAKING), ("serve", State.SERVING)]
    assert (asked.note.taken, asked.note.copy, asked.note.floor) == (ATTEMPT, ATTEMPT, ATTEMPT)


@pytest.mark.parametrize("at", ["sync", "serve"])
@pytest.mark.parametrize("error", [RelocationError("no"), OSError("no"), KeyError("no")])
def test_a_failure_ends_and_refuses(asked: Host, at: str, error: Exception) -> None:
    asked.instances.failing[at] = error
    told = asked.here.activate(APP, ATTEMPT, 1.0)
    assert told["answer"] == "refused" and "no" in told["why"]
    assert asked.instances.done[-1] == "end"
    assert (asked.note.state, asked.note.taken) == (State.ABSENT, 0)
    # For good, whoever asks.
    assert asked.here.activate(APP, ATTEMPT, 1.0)["answer"] == "refused"
    assert asked.here.offer(APP, ATTEMPT, "h1", "worker1")["answer"] == "refused"


def test_a_note_that_is_not_taken_by_the_disk_is_a_refusal(
    asked: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = AppState.write

    def fail(kept: AppState, note: Note) -> None:
        if note.state is State.SERVING:
            raise RelocationError("no space left")
        write(kept, note)

    monkeypatch.setattr(AppState, "write", fail)
    told = asked.here.activate(APP, ATTEMPT, 1.0)
    assert (told["answer"], told["why"]) == ("refused", "no space left")
    assert asked.instances.done == ["sync", "end"]


def test_what_cannot_be_ended_is_not_refused(asked: Host) -> None:
    asked.instances.failing = {"serve": RelocationError("ill"), "end": RelocationError("stuck")}
    with pytest.raises(RelocationError, match="stuck"):
        asked.here.activate(APP, ATTEMPT, 1.0)
    # Whoever inquires, or the reconciler, ends it.
    assert asked.note.state is State.SERVING


def test_it_is_not_activated_over_a_pass_that_does_not_end(
    asked: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stuck(_folder: Path) -> None:
        raise RelocationError("A pass does not end.")

    monkeypatch.setattr(module, "end_passes", stuck)
    told = asked.here.activate(APP, ATTEMPT, 1.0)
    assert (told["answer"], told["why"]) == ("refused", "A pass does not end.")
    assert asked.instances.done == ["end"]


def test_what_serves_already_is_not_ended_by_an_attempt_that_is_refused(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stuck(_folder: Path) -> None:
        raise RelocationError("A pass does not end.")

    monkeypatch.setattr(module, "end_passes", stuck)
    host.kept.write(SERVING)
    host.here.lock(APP, "h1")
    told = host.here.activate(APP, ATTEMPT, 1.0)
    assert (told["answer"], told["why"]) == ("refused", "it is serving here")
    assert (host.note, host.instances.did) == (SERVING, [])
    host.here.unlock(APP, keep_lease=False)


def test_an_offer_that_is_withdrawn_cannot_be_asked_for(asked: Host) -> None:
    asked.here.withdraw(APP, ATTEMPT)
    assert (asked.note.state, asked.note.instance) == (State.PREPARED, "notes-2")
    assert asked.here.activate(APP, ATTEMPT, 1.0)["answer"] == "refused"
    assert asked.instances.did == []


# -- what became of an attempt ----------------------------------------------------------------


def test_an_attempt_that_was_taken_was(asked: Host) -> None:
    asked.here.activate(APP, ATTEMPT, 1.0)
    asked.here.unlock(APP, keep_lease=True)
    assert asked.agent().inquire(APP, ATTEMPT, "h1")["answer"] == "took"
    assert asked.note.state is State.SERVING


def test_an_attempt_that_was_not_taken_never_will_be(asked: Host) -> None:
    asked.here.unlock(APP, keep_lease=True)
    assert asked.agent().inquire(APP, ATTEMPT, "h1")["answer"] == "refused"
    assert asked.instances.done == ["end"]
    asked.here.lock(APP, "h1")
    assert asked.here.activate(APP, ATTEMPT, 1.0)["answer"] == "refused"
    assert asked.here.offer(APP, ATTEMPT, "h1", "worker1")["answer"] == "refused"


@pytest.mark.parametrize(("state", "answer"), [("serving", "took"), ("taking", "refused")])
def test_an_agent_that_is_still_at_work_is_ended_first(host: Host, state: str, answer: str) -> None:
    host.kept.write(PREPARED)
    reader, writer = os.pipe()
    agent = os.fork()
    if agent == 0:
        try:
            host.here.lock(APP, "h1")
            host.here.offer(APP, ATTEMPT, "h1", "worker1")
            if state == "serving":
                host.here.activate(APP, ATTEMPT, 1.0)
            os.write(writer, b"!")
            signal.pause()  # it would activate now, or answer
        finally:
            os._exit(1)
    try:
        assert os.read(reader, 1) == b"!"
        assert str(host.note.state) == state
        assert host.agent().inquire(APP, ATTEMPT, "h1")["answer"] == answer
        assert os.WTERMSIG(os.waitpid(agent, 0)[1]) == signal.SIGKILL
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(agent, signal.SIGKILL)
        os.close(reader)
        os.close(writer)


def test_nobody_is_ended_for_another_handoff(asked: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock_module, "_DEATH_S", 0.02)
    with pytest.raises(Busy, match="by h1"):
        asked.agent().inquire(APP, ATTEMPT, "h2")
    assert asked.note.state is State.TAKING


# -- what is prepared, and a person's decision -------------------------------------------------


@pytest.mark.parametrize("state", [State.SERVING, State.RELOCATING])
def test_what_may_serve_is_neither_prepared_nor_discarded(host: Host, state: State) -> None:
    note = SERVING._replace(state=state)
    host.kept.write(note)
    host.here.lock(APP, "h1")
    for step in (lambda: host.here.ready(APP, "h1"), lambda: host.here.discard(APP)):
        with pytest.raises(RelocationError, match=f"cannot be prepared on worker2: it is {state}"):
            step()
    assert (host.note, host.instances.did) == (note, [])
    host.here.unlock(APP, keep_lease=False)


def test_ready_keeps_the_name_of_an_instance(host: Host) -> None:
    host.here.lock(APP, "h1")
    host.here.ready(APP, "h1", "notes-2")
    host.here.ready(APP, "h1")
    assert (host.note.state, host.note.instance, host.note.copy) == (State.PREPARED, "notes-2", 0)
    host.here.unlock(APP, keep_lease=False)


@pytest.mark.parametrize("state", [State.SERVING, State.RELOCATING])
def test_a_copy_that_is_not_kept_is_put_aside(host: Host, state: State) -> None:
    host.kept.write(SERVING._replace(state=state))
    host.here.lock(APP, "deployment")
    assert host.here.retire(APP, 9, "worker1")["answer"] == "accepted"
    # It may have what the copy lacks that is kept.
    assert host.instances.did == [("end", state), ("put aside 3", state)]
    assert (host.note.state, host.note.known, host.note.peer) == (State.RETIRED, 9, "worker1")
    host.here.unlock(APP, keep_lease=False)


def test_an_older_decision_retires_nobody(host: Host) -> None:
    host.kept.write(SERVING)
    host.here.lock(APP, "deployment")
    told = host.here.retire(APP, 2, "worker1")
    assert told["answer"] == "refused" and "2 is not newer" in told["why"]
    assert (host.note, host.instances.did) == (SERVING, [])
    host.here.unlock(APP, keep_lease=False)


def test_the_parts_of_a_host_tell_who_owns_an_app(host: Host) -> None:
    assert host.here.parts() == {}
    assert host.here.parts([APP])[APP]["state"] == "absent"
    host.kept.write(SERVING)
    [part] = host.here.parts().values()
    assert (part["state"], part["known"], part["owner"]) == ("serving", 3, "worker2")
    host.kept.write(SERVING._replace(state=State.RETIRED, known=5, peer="worker1"))
    [part] = host.here.parts().values()
    assert (part["known"], part["newest"], part["owner"]) == (5, 5, "worker1")
