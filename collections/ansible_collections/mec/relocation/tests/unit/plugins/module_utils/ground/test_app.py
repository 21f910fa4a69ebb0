# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The app schema: what is accepted, what is refused, and in which words."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.mec.relocation.plugins.module_utils.ground.app import App, check_all
from ansible_collections.mec.relocation.plugins.module_utils.ground.errors import RelocationError
from hypothesis import given
from hypothesis import strategies as st

VIDEOAPP: dict[str, Any] = {
    "name": "videoapp",
    "image": "videoapp:1.0",
    "port": 8080,
    "volume": "/data",
    "health": "/healthz",
    "start": "standby",
    "activate": {"http": "/-/activate"},
    "env": {"LEVEL": 1},
    "secrets": {"PASSWORD": "x"},
    "limits": {"cpus": 1, "memory": "512M"},
}


def test_a_declaration_survives_the_way_through_json() -> None:
    app = App.from_dict(VIDEOAPP)
    assert App.from_dict(app.to_dict()) == app


def test_secrets_are_not_public() -> None:
    assert "secrets" not in App.from_dict(VIDEOAPP).public()


def test_values_that_are_none_count_as_left_out() -> None:
    assert App.from_dict({**VIDEOAPP, "host_port": None, "capabilities": None}) == App.from_dict(
        VIDEOAPP
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "../etc"}, "not a DNS label"),
        ({"name": "Video"}, "not a DNS label"),
        ({"name": "a" * 64}, "not a DNS label"),
        ({"name": "a\n"}, "not a DNS label"),
        ({"name": None}, "not a DNS label"),
        ({"image": "videoapp"}, "tag or a sha256 digest"),
        ({"image": "../videoapp:1"}, "tag or a sha256 digest"),
        ({"image": "videoapp:1.0;reboot"}, "tag or a sha256 digest"),
        ({"port": 0}, "not a TCP port"),
        ({"port": True}, "not a TCP port"),
        ({"port": "8080"}, "not a TCP port"),
        ({"volume": "data"}, "not an absolute path"),
        ({"volume": "/data/../etc"}, "not a plain path"),
        ({"volume": "/data/"}, "not a plain path"),
        ({"volume": "/"}, "system directory"),
        ({"volume": "/etc/videoapp"}, "system directory"),
        ({"volume": "/data:/etc"}, "not an absolute path"),
        ({"health": "healthz"}, "begins with /"),
        ({"health": "/a b"}, "begins with /"),
        ({"start": "warm"}, "standby or cold"),
        ({"start": "cold"}, "goes with start: standby only"),
        ({"activate": {}}, "exactly one of"),
        ({"activate": {"http": "/a", "signal": "SIGHUP"}}, "exactly one of"),
        ({"activate": {"signal": "SIGNAL"}}, "exactly one of"),
        ({"activate": {"exec": "reload"}}, "exactly one of"),
        ({"env": {"A B": "c"}}, "no environment can hold"),
        ({"env": {"A": ["c"]}}, "not text"),
        ({"env": {"MEC_ACTIVATION_TOKEN": "x"}}, "gets from its ME host"),
        ({"secrets": {"MEC_ACTIVATION_TOKEN": "x"}}, "gets from its ME host"),
        ({"limits": {"cpus": 0}}, "positive number"),
        ({"limits": {"memory": "lots"}}, "like 512M"),
        ({"limits": {"disk": 1}}, "unknown key"),
        ({"capabilities": "ALL"}, "not a list"),
        ({"volumes": "/data"}, "Did you mean 'volume'"),
    ],
)
def test_what_is_wrong_is_named(change: dict[str, Any], words: str) -> None:
    with pytest.raises(RelocationError, match=words):
        App.from_dict({**VIDEOAPP, **change})


def test_a_secret_is_not_in_the_error() -> None:
    with pytest.raises(RelocationError) as caught:
        App.from_dict({**VIDEOAPP, "secrets": {"PASS WORD": "hunter2"}})
    assert "hunter2" not in str(caught.value)


def test_a_name_stands_once() -> None:
    with pytest.raises(RelocationError, match="declared twice"):
        check_all([VIDEOAPP, VIDEOAPP])


def test_a_port_of_the_host_stands_once() -> None:
    other = {**VIDEOAPP, "name": "other", "host_port": App.from_dict(VIDEOAPP).host_port}
    with pytest.raises(RelocationError, match=r"'videoapp' and 'other' both take port"):
        check_all([VIDEOAPP, other])


@given(st.text())
def test_no_name_leaves_its_place(name: str) -> None:
    """Whatever is accepted is safe in a path, a host name and a gateway command."""
    try:
        accepted = App.from_dict({**VIDEOAPP, "name": name}).name
    except RelocationError:
        return
    assert accepted.isascii()
    assert accepted.replace("-", "").isalnum()


@given(st.text(alphabet="/.adt"))
def test_no_volume_leaves_its_place(volume: str) -> None:
    try:
        accepted = App.from_dict({**VIDEOAPP, "volume": volume}).volume
    except RelocationError:
        return
    assert accepted is not None
    assert accepted.startswith("/")
    assert ".." not in accepted.split("/")
