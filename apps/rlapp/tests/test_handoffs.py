"""The queue: order, cancelling, and the truth after an interruption."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from played import PlayedRunner, record, report, write_records
from rlapp import handoffs as queue
from rlapp import ready as ready_runs
from rlapp.app import create_app
from rlapp.config import Config
from rlapp.runner import End, Job
from rlapp.service import Service, build
from rlapp.store import dumps
from running import PATIENCE_S


def until(condition: Callable[[], bool], what: str = "it") -> None:
    """Wait until something holds."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s, f"{what} did not happen"
        time.sleep(0.01)


def hand_off(client: TestClient, target: str = "cell2", **more: Any) -> dict[str, Any]:
    """Send a handoff message; returns the handoff."""
    message = {"ue": "ue1", "target_cell": target, **more}
    answer = client.post("/api/handoffs", json=message)
    assert answer.status_code == 202, answer.text
    handoff: dict[str, Any] = answer.json()
    return handoff


def ended(client: TestClient, handoff: dict[str, Any]) -> dict[str, Any]:
    """The handoff, when it has ended."""
    found: dict[str, Any] = {}

    def has_ended() -> bool:
        found.update(client.get(f"/api/handoffs/{handoff['id']}").json())
        return found["state"] not in ("queued", "running")

    until(has_ended, "the end")
    return found


def test_a_handoff_runs_and_its_record_is_kept(client: TestClient) -> None:
    client.post("/api/locations", json=report())
    done = ended(client, hand_off(client))
    assert done["state"] == "completed" and done["error"] is None
    (kept,) = client.get("/api/relocations").json()
    assert (kept["app"], kept["outcome"], kept["target"]) == ("videoapp", "completed", "worker2")
    state = client.get("/api/state").json()
    assert state["instances"][0]["me_host"] == "worker2"
    assert state["locations"][0]["cell"] == "cell2"
    metrics = client.get("/metrics").text
    assert 'rlapp_relocations_total{app="videoapp",outcome="completed"} 1.0' in metrics
    assert 'rlapp_downtime_seconds_sum{app="videoapp"} 0.02' in metrics


def test_one_of_a_ue_at_a_time_and_several_ues_side_by_side(
    client: TestClient, runner: PlayedRunner
) -> None:
    runner.go_on.clear()
    first = hand_off(client)
    second = hand_off(client, "cell1")
    other = hand_off(client, ue="ue2")
    until(lambda: runner.side_by_side == 2)
    assert client.get(f"/api/handoffs/{second['id']}").json()["state"] == "queued"
    runner.go_on.set()
    for handoff in (first, second, other):
        assert ended(client, handoff)["state"] == "completed"
    assert [job.target_cell for job in runner.jobs if job.ue == "ue1"] == ["cell2", "cell1"]
    assert runner.most == 2


def test_a_message_that_comes_twice_is_one_handoff(
    client: TestClient, runner: PlayedRunner
) -> None:
    first = hand_off(client, key="abc")
    assert hand_off(client, key="abc")["id"] == first["id"]
    ended(client, first)
    assert hand_off(client, key="abc")["id"] == first["id"]
    assert len(runner.jobs) == 1


def test_what_waits_and_what_runs_can_be_cancelled(
    client: TestClient, runner: PlayedRunner
) -> None:
    runner.go_on.clear()
    running, waiting = hand_off(client), hand_off(client, "cell1")
    for handoff in (waiting, running):
        assert client.post(f"/api/handoffs/{handoff['id']}/cancel").status_code == 200
        assert ended(client, handoff)["state"] == "cancelled"
    assert client.post(f"/api/handoffs/{running['id']}/cancel").status_code == 404
    assert len(runner.jobs) == 1


def test_turning_back_takes_a_waiting_preparation_out(
    client: TestClient, runner: PlayedRunner
) -> None:
    runner.go_on.clear()
    hand_off(client)
    waiting = hand_off(client, ho_status="IN_PREPARATION")
    last = hand_off(client, ho_status="CANCELLED")
    assert client.get(f"/api/handoffs/{waiting['id']}").json()["state"] == "cancelled"
    runner.go_on.set()
    assert ended(client, last)["state"] == "completed"


def prepared(client: TestClient, runner: PlayedRunner) -> Job:
    """Have a handoff to cell2 announced; returns the run that waits for it then."""
    assert ended(client, hand_off(client, ho_status="IN_PREPARATION"))["state"] == "completed"
    until(lambda: len(runner.jobs) == 2, "the run that waits")
    ready = runner.jobs[1]
    assert (ready.target_cell, ready.ho_status) == ("cell2", "IN_EXECUTION")
    return ready


def test_what_is_prepared_is_handed_off_by_a_run_that_waits(
    client: TestClient, runner: PlayedRunner
) -> None:
    ready = prepared(client, runner)
    # The page sees nothing of it: it has done nothing yet.
    assert [handoff["state"] for handoff in client.get("/api/handoffs").json()] == ["completed"]
    assert client.get("/api/relocations").json() == []
    done = ended(client, hand_off(client, ho_status="IN_EXECUTION"))
    assert (done["state"], done["run"]) == ("completed", ready.run)
    assert done["plan"]["relocations"][0]["execute"]
    (kept,) = client.get("/api/relocations").json()
    assert (kept["id"], kept["rlapp_handoff"]) == (f"id-{ready.run}", done["id"])
    assert len(runner.jobs) == 2
    until(lambda: runner.side_by_side == 0)


@pytest.mark.parametrize(
    "message",
    [
        {"target": "cell2", "ho_status": "CANCELLED"},
        {"target": "cell1", "ho_status": "IN_EXECUTION"},
        {"target": "cell2"},
    ],
)
def test_whatever_else_happens_ends_the_run_that_waits(
    client: TestClient, runner: PlayedRunner, message: dict[str, Any]
) -> None:
    ready = prepared(client, runner)
    done = ended(client, hand_off(client, **message))
    assert done["state"] == "completed"
    assert [job.run for job in runner.jobs[2:]] == [done["run"]] != [ready.run]
    until(lambda: runner.side_by_side == 0)
    assert all(
        record["id"] != f"id-{ready.run}" for record in client.get("/api/relocations").json()
    )


def test_a_run_waits_no_longer_than_its_plan_is_true(
    client: TestClient, runner: PlayedRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ready_runs, "USEFUL_S", 0.1)
    ready = prepared(client, runner)
    until(lambda: runner.side_by_side == 0, "its end")
    done = ended(client, hand_off(client, ho_status="IN_EXECUTION"))
    assert done["state"] == "completed" and done["run"] != ready.run


def test_a_service_that_ends_waits_for_no_word(
    service: Service, runner: PlayedRunner, client_of: Callable[[Service], TestClient]
) -> None:
    with client_of(service) as client:
        prepared(client, runner)
    assert runner.side_by_side == 0
    assert list((service.config.state_dir / "runs").iterdir()) == []


@pytest.mark.parametrize(
    ("outcome", "end", "state"),
    [
        ("aborted", End("failed", "the disk is full"), "failed"),
        ("uncertain", End("failed", "the host was lost"), "uncertain"),
        ("aborted", End("timeout"), "failed"),
        ("completed", End("canceled"), "completed"),
    ],
)
def test_the_record_decides(
    client: TestClient, runner: PlayedRunner, outcome: str, end: End, state: str
) -> None:
    runner.outcome, runner.end = outcome, end
    done = ended(client, hand_off(client))
    assert done["state"] == state
    assert client.get("/api/relocations").json()[0]["outcome"] == outcome


def test_too_many_are_refused(config: Config, runner: PlayedRunner) -> None:
    few = config.model_copy(
        update={"handoffs": config.handoffs.model_copy(update={"queued_max": 2})}
    )
    runner.go_on.clear()
    with TestClient(create_app(build(few, runner))) as client:
        client.headers["Authorization"] = f"Bearer {config.tokens['machine'].file.read_text()}"
        message = {"ue": "ue1", "target_cell": "cell2"}
        answers = [client.post("/api/handoffs", json=message).status_code for _ in range(5)]
        assert answers == [202, 202, 202, 429, 429]
        runner.go_on.set()


def interrupted(service: Service, *, planned: bool = True) -> Job:
    """A handoff that was running when the process was killed."""
    job = Job("rlapp-killed", "ue1", "cell2", ["videoapp"])
    item = {
        "app": "videoapp",
        "source": "worker1",
        "target": "worker2",
        "execute": True,
        "handoff": "id-killed",
    }
    service.store.execute(
        "INSERT INTO handoffs (run, ue, target_cell, apps, state, origin, asked_s, plan)"
        " VALUES ('rlapp-killed', 'ue1', 'cell2', '[\"videoapp\"]', 'running', 'x', 1, ?)",
        (dumps({"move_ue": True, "relocations": [item]}) if planned else None,),
    )
    return job


def test_after_a_kill_the_record_tells(
    service: Service, runner: PlayedRunner, client_of: Callable[[Service], TestClient]
) -> None:
    job = interrupted(service)
    runner.orphans.add(job.run)  # the playbook has outlived the service
    with client_of(service) as client:
        assert client.get("/api/handoffs/1").json()["state"] == "running"
        item = {"app": "videoapp", "source": "worker1", "target": "worker2", "handoff": "id"}
        write_records(runner.results, job.run, [record(item, job, "completed")])
        runner.orphans.clear()
        assert ended(client, {"id": 1})["state"] == "completed"
    assert runner.jobs == []


@pytest.mark.parametrize(
    ("serves", "state"), [("worker2", "completed"), ("worker1", "failed"), ("x", "uncertain")]
)
def test_without_a_record_the_me_hosts_tell(
    service: Service,
    runner: PlayedRunner,
    client_of: Callable[[Service], TestClient],
    serves: str,
    state: str,
) -> None:
    interrupted(service)
    runner.at["videoapp"] = serves
    with client_of(service) as client:
        assert ended(client, {"id": 1})["state"] == state
    assert runner.jobs == []


def uncertain(client: TestClient, runner: PlayedRunner) -> dict[str, Any]:
    """A handoff of which nobody knows how it ended."""
    runner.outcome, runner.end = "uncertain", End("failed", "worker2 was lost.")
    done = ended(client, hand_off(client))
    assert done["state"] == "uncertain"
    return done


def settle(runner: PlayedRunner, handoff: dict[str, Any], outcome: str, where: str) -> None:
    """Have the source record how it ended, as its reconciler does."""
    (item,) = handoff["plan"]["relocations"]
    job = Job(handoff["run"], "ue1", "cell2", ["videoapp"])
    told = record(item, job, outcome) | {"ue": None, "client": None, "downtime_s": None}
    runner.told[item["source"], "videoapp"] = told | {"time": "2026-01-02T03:05:00+00:00"}
    runner.at["videoapp"] = where


@pytest.mark.parametrize(
    ("outcome", "where", "state"),
    [("completed", "worker2", "completed"), ("aborted", "worker1", "failed")],
)
@pytest.mark.parametrize("restarted", [False, True])
def test_what_is_uncertain_is_followed_until_its_end(
    service: Service,
    runner: PlayedRunner,
    client_of: Callable[[Service], TestClient],
    monkeypatch: pytest.MonkeyPatch,
    outcome: str,
    where: str,
    state: str,
    restarted: bool,
) -> None:
    monkeypatch.setattr(queue, "_FOLLOW_FIRST_S", 0.05)
    monkeypatch.setattr(queue, "_FOLLOW_MOST_S", 0.1)
    told: list[tuple[str, bool]] = []

    def listen(service: Service) -> None:
        monkeypatch.setattr(
            service.notifications,
            "relocated",
            lambda relocation, completed: told.append((relocation.target, completed)),
        )

    listen(service)
    with client_of(service) as client:
        client.post("/api/locations", json=report())
        handoff = uncertain(client, runner)
        (first,) = client.get("/api/relocations").json()
        time.sleep(0.3)  # it is asked about, and nothing has become known
        assert client.get(f"/api/handoffs/{handoff['id']}").json()["state"] == "uncertain"
        assert told == []
        newest = client.get("/api/state").json()["event"]
        if not restarted:
            settle(runner, handoff, outcome, where)
            until(lambda: ended(client, handoff)["state"] == state)
    if restarted:
        settle(runner, handoff, outcome, where)
        service = build(service.config, runner)
        listen(service)
    else:
        service = build(service.config, runner)
    with client_of(service) as client:
        until(lambda: ended(client, handoff)["state"] == state)
        done = ended(client, handoff)
        assert (done["error"] is None) == (state == "completed")
        (kept,) = client.get("/api/relocations").json()
        assert (kept["outcome"], kept["ue"]) == (outcome, "ue1")
        assert (kept["rlapp_number"], kept["client"]) == (first["rlapp_number"], first["client"])
        assert f'rlapp_relocations_total{{app="videoapp",outcome="{outcome}"}} 1.0' in (
            client.get("/metrics").text
        )
        events = [event.type for event in service.events.after(newest)]
        assert events.count("relocation") == 1 and events.count("handoff") == 1
        time.sleep(0.3)
    assert told == [("worker2", outcome == "completed")]


def test_a_later_handoff_may_tell_how_one_ended(
    client: TestClient, runner: PlayedRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "_FOLLOW_FIRST_S", 0.05)
    handoff = uncertain(client, runner)
    (item,) = handoff["plan"]["relocations"]
    job = Job(handoff["run"], "ue1", "cell2", ["videoapp"])
    lines = [record(item, job, outcome) for outcome in ("uncertain", "completed")]
    write_records(runner.results, handoff["run"], lines)
    until(lambda: ended(client, handoff)["state"] == "completed")


@pytest.mark.parametrize("busy", [None, "another"])
def test_where_the_app_serves_tells_it_when_nobody_works_on_it_any_more(
    client: TestClient,
    runner: PlayedRunner,
    monkeypatch: pytest.MonkeyPatch,
    busy: str | None,
) -> None:
    monkeypatch.setattr(queue, "_FOLLOW_FIRST_S", 0.05)
    monkeypatch.setattr(queue, "_FOLLOW_MOST_S", 0.1)
    handoff = uncertain(client, runner)
    runner.busy = busy
    runner.at["videoapp"] = "worker2"
    if busy:
        time.sleep(0.5)
        assert ended(client, handoff)["state"] == "uncertain"
        runner.busy = None
    until(lambda: ended(client, handoff)["state"] == "completed")
    (kept,) = client.get("/api/relocations").json()
    assert kept["outcome"] == "completed"
    assert kept["error"].endswith("It has ended since: worker2 has the app.")


def test_another_relocation_since_then_tells_nothing_of_it(
    client: TestClient, runner: PlayedRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "_FOLLOW_FIRST_S", 0.05)
    handoff = uncertain(client, runner)
    settle(runner, handoff, "completed", "worker1")
    later = {"id": "another", "time": "2999-01-01T00:00:00+00:00"}
    runner.told["worker1", "videoapp"] |= later
    time.sleep(0.5)
    assert ended(client, handoff)["state"] == "uncertain"


def test_pauses_grow_and_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "_FOLLOW_S", 200.0)
    assert list(queue._pauses()) == [1.5, 3.0, 6.0, 12.0, 24.0, 48.0, 60.0, 60.0]


def test_without_a_plan_nobody_knows(
    service: Service, client_of: Callable[[Service], TestClient]
) -> None:
    interrupted(service, planned=False)
    with client_of(service) as client:
        done = ended(client, {"id": 1})
        assert done["state"] == "uncertain" and "instances" in done["error"]
        assert client.get("/api/state").json()["instances"]


def test_what_waited_when_the_process_was_killed_is_run_once(
    config: Config, runner: PlayedRunner, client_of: Callable[[Service], TestClient]
) -> None:
    service = build(config, runner)
    service.store.execute(
        "INSERT INTO handoffs (run, ue, target_cell, apps, state, origin, asked_s)"
        " VALUES ('rlapp-waited', 'ue1', 'cell2', '[\"videoapp\"]', 'queued', 'x', 1)"
    )
    with client_of(service) as client:
        assert ended(client, {"id": 1})["state"] == "completed"
    with client_of(build(config, runner)) as client:
        assert client.get("/api/handoffs/1").json()["state"] == "completed"
    assert [job.run for job in runner.jobs] == ["rlapp-waited"]
