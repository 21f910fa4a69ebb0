# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Passes over a volume between two ME hosts: what they move, what they keep, what they skip."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .conftest import CELL_OF, ME_HOST_OF, OTHER_CELL, Testbed, soon

pytestmark = pytest.mark.testbed

VOLUME = "/srv/mec/pv/videoapp"
TRIES = f"{VOLUME}/tries"
CONTENT = (
    "find . -printf '%P %y %m %U %G %s %l\\n' | sort;"
    "find . -type f -print0 | sort -z | xargs -0 md5sum"
)


@pytest.fixture(scope="module", autouse=True)
def free_afterwards(testbed: Testbed) -> Iterator[None]:
    """The lease of a handoff that goes no further is waited for, by whoever comes next."""
    yield
    assert soon(lambda: not any(testbed.leases("videoapp")), within_s=60)


@pytest.fixture
def hosts(testbed: Testbed) -> Iterator[tuple[str, str]]:
    """Source and target of the video service, with a folder for tries in its volume."""
    source = testbed.serving("videoapp")
    target = ME_HOST_OF[OTHER_CELL[CELL_OF[source]]]
    testbed.on(source, f"mkdir -p {TRIES}")
    yield source, target
    testbed.on(source, f"rm -rf {TRIES}")
    testbed.on(target, f"rm -rf {TRIES}")


def one_pass(testbed: Testbed, hosts: tuple[str, str]) -> dict[str, object]:
    return testbed.module(
        hosts[0], "mec.relocation.volume_sync", app="videoapp", target=hosts[1], handoff="tries"
    )


def same(testbed: Testbed, hosts: tuple[str, str]) -> bool:
    there, here = (testbed.on(host, f"cd {TRIES} && {CONTENT}") for host in hosts)
    return there == here


def test_everything_that_a_volume_can_hold_arrives(
    testbed: Testbed, hosts: tuple[str, str]
) -> None:
    testbed.on(
        hosts[0],
        f"cd {TRIES} && echo a > a && ln a hard && ln -s /etc/passwd soft && mkdir -p d/e "
        "&& echo b > 'd/e/odd name\\n$(x)' && chown 123:456 a && chmod 4751 a "
        "&& truncate -s 50M sparse && mkfifo fifo && : > empty",
    )
    first = one_pass(testbed, hosts)
    assert first["changed"] is True
    assert same(testbed, hosts)
    assert int(testbed.on(hosts[1], f"du -k {TRIES}/sparse").split()[0]) < 1024
    assert testbed.on(hosts[1], f"stat -c %h {TRIES}/a").strip() == "2"


def test_a_rewrite_of_the_same_size_within_a_second_is_seen(
    testbed: Testbed, hosts: tuple[str, str]
) -> None:
    for content in ("one", "two"):
        testbed.on(hosts[0], f"printf {content} > {TRIES}/file && touch -d '1 minute ago' {TRIES}")
        stamp = "2026-01-01 00:00:00." + ("1" if content == "one" else "2")
        testbed.on(hosts[0], f"touch -d '{stamp}' {TRIES}/file")
        one_pass(testbed, hosts)
        assert testbed.on(hosts[1], f"cat {TRIES}/file") == content


def test_what_is_deleted_is_deleted(testbed: Testbed, hosts: tuple[str, str]) -> None:
    testbed.on(hosts[0], f"mkdir {TRIES}/d && echo x > {TRIES}/d/x && echo y > {TRIES}/y")
    one_pass(testbed, hosts)
    testbed.on(hosts[0], f"rm -r {TRIES}/d && mv {TRIES}/y {TRIES}/d")
    one_pass(testbed, hosts)
    assert same(testbed, hosts)


def test_a_link_out_of_the_volume_is_not_followed(testbed: Testbed, hosts: tuple[str, str]) -> None:
    testbed.on(hosts[1], "rm -rf /root/outside && mkdir /root/outside")
    testbed.on(hosts[0], f"ln -s /root/outside {TRIES}/d")
    one_pass(testbed, hosts)
    testbed.on(hosts[0], f"rm {TRIES}/d && mkdir {TRIES}/d && echo x > {TRIES}/d/x")
    one_pass(testbed, hosts)
    assert testbed.on(hosts[1], "ls /root/outside") == ""
    assert same(testbed, hosts)


def test_a_pass_between_other_hosts_than_these_is_refused(
    testbed: Testbed, hosts: tuple[str, str]
) -> None:
    key = "ssh -F none -i /etc/mec-relocation/rsync_key -o BatchMode=yes "
    known = "-o UserKnownHostsFile=/etc/mec-relocation/known_hosts "
    address = {"worker1": "10.77.0.11", "worker2": "10.77.0.12"}[hosts[1]]
    for command in ("id", "rsync --server -logDtpre.iLsfxCIvu . /etc/"):
        said = testbed.on(hosts[0], f"{key}{known}root@{address} '{command}' 2>&1 || true")
        assert "this key is for volumes of apps" in said


def test_an_engine_that_was_killed_gives_the_volume_that_is_there(
    testbed: Testbed, hosts: tuple[str, str]
) -> None:
    source, target = hosts
    testbed.on(source, "systemctl kill --signal=KILL docker.service")
    assert soon(lambda: "videoapp" in testbed.on(source, "docker ps || true"), within_s=60)
    testbed.handoff(CELL_OF[target])
    assert soon(lambda: not testbed.remains(source, "videoapp"))
    testbed.on(source, f"rm -rf {VOLUME}")
    testbed.handoff(CELL_OF[source])
    inside = testbed.on(source, f"docker exec $({testbed.instance('videoapp')}) stat -c %i /data")
    assert inside == testbed.on(source, f"stat -c %i {VOLUME}")
