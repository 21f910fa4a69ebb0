# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What was interrupted is finished without a person, and a host that begins again hears first."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.mec.relocation.plugins.module_utils.ground.errors import RelocationError
from ansible_collections.mec.relocation.plugins.module_utils.host import reconciler as module
from ansible_collections.mec.relocation.plugins.module_utils.host.lease import Lease
from ansible_collections.mec.relocation.plugins.module_utils.host.lock import (
    AGENT,
    RECONCILER,
    RELOCATION,
    Lock,
)
from ansible_collections.mec.relocation.plugins.module_utils.host.owner import Note, State
from ansible_collections.mec.relocation.plugins.module_utils.host.reconciler import Reconciler
from ansible_collections.mec.relocation.plugins.module_utils.host.state import (
    AppState,
    append_record,
    last_records,
)
from ansible_collections.mec.relocation.plugins.module_utils.platform.instance import Instance
from ansible_collections.mec.relocation.tests.unit.plugins.module_utils.played import (
    Engine,
    PlayedHost,
    World,
    world,
)

OWNER = Note(State.SERVING, 3, 3, 0, 3, 3)
SOURCE = OWNER._replace(state=State.RELOCATING, attempt=4, peer="worker2", handoff="h1")
TARGET = Note(State.TAKING, 0, 0, 4, 0, 0, "worker1", (), "h1", "notes-1")
TOOK = Note(State.SERVING, 4, 4, 0, 4, 4, handoff="h1")


@pytest.fixture
def hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with world(tmp_path, monkeypatch, "worker1", "worker2", "worker3") as made:
        made.plays(module, monkeypatch)
        monkeypatch.setattr(module, "_LOOK_S", 0.0)
        monkeypatch.setattr(module, "_SILENT_S", 0.0)
        yield made


def reconcile(hosts: World, *names: str, rounds: int = 2) -> None:
    """Let the reconcilers of these hosts look after their apps."""
    made = [
        Reconciler(host.config, host.me_host())
        for name, host in hosts.hosts.items()
        if host.up and name in (names or hosts.hosts)
    ]
    for _number in range(rounds):
        for reconciler in made:
            reconciler.reconcile_all()
    hosts.close()


def states(hosts: World) -> list[str]:
    return [str(host.kept.note().state) for host in hosts.hosts.values()]


@pytest.fixture
def frozen(hosts: World) -> World:
    """worker1 relocates to worker2, and its process is gone; nothing serves."""
    hosts["worker1"].has(SOURCE, content="state", runs=True)
    hosts["worker1"].engine.frozen.add("notes")
    hosts["worker1"].engine.restarts["notes"] = False
    hosts["worker2"].has(TARGET, content="state", runs=True)
    hosts["worker2"].engine.ill.add("notes")  # it waits to be activated
    hosts["worker3"].has(Note())
    return hosts


# -- what was interrupted ---------------------------------------------------------------------


def test_a_relocation_that_the_target_did_not_take_goes_back(frozen: World) -> None:
    reconcile(frozen, "worker1")
    assert frozen.serving == ["worker1"]
    assert states(frozen) == ["serving", "absent", "absent"]
    assert frozen["worker1"].engine.restarts["notes"] is True
    assert frozen["worker1"].gateway.where["notes"] == "worker1"
    # The target's promise is durable, and its instance has ended.
    assert frozen["worker2"].kept.note().floor == 4
    assert frozen["worker2"].engine.pids("notes") == []


def test_a_relocation_that_the_target_took_goes_on(frozen: World) -> None:
    frozen["worker2"].has(TOOK)
    frozen["worker2"].engine.ill.clear()
    reconcile(frozen)
    assert frozen.serving == ["worker2"]
    assert states(frozen) == ["retired", "serving", "absent"]
    assert frozen["worker1"].kept.note().known == 4
    assert "kill notes" in frozen["worker1"].engine.did
    assert frozen["worker1"].gateway.where["notes"] == "worker2"


@pytest.mark.parametrize("took", [False, True])
def test_what_has_been_finished_keeps_no_other_handoff_away(frozen: World, took: bool) -> None:
    if took:
        frozen["worker2"].has(TOOK)
        frozen["worker2"].engine.ill.clear()
    leases = [Lease(frozen[name].kept.folder, "notes") for name in ("worker1", "worker2")]
    for lease in leases:
        lease.acquire("h1")
    reconcile(frozen)
    assert [lease.current() for lease in leases] == [None, None]


def test_the_lease_of_another_handoff_outlives_the_end_of_one(frozen: World) -> None:
    lease = Lease(frozen["worker1"].kept.folder, "notes")
    lease.acquire("h2")
    reconcile(frozen)
    assert lease.current()["owner"] == "h2"


def test_as_long_as_the_target_is_silent_nobody_serves(frozen: World) -> None:
    frozen["worker2"].up = False
    reconcile(frozen, rounds=3)
    assert frozen.serving == []
    assert frozen["worker1"].kept.note() == SOURCE
    assert "thaw notes" not in frozen["worker1"].engine.did
    frozen["worker2"].up = True
    reconcile(frozen)
    assert frozen.serving == ["worker1"]


def test_a_silent_target_is_not_asked_without_pause(
    frozen: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SILENT_S", 60.0)
    frozen["worker2"].up = False
    reconcile(frozen, "worker1", rounds=5)
    assert len([line for line in frozen.lines if line.name == "worker2"]) == 1


def test_a_target_whose_source_has_gone_does_not_wait_for_it(frozen: World) -> None:
    frozen["worker1"].up = False
    reconcile(frozen, "worker2")
    assert states(frozen)[1] == "absent"
    assert frozen["worker2"].engine.pids("notes") == []
    assert frozen.serving == []


@pytest.mark.parametrize("name", ["worker1", "worker2"])
def test_what_somebody_works_on_is_left_to_him(frozen: World, name: str) -> None:
    before = states(frozen)
    with Lock(frozen[name].kept.folder, "notes").held("h1", AGENT):
        reconcile(frozen, name, rounds=1)
        assert states(frozen) == before
        assert frozen.serving == []
    assert frozen[name].engine.did == []


def test_a_source_does_not_serve_before_it_could_be_ended(frozen: World) -> None:
    # The target cannot confirm that its instance has ended, so it promises nothing.
    frozen["worker2"].engine.failing["kill"] = RelocationError("the engine does not answer")
    reconcile(frozen, rounds=3)
    assert frozen.serving == []
    assert states(frozen)[0] == "relocating"


def test_an_instance_that_has_ended_is_started(hosts: World) -> None:
    hosts["worker1"].has(OWNER, runs=True)
    hosts["worker1"].engine.kill("notes")
    reconcile(hosts, "worker1")
    assert hosts.serving == ["worker1"]


@pytest.mark.parametrize("state", [State.RETIRED, State.ABSENT])
def test_what_runs_where_it_must_not_is_ended(hosts: World, state: State) -> None:
    hosts["worker1"].has(Note(state, known=3, peer="worker2"), runs=True)
    reconcile(hosts, "worker1")
    assert hosts.serving == []


def test_a_preparation_is_left_as_it_is(hosts: World) -> None:
    hosts["worker1"].has(Note(State.PREPARED, handoff="h1"), runs=True)
    reconcile(hosts, "worker1")
    assert hosts["worker1"].engine.did == []


def test_what_a_person_has_begun_to_settle_is_not_served(hosts: World) -> None:
    hosts["worker1"].has(OWNER._replace(rivals=("worker2",)))
    reconcile(hosts, "worker1")
    assert hosts.serving == [] and hosts["worker1"].engine.did == []


@pytest.mark.parametrize("boots", [False, True])
def test_an_app_that_cannot_be_tended_keeps_no_other_from_it(hosts: World, boots: bool) -> None:
    hosts["worker1"].has(OWNER, runs=True)
    broken = hosts["worker1"].config.state_dir / "apps" / "broken"
    broken.mkdir()
    (broken / "owner.json").write_text("garbage")
    hosts["worker1"].engine.kill("notes")
    if boots:
        hosts["worker1"].boots()
    reconcile(hosts, "worker1")
    assert hosts.serving == ["worker1"]


def test_an_app_that_takes_its_time_delays_no_other(
    hosts: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = hosts["worker1"]
    here.has(OWNER, runs=True)
    here.engine.kill("notes")
    slow = AppState(here.config.state_dir, "a-slow-one")
    slow.write(OWNER)
    slow.mark_current()
    goes_on, find = threading.Event(), Engine.find
    asked: list[str] = []

    def find_slowly(engine: Engine, app: str) -> Instance | None:
        if app == slow.name:
            asked.append(app)
            goes_on.wait(30)
        return find(engine, app)

    monkeypatch.setattr(Engine, "find", find_slowly)
    slow.declare(here.kept.declaration())
    reconciler = Reconciler(here.config, here.me_host())
    for _round in range(3):
        reconciler.reconcile_all()
    assert hosts.serving == ["worker1"]
    assert asked == [slow.name]
    goes_on.set()
    hosts.close()


def test_a_gateway_that_is_down_when_the_host_begins_is_tried_again(
    hosts: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts["worker2"].has(OWNER, runs=True)
    hosts["worker1"].has(Note(State.RETIRED, known=3, peer="worker2"))
    hosts["worker1"].boots()
    with monkeypatch.context() as down:

        def refuse(*_arguments: str) -> None:
            raise RelocationError("the gateway does not answer")

        down.setattr(hosts["worker1"].gateway, "forward", refuse)
        reconcile(hosts, "worker1", rounds=1)
    reconcile(hosts, "worker1", rounds=1)
    assert hosts["worker1"].gateway.where == {"notes": "worker2"}


@pytest.mark.parametrize(
    ("note", "claimed", "serves"),
    [
        (OWNER, False, True),
        # It may end it now.
        (OWNER, True, False),
        (SOURCE, False, False),
        (OWNER._replace(rivals=("worker2",)), False, False),
    ],
)
def test_an_instance_that_ends_while_a_relocation_copies_is_started(
    hosts: World, note: Note, claimed: bool, serves: bool
) -> None:
    hosts["worker1"].has(note, content="state", runs=True)
    hosts["worker1"].engine.kill("notes")
    lock = Lock(hosts["worker1"].kept.folder, "notes")
    with lock.held("h1", RELOCATION) as descriptor:
        if claimed:
            lock.claim_instances(descriptor)
        reconcile(hosts, "worker1")
        assert hosts.serving == (["worker1"] if serves else [])
        assert hosts["worker1"].kept.note() == note


# -- how it ended is told ----------------------------------------------------------------------


@pytest.mark.parametrize(("took", "outcome"), [(True, "completed"), (False, "aborted")])
def test_the_record_tells_how_it_ended(frozen: World, took: bool, outcome: str) -> None:
    here = frozen["worker1"].config.state_dir
    told = {"id": "h1", "app": "notes", "source": "worker1", "target": "worker2"}
    append_record(here, {**told, "outcome": "uncertain", "error": "Silent.", "ue": "ue1"})
    if took:
        frozen["worker2"].has(TOOK)
    reconcile(frozen, "worker1")
    record = last_records(here)["notes"]
    assert (record["id"], record["outcome"], record["ue"]) == ("h1", outcome, "ue1")
    where = "worker2" if took else "worker1"
    assert record["error"] == f"Silent. It has ended since: {where} has the app."


def test_a_relocation_that_was_killed_gets_a_record(frozen: World) -> None:
    append_record(frozen["worker1"].config.state_dir, {"id": "h0", "app": "notes", "ue": "ue9"})
    reconcile(frozen, "worker1")
    record = last_records(frozen["worker1"].config.state_dir)["notes"]
    assert (record["id"], record["outcome"], record["ue"]) == ("h1", "aborted", None)
    assert (record["source"], record["target"]) == ("worker1", "worker2")
    assert record["error"].startswith("The relocation was interrupted. It has ended since: worker1")


@pytest.mark.parametrize("record", [{}, {"id": "h1"}, {"outcome": "uncertain"}])
def test_an_app_that_serves_again_is_routed_whatever_was_recorded_last(
    hosts: World, record: dict[str, str]
) -> None:
    hosts["worker1"].has(OWNER._replace(handoff="h1"), runs=True)
    hosts["worker1"].engine.kill("notes")
    append_record(hosts["worker1"].config.state_dir, {"app": "notes", **record})
    reconcile(hosts, "worker1", rounds=1)
    assert hosts["worker1"].gateway.where == {"notes": "worker1"}


def test_a_target_that_serves_late_says_that_it_has_ended(hosts: World) -> None:
    # It took the app, and did not serve it when the relocation ended.
    hosts["worker2"].has(TOOK, runs=True)
    hosts["worker2"].engine.kill("notes")
    here = hosts["worker2"].config.state_dir
    told = {"id": "h1", "app": "notes", "source": "worker1", "target": "worker2"}
    append_record(here, {**told, "outcome": "uncertain"})
    reconcile(hosts, "worker2", rounds=1)
    assert last_records(here)["notes"]["outcome"] == "completed"
    assert hosts.serving == ["worker2"]


GONE = Note(State.RETIRED, 3, 4, copy=3, peer="worker2", handoff="h1")
LAST = {"id": "h1", "app": "notes", "source": "worker1", "target": "worker2"}


def test_what_a_target_has_taken_is_known_while_its_agent_waits_for_a_host_without_power(
    frozen: World,
) -> None:
    frozen["worker2"].has(TOOK, runs=True)
    frozen["worker2"].engine.ill.clear()
    frozen["worker1"].boots()
    with Lock(frozen["worker2"].kept.folder, "notes").held("h1", AGENT):
        reconcile(frozen, "worker1")
        assert frozen["worker1"].gateway.where["notes"] == "worker2"
        assert frozen["worker1"].kept.note().state is State.RETIRED
    assert frozen.serving == ["worker2"]


def test_two_reconcilers_do_not_wait_for_each_other(
    hosts: World,
) -> None:
    # The source's asks the target again and again whether it serves, and has the lock meanwhile.
    hosts["worker1"].has(GONE, content="state")
    hosts["worker2"].has(TOOK)
    hosts["worker2"].boots()
    with Lock(hosts["worker1"].kept.folder, "notes").held(RECONCILER, RECONCILER):
        reconcile(hosts, "worker2")
    assert hosts.serving == ["worker2"]


@pytest.mark.parametrize(
    "left",
    [
        {**LAST, "id": "h0"},
        {**LAST, "outcome": "uncertain"},
        # Of the first try of two.
        {**LAST, "outcome": "aborted"},
    ],
)
def test_a_source_that_was_cut_off_before_its_record_tells_how_it_ended(
    hosts: World, left: dict[str, str]
) -> None:
    here = hosts["worker1"].config.state_dir
    hosts["worker1"].has(GONE, content="state")
    append_record(here, left)
    hosts["worker2"].has(TOOK, runs=True)
    hosts["worker2"].engine.ill.add("notes")
    reconcile(hosts, "worker1")
    assert last_records(here)["notes"] == left  # it is not known yet
    hosts["worker2"].engine.ill.clear()
    reconcile(hosts, "worker1")
    record = last_records(here)["notes"]
    assert (record["id"], record["outcome"], record["target"]) == ("h1", "completed", "worker2")


def test_what_the_target_has_handed_on_it_took(hosts: World) -> None:
    here = hosts["worker1"].config.state_dir
    hosts["worker1"].has(GONE, content="state")
    hosts["worker2"].has(Note(State.RETIRED, 4, 5, copy=4, peer="worker3", handoff="h2"))
    reconcile(hosts, "worker1")
    assert last_records(here)["notes"]["outcome"] == "completed"


def test_a_later_record_does_not_hide_the_one_that_is_looked_for(hosts: World) -> None:
    here = hosts["worker1"].config.state_dir
    hosts["worker1"].has(GONE, content="state")
    hosts["worker2"].has(TOOK, runs=True)
    append_record(here, {**LAST, "outcome": "completed"})
    append_record(here, {**LAST, "id": "h2", "outcome": "aborted"})
    reconcile(hosts, "worker1")
    assert last_records(here)["notes"]["id"] == "h2"


def test_a_target_that_served_again_by_itself_says_so(hosts: World) -> None:
    hosts["worker2"].has(TOOK, runs=True)
    here = hosts["worker2"].config.state_dir
    append_record(here, {**LAST, "outcome": "uncertain"})
    reconcile(hosts, "worker2", rounds=1)
    assert last_records(here)["notes"]["outcome"] == "completed"


@pytest.mark.parametrize("handoff", ["h1", "", "deployment"])
def test_what_was_told_is_not_told_again(hosts: World, handoff: str) -> None:
    here = hosts["worker1"].config.state_dir
    hosts["worker1"].has(GONE._replace(handoff=handoff), content="state")
    hosts["worker2"].has(TOOK, runs=True)
    append_record(here, {**LAST, "outcome": "completed"})
    reconcile(hosts, "worker1")
    assert len((here / "records.jsonl").read_text().splitlines()) == 1


# -- after a boot -----------------------------------------------------------------------------


def test_a_host_that_has_not_been_away_vouches(hosts: World) -> None:
    hosts["worker1"].has(OWNER, runs=True)
    hosts["worker1"].boots()
    hosts["worker2"].has(Note(State.RETIRED, known=3, peer="worker1"))
    hosts["worker3"].up = False
    reconcile(hosts, "worker1")
    assert hosts.serving == ["worker1"]
    assert hosts["worker1"].kept.current


@pytest.mark.parametrize("silent", ["worker2", "worker3"])
def test_where_all_have_been_away_all_have_to_be_heard(hosts: World, silent: str) -> None:
    hosts["worker1"].has(OWNER, runs=True)
    for host in hosts.hosts.values():
        host.boots()
    hosts[silent].up = False
    reconcile(hosts, "worker1", rounds=3)
    assert hosts.serving == [] and not hosts["worker1"].kept.current
    hosts[silent].up = True
    reconcile(hosts, "worker1")
    assert hosts.serving == ["worker1"]


def test_a_host_at_which_somebody_works_has_not_said_what_it_knows(hosts: World) -> None:
    hosts["worker1"].has(OWNER, runs=True)
    hosts["worker1"].boots()
    hosts["worker2"].has(Note())
    with Lock(hosts["worker2"].kept.folder, "notes").held("deployment", AGENT):
        reconcile(hosts, "worker1")
        assert hosts.serving == []
    reconcile(hosts, "worker1")
    assert hosts.serving == ["worker1"]


def test_a_host_that_was_superseded_ends_and_its_volume_is_put_aside(hosts: World) -> None:
    # A person has said that worker1 is dead, and it has come back.
    hosts["worker1"].has(OWNER, content="acknowledged by worker1", runs=True)
    hosts["worker1"].boots()
    new = Note(State.SERVING, 1004, 1004, 0, 1004, 1004)
    hosts["worker2"].has(new, runs=True)
    hosts["worker3"].has(Note(State.RETIRED, known=1004, peer="worker2"))
    reconcile(hosts)
    assert hosts.serving == ["worker2"]
    note = hosts["worker1"].kept.note()
    assert (note.state, note.known, note.peer) == (State.RETIRED, 1004, "worker2")
    [aside] = hosts["worker1"].config.pv_root.glob("notes.epoch-3")
    assert (aside / "file").read_text() == "acknowledged by worker1"
    assert hosts["worker1"].gateway.where["notes"] == "worker2"


def test_the_one_that_was_superseded_hears_it_from_a_third(hosts: World) -> None:
    hosts["worker1"].has(OWNER, content="old", runs=True)
    hosts["worker1"].boots()
    hosts["worker2"].up = False
    hosts["worker3"].has(Note(State.RETIRED, known=1004, peer="worker2"))
    reconcile(hosts, "worker1", rounds=3)
    assert hosts.serving == []
    assert hosts["worker1"].kept.note().peer == "worker2"


def test_a_source_that_has_begun_again_asks_its_target(frozen: World) -> None:
    frozen["worker1"].boots()
    frozen["worker2"].has(TOOK)
    frozen["worker2"].engine.ill.clear()
    reconcile(frozen)
    assert frozen.serving == ["worker2"]
    assert states(frozen) == ["retired", "serving", "absent"]


def test_a_target_that_has_begun_again_refuses(frozen: World) -> None:
    frozen["worker2"].boots()
    reconcile(frozen)
    assert frozen.serving == ["worker1"]
    assert states(frozen) == ["serving", "absent", "absent"]


def test_a_gateway_that_has_been_away_hears_where_an_app_is(hosts: World) -> None:
    hosts["worker2"].has(OWNER, runs=True)
    hosts["worker1"].has(Note(State.RETIRED, known=3, peer="worker2"))
    hosts["worker1"].boots()
    hosts["worker1"].gateway.where.clear()
    reconcile(hosts, "worker1")
    assert hosts["worker1"].gateway.where["notes"] == "worker2"


# -- the gateways of the others ----------------------------------------------------------------


def test_a_gateway_that_cannot_be_told_is_told_later(
    hosts: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SILENT_S", 0.01)
    hosts["worker1"].has(OWNER, runs=True)
    hosts["worker2"].up = False
    gateways = module.Gateways(hosts["worker1"].config)
    threading.Thread(target=gateways.run, args=("worker2",), daemon=True).start()
    gateways.tell("notes", (3, 3))
    time.sleep(0.05)
    assert hosts["worker2"].gateway.where == {}
    hosts["worker2"].up = True
    follows(hosts["worker2"])


def follows(host: PlayedHost) -> None:
    """Wait until a host's gateway sends the app's requests to worker1."""
    deadline = time.monotonic() + 5.0
    while host.gateway.where != {"notes": "worker1"}:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_gateway_is_told_again(hosts: World, monkeypatch: pytest.MonkeyPatch) -> None:
    # What was on its way for long may come last.
    monkeypatch.setattr(module, "_REMIND_S", 0.05)
    monkeypatch.setattr(module, "_PAUSE_S", 0.01)
    hosts["worker1"].has(OWNER, runs=True)
    gateways = module.Gateways(hosts["worker1"].config)
    threading.Thread(target=gateways.run, args=("worker2",), daemon=True).start()
    gateways.tell("notes", (3, 3))
    follows(hosts["worker2"])
    hosts["worker2"].gateway.where["notes"] = "worker3"
    follows(hosts["worker2"])
    # One that has left is another's business.
    hosts["worker1"].has(Note(State.RETIRED, 3, 4, peer="worker2"))
    time.sleep(0.2)
    hosts["worker2"].gateway.where["notes"] = "worker2"
    time.sleep(0.2)
    assert hosts["worker2"].gateway.where == {"notes": "worker2"}
    assert gateways._wanted == {}


def test_a_gateway_is_not_told_what_is_no_longer_so(hosts: World) -> None:
    hosts["worker1"].has(Note(State.RETIRED, 3, 4, peer="worker2"))
    gateways = module.Gateways(hosts["worker1"].config)
    gateways.tell("notes", (3, 3))
    with hosts.channel(hosts["worker1"].config, "worker3") as line:
        gateways._tell(line, "notes", (3, 3))  # type: ignore[arg-type]
    assert hosts["worker3"].gateway.where == {}
    assert gateways._left("worker3") == {}


def test_a_host_that_was_given_up_and_only_cut_off_is_ended(hosts: World) -> None:
    hosts["worker1"].has(OWNER._replace(taken=1004, known=1004, floor=1004), runs=True)
    hosts["worker2"].has(OWNER, runs=True)
    gateways = module.Gateways(hosts["worker1"].config)
    gateways.tell("notes", (1004, 1004))
    with hosts.channel(hosts["worker1"].config, "worker2") as line:
        gateways._tell(line, "notes", (1004, 1004))  # type: ignore[arg-type]
    note = hosts["worker2"].kept.note()
    assert (note.state, note.known, note.peer) == (State.RETIRED, 1004, "worker1")
    assert hosts.serving == ["worker1"]


def test_a_host_that_was_given_up_hears_it_when_it_tells_others(hosts: World) -> None:
    hosts["worker1"].has(OWNER._replace(taken=1004, known=1004, floor=1004), runs=True)
    hosts["worker2"].has(OWNER, runs=True)
    gateways = module.Gateways(hosts["worker2"].config)
    gateways.tell("notes", (3, 3))
    with hosts.channel(hosts["worker2"].config, "worker1") as line:
        gateways._tell(line, "notes", (3, 3))  # type: ignore[arg-type]
    assert hosts["worker1"].gateway.where == {}
    reconcile(hosts, "worker2")
    assert hosts["worker2"].kept.note().state is State.RETIRED
    assert hosts.serving == ["worker1"]


def test_a_source_that_begins_again_hears_that_its_target_took_it(frozen: World) -> None:
    frozen["worker2"].has(TOOK, runs=True)
    frozen["worker1"].boots()
    reconcile(frozen)
    assert frozen["worker1"].kept.note().state is State.RETIRED
    assert not list(frozen["worker1"].config.pv_root.glob("*.epoch-*"))
    told = last_records(frozen["worker1"].config.state_dir)["notes"]
    assert (told["id"], told["outcome"], told["settled"]) == ("h1", "completed", True)
