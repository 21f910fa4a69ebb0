# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The cutover's order, and what it leaves behind when a step fails.

The hosts here note what they are asked; the steps themselves are tested on the testbed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Generic

import pytest
from ansible_collections.mec.relocation.plugins.module_utils.ground.app import App
from ansible_collections.mec.relocation.plugins.module_utils.ground.errors import RelocationError
from ansible_collections.mec.relocation.plugins.module_utils.ground.record import Record
from ansible_collections.mec.relocation.plugins.module_utils.image.commit import Commit
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

Journal = list[str]


class Noting:
    """A host that notes every step and fails at those it is told to."""

    def __init__(
        self, name: str, journal: Journal, failing: dict[str, Exception], noted: str = ""
    ) -> None:
        self.name = name
        self.noted = noted or name
        self.journal = journal
        self.failing = failing

    def begin(self, step: Step[Answer]) -> Taken[Answer]:
        self.journal.append(f"{self.noted}.{step.step_name}")
        return Taken(self, step)

    def answer(self, step: Step[Any]) -> Any:
        place = {"name": f"videoapp-{self.name}", "address": "172.17.0.2"}
        if isinstance(step, steps.Hold):
            # The drain asks again where it has something to wait for.
            return int("in_flight" in self.failing)
        if isinstance(step, steps.InFlight):
            return 0
        if isinstance(step, steps.Prepare):
            return {**place, "changed": True}
        if isinstance(step, steps.Pull):
            return {"image_id": "sha256:2", "bytes": 10}
        if isinstance(step, steps.Activate):
            return place
        return True if isinstance(step, steps.CloseGateway) else None


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

    def __init__(self, journal: Journal, failing: dict[str, Exception]) -> None:
        self.journal = journal
        self.failing = failing

    def make_ready(self, _app: str) -> None:
        self.note("make_ready")

    def freeze(self, _app: str) -> None:
        self.note("freeze")

    def thaw(self, _app: str) -> None:
        self.note("thaw")

    def note(self, what: str) -> None:
        self.journal.append(f"source.{what}")
        if what in self.failing:
            raise self.failing[what]


class Run:
    """A cutover between noting hosts."""

    def __init__(self, **failing: Exception) -> None:
        self.journal: Journal = []
        there = {key[7:]: error for key, error in failing.items() if key.startswith("target_")}
        here = {key[7:]: error for key, error in failing.items() if key.startswith("source_")}
        self.source = Noting("worker1", self.journal, here, noted="source")
        self.platform = Pausing(self.journal, here)
        self.target = Noting("target", self.journal, there)
        self.local = Noting("worker1", self.journal, {})
        self.again = Noting(
            "again",
            self.journal,
            {"kill": failing["again_kill"]} if "again_kill" in failing else {},
        )
        self.record = Record(0.0, [], id="h1")
        self.copy_error = failing.get("copy")

    def ahead(self, record: Record) -> None:
        with record.phase("volume_sync"):
            self.journal.append("pass")

    def last(self, record: Record) -> None:
        with record.phase("last_delta"):
            self.journal.append("last_delta")
            if self.copy_error is not None:
                raise self.copy_error

    @contextlib.contextmanager
    def reopen(self) -> Iterator[Noting]:
        yield self.again

    def transfer(self, app: App) -> Transfer:
        return Proactive(app, "sha256:1", "h1", self.target, self)

    def run(self) -> dict[str, Any]:
        app = App.from_dict({"name": "videoapp", "image": "videoapp:1", "port": 80})
        Cutover(
            app=app,
            source=self.source,
            platform=self.platform,  # type: ignore[arg-type]
            again=lambda: self.source,
            target=self.target,
            gateways=[self.target, self.local],
            transfer=self.transfer(app),
            reopen=self.reopen,
            bounds=Bounds(),
            record=self.record,
        ).run()
        return self.record.to_dict()

    def position(self, step: str) -> int:
        return self.journal.index(step)


def test_the_steps_come_in_their_order() -> None:
    run = Run()
    record = run.run()
    assert record["outcome"] == "completed"
    order = [
        "target.prepare",
        "pass",
        "source.fence",
        "target.hold",
        "source.freeze",
        "last_delta",
        "target.activate",
        "target.forward",
        "source.kill",
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


@pytest.mark.parametrize(
    "failing",
    [
        {"target_check_gateway": RelocationError("no backend")},
        {"target_prepare": RelocationError("no image")},
        {"target_hold": RelocationError("gateway down")},
        {"target_in_flight": RelocationError("gateway down")},
        {"source_freeze": RelocationError("cannot freeze")},
        {"copy": RelocationError("disk full")},
        {"target_activate": RelocationError("not healthy")},
        {"target_activate": ChannelLost("closed")},
    ],
)
def test_a_failure_ends_with_the_source_serving(failing: dict[str, Exception]) -> None:
    run = Run(**failing)
    record = run.run()
    assert record["outcome"] == "aborted"
    assert str(next(iter(failing.values()))) in record["error"]
    assert "target.forward" not in run.journal
    assert "source.kill" not in run.journal
    assert [step for step in run.journal if step.startswith("source.")][-1] == "source.settle"
    if "source.freeze" in run.journal:
        assert run.position("source.thaw") > run.position("source.freeze")
    if "target.hold" in run.journal:
        assert "source.release" in run.journal
        assert "target.release" in run.journal


def test_a_source_that_cannot_be_settled_serves_all_the_same() -> None:
    run = Run(target_activate=RelocationError("no"), source_settle=RelocationError("API down"))
    record = run.run()
    assert record["outcome"] == "aborted"
    assert "source.thaw" in run.journal
    assert "not restarted by itself: API down" in record["error"]


def test_the_source_is_thawed_only_when_the_target_is_dead() -> None:
    run = Run(target_activate=RelocationError("not healthy"))
    run.run()
    assert run.position("target.kill") < run.position("source.thaw")


def test_a_lost_channel_is_asked_again_over_a_new_one() -> None:
    run = Run(target_activate=ChannelLost("closed"))
    run.run()
    assert run.position("again.kill") < run.position("source.thaw")


@pytest.mark.parametrize(
    "failing",
    [
        {"target_activate": ChannelLost("closed"), "again_kill": ChannelLost("closed")},
        {"target_activate": RelocationError("x"), "target_kill": RelocationError("y")},
    ],
)
def test_without_certainty_nobody_serves(failing: dict[str, Exception]) -> None:
    run = Run(**failing)
    record = run.run()
    assert record["outcome"] == "uncertain"
    assert "settle.yml -e app=videoapp" in record["error"]
    assert "source.thaw" not in run.journal
    assert "worker1.close_gateway" in run.journal


def test_after_the_activation_there_is_no_way_back() -> None:
    run = Run(target_forward=RelocationError("gateway down"))
    record = run.run()
    assert record["outcome"] == "completed"
    assert "gateway down" in record["error"]
    assert "source.thaw" not in run.journal
    assert "source.kill" in run.journal


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
        *changes: bool,
        first_commit: bool = True,
        push: Exception | None = None,
        **failing: Exception,
    ) -> None:
        super().__init__(**failing)
        self.committer = Committing(self.journal, list(changes), push)
        self.first_commit = first_commit

    def transfer(self, app: App) -> Transfer:
        target, commits = self.target, self.committer
        return Reactive(app, "sha256:1", "h1", target, self, commits, self.first_commit)


def crossing(journal: Journal) -> list[str]:
    steps = ("commit", "push", "target.pull", "target.prepare", "source.freeze", "target.activate")
    return [step for step in journal if step in steps]


BROUGHT = ["commit", "push", "target.pull", "target.prepare"]


def test_what_was_pulled_is_on_the_disk_before_the_hold() -> None:
    run = ReactiveRun(True, False, True)
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


def test_a_first_commit_leaves_nothing_but_a_look_for_the_hold() -> None:
    run = ReactiveRun(True)
    record = run.run()
    assert record["outcome"] == "completed"
    assert crossing(run.journal) == [
        *BROUGHT,
        *("commit", "source.freeze", "commit", "target.activate"),
    ]
    assert run.journal.count("last_delta") == 1


def test_what_changes_after_the_first_commit_still_arrives() -> None:
    run = ReactiveRun(True, False, True)
    run.run()
    assert crossing(run.journal) == [
        *BROUGHT,
        *("commit", "source.freeze", *BROUGHT, "target.activate"),
    ]


def test_an_image_that_was_pushed_before_is_pulled_all_the_same() -> None:
    run = ReactiveRun(False)
    run.run()
    assert crossing(run.journal)[:4] == BROUGHT


def test_the_papers_order_does_everything_in_the_hold() -> None:
    run = ReactiveRun(True, first_commit=False)
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
        {"target_activate": RelocationError("not healthy")},
    ],
)
def test_a_failure_leaves_the_source_serving_and_nothing_at_the_target(
    failing: dict[str, Exception], first_commit: bool
) -> None:
    run = ReactiveRun(True, first_commit=first_commit, **failing)  # type: ignore[arg-type]
    record = run.run()
    assert record["outcome"] == "aborted"
    assert str(next(iter(failing.values()))) in record["error"]
    assert "target.discard" in run.journal
    assert "source.settle" in run.journal
    assert "source.kill" not in run.journal
