# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Re-active relocations: nothing is prepared, and all of an app's state arrives all the same."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from .conftest import CELL_OF, ME_HOST_OF, OTHER_CELL, Testbed, changed
from .test_radicale import writing

pytestmark = [pytest.mark.testbed, pytest.mark.both]

LAYER_BYTES = 3_000_000
IMAGE = "repository.mec.test:5000/videoapp:1.0"
STATUS = "curl --silent --output /dev/null --write-out '%{http_code}'"
# Written where no volume is: it lives in the container layer alone.
IN_THE_LAYER = "/tmp/videoapp/kept"  # noqa: S108 - in the instance, not here
SIGN_IN = (
    "curl --silent --fail --cookie-jar /run/cookies --json @- https://videoapp.mec.test/api/session"
)
VIDEOS = "curl --silent --fail --cookie /run/cookies https://videoapp.mec.test/api/videos"


@pytest.fixture
def hosts(testbed: Testbed) -> tuple[str, str]:
    """Source and target of the video service, which runs its own image; the target has it, too."""
    source, instance = serving(testbed)
    if instance["image_id"] != instance["base_image_id"]:
        testbed.handoff(OTHER_CELL[testbed.cell("ue1")])
        source, instance = serving(testbed)
    target = next(host for host in ME_HOST_OF.values() if host != source)
    testbed.attach("ue1", CELL_OF[source])
    if not testbed.on(target, f"docker images --quiet {IMAGE}"):
        testbed.module(target, "mec.relocation.image_sync", image="videoapp:1.0")
    return source, target


def serving(testbed: Testbed) -> tuple[str, dict[str, Any]]:
    """Where the video service is, and its instance there."""
    found = testbed.survey().items()
    return next(
        (host, apps["videoapp"]["instance"])
        for host, apps in found
        if apps.get("videoapp", {}).get("state") == "serving"
    )


def inside(testbed: Testbed, host: str, command: str, app: str = "videoapp") -> str:
    return testbed.on(host, f"docker exec $({testbed.instance(app)}) {command}")


def surprise(testbed: Testbed, *arguments: str) -> dict[str, Any]:
    """The UE moves, and only then the handoff is heard of; the record."""
    cell = OTHER_CELL[testbed.cell("ue1")]
    testbed.attach("ue1", cell)
    testbed.handoff(cell, "-e", "ho_status=completed", *arguments)
    [record] = testbed.records()
    return record


def moved(record: dict[str, Any], *names: str) -> int:
    return sum(phase["bytes"] for phase in record["phases"] if phase["name"] in names)


def grow_the_layer(testbed: Testbed, host: str) -> str:
    """Put incompressible bytes into the container layer; their digest."""
    inside(testbed, host, f"sh -c 'head -c {LAYER_BYTES} /dev/urandom > {IN_THE_LAYER}'")
    return inside(testbed, host, f"sha256sum {IN_THE_LAYER}")


@pytest.mark.parametrize("first_commit", ["true", "false"])
def test_session_volume_and_container_layer_arrive(
    testbed: Testbed, hosts: tuple[str, str], first_commit: str
) -> None:
    source, target = hosts
    login = {"user": "viewer", "password": testbed.secret("videoapp_password")}
    testbed.on("ue1", SIGN_IN, json.dumps(login))
    videos = testbed.on("ue1", VIDEOS)
    digest = grow_the_layer(testbed, source)

    record = surprise(testbed, "-e", f"handoff_first_commit={first_commit}")
    assert (record["scenario"], record["outcome"]) == ("reactive", "completed"), record["error"]
    assert (record["source"], record["target"]) == (source, target)
    assert testbed.where("videoapp") == {source: "retired", target: "serving"}
    assert inside(testbed, target, f"sha256sum {IN_THE_LAYER}") == digest
    assert testbed.on("ue1", VIDEOS) == videos
    # Only the container layer crosses.
    assert moved(record, "container_commit", "push") == pytest.approx(LAYER_BYTES, rel=0.05)
    assert moved(record, "pull") == pytest.approx(LAYER_BYTES, rel=0.05)
    if first_commit == "true":
        assert record["client"]["failed"] == 0

    # What arrived in a layer of its own is committed together with what was added since.
    inside(testbed, target, f"sh -c 'date > {IN_THE_LAYER}-too'")
    record = surprise(testbed)
    assert record["outcome"] == "completed", record["error"]
    assert inside(testbed, source, f"sha256sum {IN_THE_LAYER}") == digest
    inside(testbed, source, f"rm {IN_THE_LAYER} {IN_THE_LAYER}-too")


def test_what_was_removed_in_the_container_stays_removed(
    testbed: Testbed, hosts: tuple[str, str]
) -> None:
    source, target = hosts
    # The target then has the app's image as a part of the committed one only. A kubelet keeps a
    # container of it that has ended, for a minute.
    testbed.on(target, f"docker rmi --force {IMAGE}")
    inside(testbed, source, f"sh -c 'mkdir -p {IN_THE_LAYER}.d && date > {IN_THE_LAYER}.d/a'")
    surprise(testbed)
    inside(testbed, target, f"sh -c 'rm -r {IN_THE_LAYER}.d && mkdir {IN_THE_LAYER}.d'")
    surprise(testbed)
    assert inside(testbed, source, f"ls {IN_THE_LAYER}.d") == ""
    inside(testbed, source, f"rmdir {IN_THE_LAYER}.d")


def test_a_proactive_handoff_begins_with_the_apps_own_image_again(
    testbed: Testbed, hosts: tuple[str, str]
) -> None:
    source, target = hosts
    surprise(testbed)
    testbed.handoff(OTHER_CELL[testbed.cell("ue1")])
    [record] = testbed.records()
    assert (record["scenario"], record["outcome"]) == ("proactive", "completed")
    committed = "docker images --quiet --filter reference='*/videoapp:sha256-*'"
    assert testbed.on(source, committed) == testbed.on(target, committed) == ""
    # A second deployment finds everything as it is.
    for playbook in ("deploy", "testbed"):
        again = testbed.playbook(playbook)
        assert set(changed(again).values()) == {0}, again


def test_a_second_commit_with_nothing_changed_pushes_nothing(
    testbed: Testbed, hosts: tuple[str, str]
) -> None:
    for plain in (False, True):
        arguments = {"app": "videoapp", "handoff": "commits", "plain": plain}
        grow_the_layer(testbed, hosts[0])
        first = testbed.module(hosts[0], "mec.relocation.container_commit", **arguments)
        second = testbed.module(hosts[0], "mec.relocation.container_commit", **arguments)
        assert first["changed"] and first["bytes"] > 0
        assert (second["changed"], second["bytes"]) == (False, 0)
        assert second["image"] == first["image"]
    assert free(testbed, hosts[0])


def test_no_secret_of_the_app_is_in_the_image(testbed: Testbed, hosts: tuple[str, str]) -> None:
    for plain in (False, True):
        commit = testbed.module(
            hosts[0], "mec.relocation.container_commit", app="videoapp", handoff="s", plain=plain
        )
        testbed.module(hosts[1], "mec.relocation.image_sync", image=commit["image"])
        config = testbed.on(hosts[1], f"docker image inspect {commit['image_id']}")
        assert testbed.secret("videoapp_password") not in config
        testbed.on(hosts[1], f"docker rmi --force {commit['image_id']}")
    assert free(testbed, hosts[0])


def test_radicale_loses_no_write(testbed: Testbed, radicale: str) -> None:
    begin = CELL_OF[testbed.serving("radicale")]
    testbed.attach("ue1", begin)
    cell = OTHER_CELL[begin]
    with writing(testbed, radicale) as found:
        testbed.playbook(
            "handoff",
            *("-e", "@examples/radicale.yml", "-e", "ue=ue1", "-e", f"target_cell={cell}"),
            *("-e", "ho_status=in_execution"),
        )
    [record] = testbed.records()
    assert (record["scenario"], record["outcome"]) == ("reactive", "completed")
    assert found["lost"] == found["altered"] == found["duplicates"] == []
    assert found["failed"] == 0, found["first_failures"]
    assert found["acknowledged"] > 100


def test_both_hosts_tell_the_last_relocation_as_a_fact(
    testbed: Testbed, hosts: tuple[str, str]
) -> None:
    record = surprise(testbed)
    for host in hosts:
        facts = testbed.module(host, "ansible.builtin.setup", filter="ansible_local")
        told = facts["ansible_facts"]["ansible_local"]["mec_relocation"]["videoapp"]
        assert (told["id"], told["outcome"]) == (record["id"], "completed")
        assert told["downtime_s"] == record["downtime_s"]
        info = testbed.module(host, "mec.relocation.app_info")["apps"]["videoapp"]
        assert info["last_relocation"] == told


# -- what can go wrong on the way through the repository ------------------------------------------


@contextlib.contextmanager
def stopped_registry(testbed: Testbed, _source: str, _target: str) -> Iterator[None]:
    testbed.on("repository", "systemctl stop docker-registry")
    try:
        yield
    finally:
        testbed.on("repository", "systemctl start docker-registry")


@contextlib.contextmanager
def wrong_password(testbed: Testbed, source: str, _target: str) -> Iterator[None]:
    path = "/etc/mec-relocation/repository.json"
    testbed.on(source, f"cp --preserve {path} {path}.right")
    testbed.on(source, f"cat > {path}", json.dumps({"username": "mec", "password": "wrong"}))
    try:
        yield
    finally:
        testbed.on(source, f"mv {path}.right {path}")


@contextlib.contextmanager
def small_disk(testbed: Testbed, host: str, folder: str) -> Iterator[None]:
    testbed.on(host, f"mkdir -p {folder} && mount -t tmpfs -o size=1m,mode=0777 small {folder}")
    try:
        yield
    finally:
        testbed.on(host, f"umount --lazy {folder}")


def full_repository(testbed: Testbed, _source: str, _target: str) -> Any:
    uploads = "/var/lib/docker-registry/docker/registry/v2/repositories/videoapp/_uploads"
    return small_disk(testbed, "repository", uploads)


def full_target(testbed: Testbed, _source: str, target: str) -> Any:
    return small_disk(testbed, target, "/var/lib/docker/tmp")


@pytest.mark.parametrize(
    ("trouble", "words", "first_commit"),
    [
        (stopped_registry, "refused", "true"),
        (stopped_registry, "refused", "false"),
        (wrong_password, "refuses user 'mec'", "true"),
        (full_repository, "no space left", "true"),
        (full_repository, "no space left", "false"),
        (full_target, "no space left", "true"),
        (full_target, "no space left", "false"),
    ],
)
def test_trouble_with_the_repository_leaves_the_source_serving(
    testbed: Testbed, hosts: tuple[str, str], trouble: Any, words: str, first_commit: str
) -> None:
    source, target = hosts
    grow_the_layer(testbed, source)
    images = testbed.on(target, "docker images --all --quiet --no-trunc | sort")
    cell = CELL_OF[target]
    with trouble(testbed, source, target):
        said = testbed.refused(
            "handoff",
            *("-e", "ue=ue1", "-e", f"target_cell={cell}", "-e", "ho_status=in_execution"),
            *("-e", f"handoff_first_commit={first_commit}"),
        )
    [record] = testbed.records()
    assert record["outcome"] == "aborted"
    assert words in record["error"].lower(), record["error"]
    assert " ".join(record["error"].split())[:60] in said
    assert testbed.where("videoapp") == {source: "serving", target: "absent"}
    assert testbed.on("ue1", f"{STATUS} https://videoapp.mec.test/healthz") == "200"
    assert testbed.on(target, "docker images --all --quiet --no-trunc | sort") == images
    assert testbed.remains(target, "videoapp") == ""
    assert inside(testbed, source, f"ls {IN_THE_LAYER}")
    inside(testbed, source, f"rm {IN_THE_LAYER}")


def free(testbed: Testbed, host: str) -> bool:
    """Wait until the lease of a step by hand has ended."""
    for _second in range(20):
        info = testbed.module(host, "mec.relocation.app_info")
        if info["apps"]["videoapp"]["lease"] is None:
            return True
        time.sleep(1)
    return False
