# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""videoapp as its user sees it: in the browser of a UE, at rest and during a handoff."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mec_ue.demo import Handoff, last_record
from mec_ue.testbed import Ue, find_ue
from mec_ue.watch import DESKTOP, PHONE, Viewer, browser_on
from playwright.sync_api import Browser

pytestmark = pytest.mark.testbed

# A position is saved every 2 s; what comes on top is the time that a page takes to open.
SAVED_WITHIN_S = 4.0
TOUCHABLE_PX = 40


@pytest.fixture(scope="module")
def ue() -> Ue:
    """The UE of the testbed."""
    return find_ue("ue1")


@pytest.fixture(scope="module")
def url(ue: Ue) -> str:
    """Where the UE finds videoapp."""
    return f"https://videoapp.{ue.domain}"


@pytest.fixture(scope="module")
def browser(ue: Ue) -> Iterator[Browser]:
    """The browser that runs on the UE."""
    with browser_on(ue) as browser:
        yield browser


@pytest.fixture(params=["desktop"])
def viewer(request: pytest.FixtureRequest, ue: Ue, url: str, browser: Browser) -> Iterator[Viewer]:
    """Somebody who has signed in; whatever they do must not put an error on the console."""
    viewport = {"desktop": DESKTOP, "phone": PHONE}[request.param]
    with Viewer(browser, url, viewport) as viewer:
        viewer.sign_in("viewer", ue.secret("videoapp_password"))
        yield viewer
        assert viewer.errors == []


def position_s(viewer: Viewer) -> float:
    return float(viewer.page.evaluate("() => document.querySelector('video').currentTime"))


def hand_off(ue: Ue, viewer: Viewer) -> dict[str, Any]:
    """Hand the UE off to its other cell under the viewer's eyes; returns the record."""
    cell = next(cell for cell in ue.cells if cell != ue.cell())
    handoff = Handoff(ue.name, cell, time.strftime("%Y%m%d-%H%M%S-browser"), lambda _task: None)
    while handoff.running():
        viewer.watch_for(0.5)
    handoff.finish()
    assert ue.cell() == cell
    return last_record(handoff.log.with_name("relocations.jsonl"))


def test_a_handoff_goes_unnoticed(ue: Ue, viewer: Viewer) -> None:
    viewer.play("Aurora")
    before = viewer.served_by()
    viewer.watch()
    viewer.watch_for(3)
    record = hand_off(ue, viewer)
    viewer.watch_for(5)

    assert record["outcome"] == "completed"
    assert record["client"]["failed"] == 0
    assert before == record["source_instance"]["name"]
    assert viewer.served_by() == record["target_instance"]["name"]
    watched = viewer.summary()
    assert not watched.went_back
    assert not watched.paused
    assert watched.longest_stall_s < 0.5
    assert watched.position_end_s > watched.position_start_s + 8

    # The session and the position moved with the PV: the page opens as it was left.
    viewer.page.reload()
    viewer.page.wait_for_timeout(2000)
    assert viewer.signed_out == 0
    assert viewer.served_by() == record["target_instance"]["name"]
    assert abs(position_s(viewer) - watched.position_end_s) < SAVED_WITHIN_S


def test_the_position_is_the_user_s_and_not_the_browser_s(
    ue: Ue, url: str, browser: Browser, viewer: Viewer
) -> None:
    viewer.play("Life")
    viewer.page.keyboard.press("ArrowRight")
    viewer.page.wait_for_timeout(2500)
    left_at_s = position_s(viewer)
    with Viewer(browser, url, PHONE) as elsewhere:
        elsewhere.sign_in("viewer", ue.secret("videoapp_password"))
        elsewhere.play("Life", room_s=0)
        assert abs(position_s(elsewhere) - left_at_s) < SAVED_WITHIN_S


def test_keys_play_pause_and_seek(viewer: Viewer) -> None:
    viewer.play("Ember")
    paused = "() => document.querySelector('video').paused"
    viewer.page.keyboard.press("k")
    assert viewer.page.evaluate(paused)
    before_s = position_s(viewer)
    viewer.page.keyboard.press("ArrowRight")
    assert position_s(viewer) == pytest.approx(before_s + 10, abs=0.1)
    viewer.page.keyboard.press("ArrowLeft")
    assert position_s(viewer) == pytest.approx(before_s, abs=0.1)
    viewer.page.get_by_role("button", name="Play").press("Enter")
    assert not viewer.page.evaluate(paused)


def test_signing_out_ends_the_session(viewer: Viewer, url: str) -> None:
    viewer.page.get_by_role("button", name="Sign out").click()
    viewer.page.wait_for_url(f"{url}/sign-in")
    viewer.page.goto(f"{url}/watch/aurora")
    assert viewer.page.url == f"{url}/sign-in?next=/watch/aurora"


def test_the_session_s_cookie_is_out_of_reach(viewer: Viewer) -> None:
    (cookie,) = viewer.page.context.cookies()
    assert cookie["httpOnly"]
    assert cookie["secure"]
    assert cookie["sameSite"] == "Lax"


@pytest.mark.parametrize("viewer", ["phone"], indirect=True)
@pytest.mark.parametrize("path", ["/", "/watch/aurora", "/sign-in"])
def test_pages_fit_a_phone(viewer: Viewer, url: str, path: str, tmp_path: Path) -> None:
    viewer.page.goto(url + path)
    viewer.page.wait_for_timeout(1500)
    viewer.screenshot(tmp_path / "page.png")
    assert viewer.page.evaluate("() => document.documentElement.scrollWidth") <= PHONE["width"]
    touched = viewer.page.locator("main a:visible, button:visible")
    assert touched.count() > 0
    for number in range(touched.count()):
        box = touched.nth(number).bounding_box()
        assert box is not None
        assert box["height"] >= TOUCHABLE_PX, touched.nth(number).inner_text()


@pytest.mark.parametrize("path", ["/", "/watch/aurora", "/sign-in"])
def test_everything_has_a_name_for_those_who_do_not_see_it(
    viewer: Viewer, url: str, path: str
) -> None:
    viewer.page.goto(url + path)
    viewer.page.wait_for_timeout(1500)
    for role in ("button", "link", "textbox", "slider", "progressbar"):
        for element in viewer.page.get_by_role(role).all():  # type: ignore[arg-type]
            line = element.aria_snapshot().splitlines()[0]
            assert '"' in line, f"{role} without a name on {path}: {line}"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/-/activate", "404"),
        ("GET", "/-/instance", "404"),
        ("GET", "/media/aurora/stream.m3u8", "401"),
        ("GET", "/media/aurora/0000.m4s", "401"),
        ("GET", "/media/../videos.json", "404"),
        ("GET", "/api/videos", "401"),
        ("GET", "/", "302"),
    ],
)
def test_strangers_see_nothing(ue: Ue, url: str, method: str, path: str, status: str) -> None:
    curl = ["curl", "--silent", "--path-as-is", "--output", "/dev/null", "--request", method]
    assert ue.run(*curl, "--write-out", "%{http_code}", url + path) == status


@pytest.mark.parametrize("path", ["/sign-in", "/healthz", "/media/aurora/stream.m3u8"])
def test_every_answer_carries_the_headers_that_protect_it(ue: Ue, url: str, path: str) -> None:
    curl = ["curl", "--silent", "--dump-header", "-", "--output", "/dev/null"]
    headers = ue.run(*curl, url + path).lower()
    assert "content-security-policy: default-src 'none'" in headers
    assert "x-content-type-options: nosniff" in headers
    assert "x-mec-instance: videoapp-" in headers
