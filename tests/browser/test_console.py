# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""RLapp as its operator sees it, while a UE drives between the cells and watches a video."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from mec_ue.console import Rlapp, begin, rlapp_of
from mec_ue.testbed import Ue, find_ue
from mec_ue.watch import DESKTOP, PHONE, Viewer, browser_on
from playwright.sync_api import Browser, Page, expect

pytestmark = [pytest.mark.testbed, pytest.mark.both]

# A round takes 115 s; it comes to a handoff in half of that, wherever it begins.
HANDOFF_WITHIN_S = 120.0
# Keeps all that the list of handoffs under way has said, however short.
_LISTEN = """() => {
  window.told = new Set();
  const list = document.getElementById("active");
  const note = () => window.told.add(list.textContent);
  new MutationObserver(note).observe(list, {childList: true, characterData: true, subtree: true});
}"""


@pytest.fixture(scope="module")
def ue() -> Ue:
    """The UE of the testbed."""
    return find_ue("ue1")


@pytest.fixture
def rlapp(ue: Ue) -> Iterator[Rlapp]:
    """RLapp; the UE stands afterwards."""
    found = rlapp_of(ue)
    yield found
    found.order(ue.name, None, speed_mps=1, loop=False)


@pytest.fixture
def browser(ue: Ue) -> Iterator[Browser]:
    """The browser that runs on the UE, and trusts the testbed's CA."""
    with browser_on(ue) as browser:
        yield browser


def sign_in(browser: Browser, rlapp: Rlapp, ue: Ue) -> Page:
    """RLapp's page, signed in by a link that is good once, under the name that UEs know."""
    page = browser.new_context(viewport=DESKTOP).new_page()
    page.goto(f"https://rlapp.{ue.domain}{urlsplit(rlapp.link()).path}")
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    return page


def watch_until(viewer: Viewer, condition: Callable[[], bool], within_s: float) -> None:
    """Watch the video until something holds."""
    deadline_s = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline_s
        viewer.watch_for(0.2)


def test_the_user_moves_and_the_service_follows(
    ue: Ue, rlapp: Rlapp, browser: Browser, tmp_path: Path
) -> None:
    page = sign_in(browser, rlapp, ue)
    rows = page.locator("#relocations tr")
    relocations, points = (
        rows.count(),
        int(page.locator("#chart").get_attribute("data-points") or 0),
    )
    last = max((handoff["id"] for handoff in rlapp.state()["handoffs"]), default=0)
    page.evaluate(_LISTEN)
    with Viewer(browser, f"https://videoapp.{ue.domain}") as viewer:
        viewer.sign_in("viewer", ue.secret("videoapp_password"))
        viewer.play("Aurora", room_s=HANDOFF_WITHIN_S + 30)
        viewer.watch()
        begin(rlapp, ue, loop=True)

        # The user moves.
        card = page.locator(".ue").filter(has=page.get_by_role("heading", name=ue.name))
        expect(card).to_contain_text(re.compile(r"37\.\d{5}, 127\.\d{5}"))
        before = card.inner_text()
        watch_until(viewer, lambda: card.inner_text() != before, 10)

        # The handoff is predicted, and its cell is marked on the map.
        cells = page.locator("path.cell.expected")
        watch_until(viewer, lambda: cells.count() == 1, HANDOFF_WITHIN_S)
        page.screenshot(path=tmp_path / "expected.png")

        # The service follows.
        watch_until(viewer, lambda: rows.count() > relocations, HANDOFF_WITHIN_S)
        viewer.watch_for(5)
        watched = viewer.summary()

    announced, executed = rlapp.handoff(last + 1), rlapp.handoff(last + 2)
    assert (announced["ho_status"], announced["origin"]) == ("IN_PREPARATION", "prediction")
    assert (executed["ho_status"], executed["state"]) == ("IN_EXECUTION", "completed")
    (relocation,) = executed["plan"]["relocations"]
    assert relocation["scenario"] == "proactive"
    told = " ".join(page.evaluate("() => [...window.told]"))
    for phase in ("Pre-copy 1", "image sync", "volume sync", "Move the UE", "Relocate"):
        assert phase in told, f"{phase} was not shown"
    expect(page.locator("#chart")).to_have_attribute("data-points", str(points + 1))
    expect(rows.first).to_contain_text("completed")
    expect(rows.first).to_contain_text(re.compile(r"\d ms"))
    expect(page.locator("#hosts")).to_contain_text(relocation["target"])

    # The video knows nothing of it.
    assert not watched.went_back
    assert not watched.paused
    assert watched.longest_stall_s < 0.5

    for name, size in (("desktop", DESKTOP), ("phone", PHONE)):
        page.set_viewport_size(size)
        page.screenshot(path=tmp_path / f"{name}.png", full_page=True)
        assert page.evaluate("() => document.documentElement.scrollWidth") <= size["width"]
