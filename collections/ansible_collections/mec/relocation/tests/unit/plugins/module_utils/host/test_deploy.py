# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Deploying and settling an app: never an older volume, never a second writer, never a circle."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.mec.relocation.plugins.module_utils.ground.errors import RelocationError
from ansible_collections.mec.relocation.plugins.module_utils.host import deploy as module
from ansible_collections.mec.relocation.plugins.module_utils.host import info, owner, ownership
from ansible_collections.mec.relocation.plugins.module_utils.host.info import survey
from ansible_collections.mec.relocation.plugins.module_utils.host.lease import Lease
from ansible_collections.mec.relocation.plugins.module_utils.host.lock import AGENT, Busy, Lock
from ansible_collections.mec.relocation.plugins.module_utils.host.owner import (
    EPOCHS_OF_THE_DEAD,
    MAY_WRITE,
    Note,
    State,
)
from ansible_collections.mec.relocation.plugins.module_utils.host.state import (
    append_record,
    last_records,
)
from ansible_collections.mec.relocation.tests.unit.plugins.module_utils.played import (
    APP,
    IMAGE,
    Engine,
    World,
    world,
)

OWNER = Note(State.SERVING, 3, 3, 0, 3, 3)
FORMER = Note(State.RETIRED, 2, 3, 0, 3, 2, "worker1")
TOOK = OWNER._replace(taken=4, known=4, floor=4, copy=4)
CUT_OFF = OWNER._replace(state=State.RELOCATING, attempt=4, peer="worker2", handoff="h1")


@pytest.fixture
def hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with world(tmp_path, monkeypatch, "worker1", "worker2", "worker3") as made:
        made.plays(module, monkeypatch)
        made.plays(info, monkeypatch)
        yield made


def deploy(
    hosts: World, host: str, state: str = "serving", *, check: bool = False, **more: Any
) -> list[str]:
    """What was changed; who was asked has ended its work."""
    how: dict[str, Any] = {"image_id": IMAGE, "resume": False, "dead": [], "purge": False, **more}
    declaration = {"name": "notes"} if how["resume"] else APP.to_dict()
    try:
        changes, _warnings = module.deploy(
            hosts[host].config, declaration, state, check=check, **how
        )
    finally:
        hosts.close()
    return changes


def settle(hosts: World, host: str, *dead: str, check: bool = False) -> list[str]:
    return deploy(hosts, host, resume=True, image_id=None, dead=list(dead), check=check)


def refused(hosts: World, host: str, words: str, **how: Any) -> str:
    """The refusal of a deployment that changes nothing, and the one command that it names."""
    before = {name: kept.kept.note() for name, kept in hosts.hosts.items()}
    serving = hosts.serving
    with pytest.raises(RelocationError, match=words) as found:
        deploy(hosts, host, **how)
    assert {name: kept.kept.note() for name, kept in hosts.hosts.items()} == before
    assert hosts.serving == serving
    commands = re.findall(r"(?:ansible-playbook )?playbooks/\S+(?: -e \S+)*", str(found.value))
    assert len(commands) == 1, found.value
    return commands[0].removeprefix("ansible-playbook ").removesuffix(".")


# -- deploying --------------------------------------------------------------------------------


def test_a_new_app_is_owned_by_the_host_that_serves_it(hosts: World) -> None:
    assert deploy(hosts, "worker1") == ["instance", "owner"]
    note = hosts["worker1"].kept.note()
    assert (note.state, note.taken, note.rivals) == (State.SERVING, 1, ())
    assert hosts.serving == ["worker1"]
    for name in ("worker2", "worker3"):
        fenced = hosts[name].kept.note()
        assert (fenced.state, fenced.known, fenced.peer) == (State.ABSENT, 1, "worker1")
    assert {host.gateway.where["notes"] for host in hosts.hosts.values()} == {"worker1"}
    assert hosts["worker1"].kept.current
    # What a second run finds is as it should be.
    assert deploy(hosts, "worker1") == []


def test_a_deployment_leaves_no_lease_behind(hosts: World) -> None:
    deploy(hosts, "worker1")
    # A handoff may follow at once.
    for host in hosts.hosts.values():
        assert Lock(host.kept.folder, "notes").holder() is None
    assert Lease(hosts["worker1"].kept.folder, "notes").current() is None


def test_every_host_tells_of_an_app_that_serves_elsewhere(hosts: World) -> None:
    deploy(hosts, "worker1")
    told = [survey(host.config)["apps"]["notes"] for host in hosts.hosts.values()]
    assert [part["state"] for part in told] == ["serving", "absent", "absent"]
    assert [part["epoch"] for part in told] == [1, 1, 1]
    # Those that have not been told what it is have been told who has it.
    assert [part["declaration"] is None for part in told] == [False, True, True]
    assert [part["peer"] for part in told] == [None, "worker1", "worker1"]


def test_a_new_app_is_not_stopped_by_a_host_that_is_gone(hosts: World) -> None:
    hosts["worker3"].up = False
    with pytest.raises(RelocationError, match="cannot be known") as found:
        deploy(hosts, "worker1")
    assert "settle.yml -e app=notes -e keep=worker1 -e dead=worker3" in str(found.value)
    assert hosts.serving == []
    # The command that it names works, and gives the volume what the image has at its place.
    assert settle(hosts, "worker1", "worker3") == ["owner"]
    assert hosts.serving == ["worker1"]
    assert "create True" in hosts["worker1"].engine.did


def test_a_check_tells_the_same_and_changes_nothing(hosts: World) -> None:
    assert deploy(hosts, "worker1", check=True) == ["instance", "owner"]
    assert [host.kept.note() for host in hosts.hosts.values()] == [Note()] * 3
    assert hosts.serving == []
    assert not any(host.engine.did for host in hosts.hosts.values())


def test_a_new_image_is_deployed_by_its_owner(hosts: World) -> None:
    deploy(hosts, "worker1")
    assert deploy(hosts, "worker1", image_id="sha256:2") == ["image"]
    found = hosts["worker1"].engine.find("notes")
    assert found is not None and found.image_id == "sha256:2"
    assert hosts.serving == ["worker1"]
    assert hosts["worker1"].kept.note().taken == 1


def test_an_instance_that_has_ended_is_made_to_serve(hosts: World) -> None:
    deploy(hosts, "worker1")
    hosts["worker1"].engine.kill("notes")
    assert deploy(hosts, "worker1") == ["health"]
    assert hosts.serving == ["worker1"]


@pytest.mark.parametrize("state", [State.SERVING, State.RELOCATING])
def test_a_second_writer_is_refused(hosts: World, state: State) -> None:
    hosts["worker1"].has(FORMER)
    hosts["worker2"].has(OWNER._replace(state=state, attempt=4))
    command = refused(hosts, "worker1", f"is {state} on worker2, so worker1 must not start it")
    assert command == "playbooks/handoff.yml"


def test_an_older_volume_is_never_picked(hosts: World) -> None:
    hosts["worker1"].has(FORMER, content="older")
    hosts["worker2"].has(FORMER._replace(taken=3, copy=3), content="newer")
    command = refused(hosts, "worker1", "serves nowhere, and worker2 has a newer volume than wor")
    assert command == "playbooks/settle.yml -e app=notes -e keep=worker2"
    # The command does it, and so does a deployment there.
    assert settle(hosts, "worker2") == ["owner"]
    assert hosts.serving == ["worker2"]
    assert (hosts["worker2"].volume / "file").read_text() == "newer"


def test_a_host_that_is_silent_is_not_passed_over(hosts: World) -> None:
    hosts["worker1"].has(FORMER)
    hosts["worker3"].up = False
    command = refused(hosts, "worker1", "Whether app 'notes' serves on worker3 cannot be known")
    assert command == "playbooks/settle.yml -e app=notes -e keep=worker1 -e dead=worker3"
    assert settle(hosts, "worker1", "worker3") == ["owner"]
    assert hosts.serving == ["worker1"]


def test_a_silent_host_stops_nothing_that_does_not_need_it(hosts: World) -> None:
    deploy(hosts, "worker1")
    hosts["worker3"].up = False
    assert deploy(hosts, "worker1", image_id="sha256:2") == ["image"]
    assert hosts.serving == ["worker1"]


@pytest.mark.parametrize(
    ("note", "command"),
    [
        (CUT_OFF, "-e keep=worker1 -e dead=worker2"),
        (CUT_OFF._replace(state=State.TAKING), "-e keep=worker1 -e dead=worker2"),
        (OWNER._replace(rivals=("worker2",)), "-e keep=worker1"),
    ],
)
def test_what_is_not_finished_is_not_deployed_over(hosts: World, note: Note, command: str) -> None:
    hosts["worker1"].has(note)
    assert refused(hosts, "worker1", "was interrupted") == (
        f"playbooks/settle.yml -e app=notes {command}"
    )


def test_a_host_that_has_begun_again_is_not_deployed_to_before_it_has_heard(hosts: World) -> None:
    hosts["worker1"].has(OWNER)
    hosts["worker1"].boots()
    refused(hosts, "worker1", "worker1 has begun again, and asks")


def test_an_app_that_is_being_relocated_is_left_alone(hosts: World) -> None:
    hosts["worker1"].has(OWNER, runs=True)
    with (
        Lock(hosts["worker1"].kept.folder, "notes").held("h1", AGENT),
        pytest.raises(Busy, match="worked on by h1"),
    ):
        deploy(hosts, "worker1", image_id="sha256:2")
    hosts["worker2"].has(FORMER)
    hosts["worker1"].kept.write(FORMER)
    with (
        Lock(hosts["worker2"].kept.folder, "notes").held("h1", AGENT),
        pytest.raises(RelocationError, match=r"worker2: .* worked on by h1"),
    ):
        deploy(hosts, "worker1")


# -- settling ---------------------------------------------------------------------------------


@pytest.fixture
def uncertain(hosts: World) -> World:
    """worker1 is fenced; worker2 took the app, and cannot serve it; worker3 knows nothing of it."""
    hosts["worker1"].has(CUT_OFF, content="old", runs=True)
    hosts["worker1"].engine.frozen.add("notes")
    hosts["worker2"].has(TOOK, content="new", runs=True)
    hosts["worker2"].engine.ill.add("notes")
    return hosts


def test_every_other_host_confirms_before_the_kept_one_serves(
    uncertain: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts = uncertain
    seen: list[tuple[bool, list[State]]] = []

    def thaw(engine: Engine, app: str) -> None:
        ended = hosts["worker2"].engine.instances["notes"]
        others = [hosts[name].kept.note().state for name in ("worker2", "worker3")]
        seen.append((ended.running, others))
        engine.frozen.discard(app)

    monkeypatch.setattr(Engine, "thaw", thaw)
    assert settle(hosts, "worker1") == ["owner"]
    assert seen == [(False, [State.RETIRED, State.ABSENT])]
    assert hosts.serving == ["worker1"]
    assert {host.gateway.where["notes"] for host in hosts.hosts.values()} == {"worker1"}
    # What may have been acknowledged there is kept, and named.
    [aside] = hosts["worker2"].config.pv_root.glob("notes.epoch-4")
    assert (aside / "file").read_text() == "new"
    assert settle(hosts, "worker1") == []


@pytest.mark.parametrize("lost", ["worker1", "worker2"])
@pytest.mark.parametrize("keep", ["worker1", "worker2"])
def test_a_note_that_is_damaged_is_settled(uncertain: World, lost: str, keep: str) -> None:
    hosts = uncertain
    if keep == "worker2":
        hosts["worker2"].engine.ill.clear()
    (hosts[lost].kept.folder / "owner.json").write_text("torn")
    told = survey(hosts[lost].config)["apps"]["notes"]
    assert told["state"] == "lost"
    with pytest.raises(RelocationError, match=r"is damaged.*settle\.yml"):
        deploy(hosts, lost)
    assert settle(hosts, keep) == ["owner"]
    assert hosts.serving == [keep]
    states = {name: host.kept.note().state for name, host in hosts.hosts.items()}
    assert states.pop(keep) is State.SERVING
    assert not MAY_WRITE & set(states.values())
    assert settle(hosts, keep) == []


def test_a_note_that_is_damaged_leaves_room_for_all_epochs(uncertain: World) -> None:
    hosts = uncertain
    hosts["worker2"].up = False
    (hosts["worker1"].kept.folder / "owner.json").write_text("torn")
    settle(hosts, "worker1", "worker2")
    # Whatever the dead one has taken, this is newer.
    assert hosts["worker1"].kept.note().taken > 10**9


def test_what_was_put_aside_is_no_copy_any_more(uncertain: World) -> None:
    hosts = uncertain
    settle(hosts, "worker1")
    note = hosts["worker2"].kept.note()
    assert (note.state, note.copy, note.handoff) == (State.RETIRED, 0, "")


@pytest.mark.parametrize(("keep", "outcome"), [("worker1", "aborted"), ("worker2", "completed")])
def test_the_record_tells_how_a_person_settled_it(
    uncertain: World, keep: str, outcome: str
) -> None:
    hosts = uncertain
    state_dir = hosts[keep].config.state_dir
    record = {"id": "h1", "app": "notes", "source": "worker1", "target": "worker2"}
    append_record(state_dir, {**record, "outcome": "uncertain"})
    hosts["worker2"].kept.write(TOOK._replace(rivals=("worker1", "worker3")))
    hosts["worker2"].engine.ill.discard("notes")
    if keep == "worker1":
        hosts["worker2"].engine.ill.add("notes")
    settle(hosts, keep)
    assert last_records(state_dir)["notes"]["outcome"] == outcome


def test_a_host_that_does_not_confirm_lets_nobody_serve(uncertain: World) -> None:
    hosts = uncertain
    hosts["worker2"].engine.failing["kill"] = RelocationError("the engine does not answer")
    with pytest.raises(RelocationError, match="worker2: the engine does not answer"):
        settle(hosts, "worker1")
    assert hosts.serving == []
    # No deployment serves meanwhile, and the same command goes on.
    assert hosts["worker1"].kept.note().rivals == ("worker2", "worker3")
    assert refused(hosts, "worker1", "was interrupted").endswith("-e keep=worker1")
    hosts["worker2"].engine.failing.clear()
    assert settle(hosts, "worker1") == ["owner"]
    assert hosts.serving == ["worker1"]
    assert hosts["worker1"].kept.note().rivals == ()
    assert hosts["worker2"].kept.note().known == hosts["worker1"].kept.note().taken


def test_a_host_that_refuses_to_retire_lets_nobody_serve(
    uncertain: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    decide = owner.decide

    def knows_better(note: Note, event: owner.Event) -> owner.Decision:
        if isinstance(event, owner.Fenced):
            return owner.Decision(note, answer=owner.Answer.REFUSED, why="it knows epoch 9")
        return decide(note, event)

    monkeypatch.setattr(ownership.protocol, "decide", knows_better)
    with pytest.raises(RelocationError, match="worker2 does not end app 'notes': it knows epoch 9"):
        settle(uncertain, "worker1")
    assert uncertain.serving == []
    assert uncertain["worker1"].kept.note().rivals == ("worker2", "worker3")


@pytest.mark.parametrize("dead", [[], ["worker3"]])
def test_a_silent_host_is_not_settled_over(uncertain: World, dead: list[str]) -> None:
    hosts = uncertain
    hosts["worker2"].up = hosts["worker3"].up = False
    how = {"resume": True, "image_id": None, "dead": dead}
    command = refused(hosts, "worker1", "worker2 cannot be known", **how)
    assert " -e dead=" in command


def test_the_word_of_a_person_replaces_a_dead_hosts(uncertain: World) -> None:
    hosts = uncertain
    hosts["worker2"].up = False
    assert settle(hosts, "worker1", "worker2") == ["owner"]
    assert hosts.serving == ["worker1"]
    # Newer than anything that the dead host may have begun.
    assert hosts["worker1"].kept.note().taken > 4 + EPOCHS_OF_THE_DEAD
    assert hosts["worker2"].kept.note() == TOOK


def test_a_dead_host_that_answers_is_not_dead(uncertain: World) -> None:
    before = {name: host.kept.note() for name, host in uncertain.hosts.items()}
    with pytest.raises(RelocationError, match="worker2 answers: it is not gone"):
        settle(uncertain, "worker1", "worker2")
    assert {name: host.kept.note() for name, host in uncertain.hosts.items()} == before
    assert uncertain.serving == []


def test_an_app_that_serves_elsewhere_is_not_settled(hosts: World) -> None:
    hosts["worker1"].has(FORMER)
    hosts["worker2"].has(OWNER, runs=True)
    how = {"resume": True, "image_id": None}
    command = refused(hosts, "worker1", "serves on worker2: there is nothing to be settled", **how)
    assert command == "playbooks/handoff.yml"


def test_a_newer_volume_that_is_not_kept_is_told_and_stays(hosts: World) -> None:
    hosts["worker1"].has(FORMER, content="older")
    hosts["worker2"].has(FORMER._replace(copy=3), content="newer")
    _changes, warnings = module.deploy(
        hosts["worker1"].config,
        {"name": "notes"},
        "serving",
        image_id=None,
        resume=True,
        dead=[],
        purge=False,
        check=False,
    )
    assert "volume of 'notes' on worker2 is newer than the one on worker1" in warnings[0]
    assert (hosts["worker2"].volume / "file").read_text() == "newer"


def test_an_owner_whose_instance_has_ended_is_settled_by_starting_it(hosts: World) -> None:
    deploy(hosts, "worker1")
    hosts["worker1"].engine.kill("notes")
    assert settle(hosts, "worker1", check=True) == ["instance"]
    assert hosts.serving == []
    assert settle(hosts, "worker1") == ["instance"]
    assert hosts.serving == ["worker1"]
    assert hosts["worker1"].kept.note().taken == 1


def test_a_persons_decision_waits_for_no_lease(uncertain: World) -> None:
    for name in ("worker1", "worker2"):
        Lease(uncertain[name].kept.folder, "notes").acquire("h1")
    assert settle(uncertain, "worker1") == ["owner"]


def test_an_owner_that_another_host_asks_is_left_to_it(uncertain: World) -> None:
    # worker2 has it, and worker1 hears so from it.
    uncertain["worker2"].engine.ill.clear()
    assert settle(uncertain, "worker2") == ["gateway"]
    assert uncertain["worker1"].kept.note() == CUT_OFF
    assert uncertain.serving == ["worker2"]


def test_settling_in_check_mode_changes_nothing(uncertain: World) -> None:
    before = {name: host.kept.note() for name, host in uncertain.hosts.items()}
    assert settle(uncertain, "worker1", check=True) == ["owner"]
    assert {name: host.kept.note() for name, host in uncertain.hosts.items()} == before
    assert uncertain.serving == []


# -- the other states -------------------------------------------------------------------------


def test_an_app_is_stopped_and_its_volume_stays_the_newest(hosts: World) -> None:
    deploy(hosts, "worker1")
    assert deploy(hosts, "worker1", "stopped") == ["instance"]
    assert hosts.serving == []
    note = hosts["worker1"].kept.note()
    assert (note.state, note.copy) == (State.RETIRED, 1)
    assert deploy(hosts, "worker1", "stopped") == []
    assert deploy(hosts, "worker1") == ["instance", "owner"]
    assert hosts.serving == ["worker1"]


def test_a_preparation_is_discarded_and_nothing_else(hosts: World) -> None:
    hosts["worker2"].has(Note(State.PREPARED, handoff="h1"), content="half a copy")
    assert deploy(hosts, "worker2", "discarded") == ["preparation"]
    assert not hosts["worker2"].volume.exists()
    for note in (OWNER, CUT_OFF, TOOK._replace(state=State.TAKING), FORMER):
        hosts["worker1"].has(note, content="acknowledged")
        assert deploy(hosts, "worker1", "discarded") == []
        assert (hosts["worker1"].volume / "file").exists()


def test_a_relocation_at_work_is_not_discarded_however_long_it_takes(hosts: World) -> None:
    # Its lease here ended long ago; what it has brought, the app may write to in a moment.
    hosts["worker2"].has(Note(State.PREPARED, handoff="h1"), content="nearly there")
    with (
        Lock(hosts["worker2"].kept.folder, "notes").held("h1", AGENT),
        pytest.raises(Busy, match="worked on by h1"),
    ):
        deploy(hosts, "worker2", "discarded")
    assert (hosts["worker2"].volume / "file").read_text() == "nearly there"
    assert hosts["worker2"].engine.did == []


@pytest.mark.parametrize("purge", [False, True])
def test_an_app_is_removed(hosts: World, purge: bool) -> None:
    deploy(hosts, "worker1")
    hosts["worker1"].volume.mkdir()
    changes = deploy(hosts, "worker1", "absent", purge=purge)
    assert changes == ["instance", "declaration", "gateway", *(["volume"] if purge else [])]
    assert hosts["worker1"].volume.exists() is not purge
    assert not hosts["worker1"].kept.knows
    assert not any(host.gateway.where for host in hosts.hosts.values())
    assert deploy(hosts, "worker1", "absent") == []
