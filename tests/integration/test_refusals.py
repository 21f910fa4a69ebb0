# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bad input and bad luck: a clear error, and the service goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from .conftest import CELL_OF, ME_HOST_OF, OTHER_CELL, Testbed

pytestmark = [pytest.mark.testbed, pytest.mark.both]


@pytest.fixture(autouse=True)
def unharmed(testbed: Testbed) -> Iterator[None]:
    """Whatever is refused, the UE and the app are where they were, and it serves."""
    testbed.attach("ue1", CELL_OF[testbed.serving("videoapp")])
    cell, where = testbed.cell("ue1"), testbed.where("videoapp")
    yield
    assert testbed.cell("ue1") == cell
    assert testbed.where("videoapp") == where
    answer = "curl --silent --output /dev/null --write-out '%{http_code}' "
    assert testbed.on("ue1", answer + "https://videoapp.mec.test/healthz") == "200"


def declared(**change: object) -> tuple[str, str]:
    """The option that declares one app, with something changed."""
    app = {"name": "other", "image": "other:1.0", "port": 8080, "volume": "/data", **change}
    return "-e", json.dumps({"mec_apps": [app]})


def target_of(testbed: Testbed) -> tuple[str, str]:
    cell = OTHER_CELL[testbed.cell("ue1")]
    return cell, ME_HOST_OF[cell]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "A handoff message names a UE and a cell"),
        (("-e", "ue=ue9", "-e", "target_cell=cell2"), "UE 'ue9' is not known (known: ue1)"),
        (("-e", "ue=ue1", "-e", "target_cell=cell9"), "cell 'cell9' is not known"),
        (
            ("-e", "ue=ue1", "-e", "target_cell=cell2", "-e", "ho_status=soon"),
            "ho_status 'soon' is not one of",
        ),
        (
            ("-e", "ue=ue1", "-e", "target_cell=cell2", "-e", '{"handoff_apps": ["nothing"]}'),
            "App 'nothing' is not declared",
        ),
    ],
)
def test_a_wrong_message(testbed: Testbed, arguments: tuple[str, ...], words: str) -> None:
    assert words in testbed.refused("handoff", *arguments)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "../../etc"}, "'../../etc' is not a DNS label"),
        ({"volume": "/data/../../etc"}, "is not a plain path"),
        ({"volume": "/etc"}, "would cover a system directory"),
        ({"image": "other:1.0"}, "has no image other:1.0"),
        ({"prot": 8080}, "unknown key 'prot'. Did you mean 'port'?"),
    ],
)
def test_a_wrong_declaration(testbed: Testbed, change: dict[str, object], words: str) -> None:
    cell, _target = target_of(testbed)
    said = testbed.refused(
        "handoff", "-e", "ue=ue1", "-e", f"target_cell={cell}", *declared(**change)
    )
    assert words in said


def test_a_target_that_is_down(testbed: Testbed) -> None:
    cell, target = target_of(testbed)
    testbed.engine("kill", f"mec-{target}")
    try:
        said = testbed.refused("handoff", "-e", "ue=ue1", "-e", f"target_cell={cell}")
    finally:
        testbed.engine("start", f"mec-{target}")
        testbed.wait_for_ssh(target)
    assert f"Target {target} does not answer" in said


def test_a_volume_that_does_not_fit(testbed: Testbed) -> None:
    cell, target = target_of(testbed)
    source = ME_HOST_OF[testbed.cell("ue1")]
    testbed.on(source, "head -c 40M /dev/urandom > /srv/mec/pv/videoapp/filler")
    testbed.on(target, "mount -t tmpfs -o size=20m small /srv/mec/pv")
    try:
        said = testbed.refused("handoff", "-e", "ue=ue1", "-e", f"target_cell={cell}")
    finally:
        testbed.on(target, "umount /srv/mec/pv")
        testbed.on(source, "rm /srv/mec/pv/videoapp/filler")
    assert f"MiB more on {target}, which has 20.0 MiB free" in said


def test_a_second_handoff_of_the_same_app(testbed: Testbed) -> None:
    cell, _target = target_of(testbed)
    source = ME_HOST_OF[testbed.cell("ue1")]
    take = (
        "from pathlib import Path; from mec_relocation.host.lease import Lease; "
        "Lease(Path('/var/lib/mec-relocation/apps/videoapp'), 'videoapp').{}('another-handoff')"
    )
    python = 'PYTHONPATH=/usr/lib/mec-relocation python3 -c "{}"'
    testbed.on(source, python.format(take.format("acquire")))
    try:
        said = testbed.refused("handoff", "-e", "ue=ue1", "-e", f"target_cell={cell}")
    finally:
        testbed.on(source, python.format(take.format("release")))
    assert "is being relocated by handoff another-handoff" in said
