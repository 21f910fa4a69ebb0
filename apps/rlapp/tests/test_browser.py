"""The page in a browser: the real service, and handoffs that are played."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from played import PASSWORD, UE_TOKEN, record, report, write_records
from playwright.sync_api import Browser, Locator, Page, Route, expect, sync_playwright
from rlapp.config import read_config
from rlapp.runner import Job
from rlapp.store import Store
from running import PATIENCE_S, environment, free_port, process, write_config

# Where the played cells stand; the first two are 2.2 km apart.
CELLS = {"cell1": (4.60, -74.08), "cell2": (4.62, -74.08), "cell3": (4.59, -74.08)}
LATITUDE_M = 111_195.0
# Keeps what the handoffs under way say, however short; nobody else looks that often.
WATCH_HANDOFFS = """() => {
  window.told = [];
  const list = document.getElementById("active");
  new MutationObserver(() => {
    if (list.textContent !== window.told.at(-1)) window.told.push(list.textContent);
  }).observe(list, { childList: true, characterData: true, subtree: true });
}"""
PHASES = (
    "Pre-copy the image",
    "image sync",
    "volume sync",
    "Pass over the volume once more",
    "volume delta",
    " s · Relocate",
)
UNREACHABLE = "Failed to load resource: net::ERR_"
expect.set_options(timeout=PATIENCE_S * 1000)


class Console:
    """Somebody who has signed in, and what his browser complains of."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.errors: list[str] = []
        page.on("console", lambda message: self._hear(message.type, message.text))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.goto(url)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_text("Live", exact=True)).to_be_visible()

    def _hear(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.errors.append(text)

    def ue(self, name: str = "ue1") -> Locator:
        """The card of a UE."""
        return self.page.locator(".ue").filter(has=self.page.get_by_role("heading", name=name))

    def button(self, text: str, ue: str = "ue1") -> Locator:
        """A button of a UE."""
        return self.page.get_by_role("button", name=f"{text}: {ue}")

    def handoff(self, number: int) -> Locator:
        """A handoff, under way or ended."""
        return self.page.locator(f'[data-handoff="{number}"]')

    def row(self, number: int) -> list[str]:
        """What the table says of a relocation."""
        row = self.page.locator("#relocations tr").filter(
            has=self.page.get_by_role("rowheader", name=str(number), exact=True)
        )
        return [" ".join(text.split()) for text in row.locator("th, td").all_inner_texts()]

    def log(self) -> list[str]:
        """The lines of the log as they are shown."""
        lines = self.page.locator("#log li").all_inner_texts()
        return [" ".join(line.split()) for line in lines]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    program = shutil.which("chromium")
    assert program, "there is no chromium; `testbed/packages tests` installs it"
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-background-networking"]
        found = playwright.chromium.launch(executable_path=program, args=arguments)
        yield found
        found.close()


class World:
    """A service, and everything that is to end with it."""

    def __init__(self, folder: Path, page_folder: Path, browser: Browser) -> None:
        self.folder = folder
        self.page_folder = page_folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.ends = ExitStack()
        self._browser = browser

    def serve(self, phase_s: float = 0.0, **config: Any) -> httpx.Client:
        """Start the service, on the same port each time; returns a machine that uses it."""
        file = write_config(self.folder, url=self.url, page=str(self.page_folder), **config)
        serving = process(file, self.port, phase_s)
        client, self.process = self.ends.enter_context(serving)
        return client

    def console(self, width: int = 1440, height: int = 900, **how: Any) -> Console:
        """Sign in with a browser of its own."""
        size = {"width": width, "height": height}
        context = self._browser.new_context(viewport=size, **how)  # type: ignore[arg-type]
        self.ends.callback(context.close)
        return Console(context.new_page(), self.url)


@pytest.fixture
def world(tmp_path: Path, page_folder: Path, browser: Browser) -> Iterator[World]:
    """Nothing runs yet."""
    made = World(tmp_path, page_folder, browser)
    with made.ends:
        yield made


def until(condition: Callable[[], bool], page: Page) -> None:
    """Wait until something holds that Playwright does not know how to wait for."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s
        page.wait_for_timeout(50)


def signals(lat: float) -> dict[str, float]:
    """What is heard of the cells there: -10 n log10(d) and no more."""
    away_m = {name: abs(lat - place[0]) * LATITUDE_M for name, place in CELLS.items()}
    return {name: round(-40 - 30 * math.log10(max(m, 10)), 2) for name, m in away_m.items()}


def test_who_is_not_signed_in_reads_nothing(world: World, browser: Browser) -> None:
    world.serve().post("/api/locations", json=report())
    context = browser.new_context()
    world.ends.callback(context.close)
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url.removeprefix(world.url)))
    page.goto(world.url)
    expect(page).to_have_url(f"{world.url}/sign-in")
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_have_text("That is not the password.")
    assert "ue1" not in page.content()
    opened = ("/", "/sign-in", "/api/session")
    assert all(path in opened or path.startswith("/open/") for path in asked), asked
    for path in ("/page/console.js", "/page/console.html", "/api/state", "/api/events"):
        answer = context.request.get(world.url + path, max_redirects=0)
        assert answer.status == 401 and "ue1" not in answer.text(), path


def test_signing_out_ends_it(world: World) -> None:
    world.serve()
    console = world.console()
    console.page.get_by_role("button", name="Sign out").click()
    expect(console.page).to_have_url(f"{world.url}/sign-in")
    console.page.goto(world.url)
    expect(console.page).to_have_url(f"{world.url}/sign-in")
    assert console.errors == []


def test_a_ue_moves(world: World) -> None:
    client = world.serve()
    client.post("/api/survey")
    client.post("/api/locations", json=report(4.6, cell="cell1"))
    console = world.console()
    card, mark = console.ue(), console.page.locator(".ue-mark")
    expect(card).to_contain_text("cell1 · worker1")
    expect(card).to_contain_text("4.60000, -74.08000")
    expect(console.page.locator("#hosts .me-host").first).to_contain_text("videoapp-worker1")
    expect(mark).to_have_count(1)
    before = mark.get_attribute("style")
    track = console.page.locator(".track-line")
    drawn = track.get_attribute("d")
    for step in range(1, 6):
        here = report(4.6 + step / 500, cell="cell1", speed_mps=20, heading_deg=0)
        client.post("/api/locations", json={**here, "signal_dbm": {"cell1": -70, "cell2": -90}})
    expect(card).to_contain_text("4.61000, -74.08000")
    expect(card).to_contain_text("20.0 m/s N")
    expect(card).to_contain_text("-90 dBm")
    assert mark.get_attribute("style") != before and track.get_attribute("d") != drawn
    client.post("/api/locations", json=report(4.62, cell="cell2"))
    expect(card).to_contain_text("cell2 · worker2")
    # It is served by the other host still: through the backbone.
    expect(console.page.locator(".backbone-line")).to_have_attribute("d", re.compile("M.*L"))
    assert console.errors == []


def test_a_handoff_is_predicted(world: World) -> None:
    client = world.serve(prediction={"lead_s": 5})
    console = world.console()
    at_s, lat = time.time(), 4.6
    while True:
        at_s, lat = at_s + 1, lat + 25 / LATITUDE_M
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at_s))
        here = {**report(lat, cell="cell1", speed_mps=25), "time": when}
        answer = client.post("/api/locations", json={**here, "signal_dbm": signals(lat)})
        announced = answer.json()["handoffs"]
        if announced:
            break
        assert lat < 4.62, "no handoff was announced on the whole way"
    assert announced[0]["ho_status"] == "IN_PREPARATION"
    expect(console.handoff(1)).to_contain_text("preparation · pro-active · by RLapp")
    expect(console.ue()).to_contain_text("prepared for cell2")
    expect(console.page.locator("path.cell.expected")).to_have_count(1)
    console.button("Cancel").click()
    expect(console.ue()).not_to_contain_text("prepared for cell2")
    assert client.get("/api/handoffs").json()[0]["ho_status"] == "CANCELLED"
    assert console.errors == []


def test_a_relocation_is_shown_phase_by_phase(world: World) -> None:
    client = world.serve(phase_s=0.4)
    client.post("/api/locations", json=report(4.6, cell="cell1"))
    console = world.console()
    expect(console.page.locator("#chart")).to_have_attribute("data-points", "0")
    console.page.evaluate(WATCH_HANDOFFS)
    console.button("Relocate now").click()
    expect(console.ue()).to_contain_text("handing off")
    expect(console.page.locator("path.move")).to_have_count(1)
    handoff = console.handoff(1)
    expect(handoff).to_contain_text("completed")
    told = console.page.evaluate("() => window.told")
    for before, then in pairwise(PHASES):
        first = next(number for number, text in enumerate(told) if before in text)
        assert any(then in text for text in told[first:]), (before, then, told)
        assert not any(then in text for text in told[:first]), (before, then, told)
    expect(handoff).to_contain_text("cutover, in which no instance serves: 17.7 ms")
    for phase in ("hold", "drain", "freeze", "last delta", "activate", "switch", "settle"):
        expect(handoff.get_by_text(phase, exact=True)).to_be_visible()
    expect(console.page.locator("path.move")).to_have_count(0)
    expect(console.page.locator("#chart")).to_have_attribute("data-points", "1")
    expect(console.page.locator("#chart canvas")).to_be_visible()
    assert console.row(1) == [
        "1",
        "20.0 ms",
        "videoapp-worker1 172.17.0.2",
        "videoapp-worker2 172.17.0.2",
        "pro-active",
        "completed",
        "24.0 ms",
        "0",
    ]
    hosts = console.page.locator("#hosts .me-host")
    expect(hosts.nth(1)).to_contain_text("videoapp-worker2")
    expect(hosts.first).not_to_contain_text("videoapp")
    expect(console.ue()).to_contain_text("cell2 · worker2")
    expect(console.page.locator("#figures")).to_contain_text("20.0 ms")
    assert console.errors == []


def test_what_was_uncertain_is_shown_as_it_has_ended(world: World) -> None:
    config = read_config(write_config(world.folder))
    # No ME host knows this app: only the records of the run will tell.
    job = Job("rlapp-before", "ue1", "cell2", ["third"])
    item = {"app": "third", "source": "worker1", "target": "worker2", "handoff": "id-before"}
    plan = {"move_ue": True, "relocations": [{**item, "execute": True}]}
    first = record(item, job, "uncertain") | {"error": "worker2 was lost."}
    store = Store(config.database)
    store.execute(
        "INSERT INTO handoffs (run, ue, target_cell, apps, state, origin, asked_s, ended_s, plan)"
        " VALUES (?, 'ue1', 'cell2', '[\"third\"]', 'uncertain', 'x', ?, ?, ?)",
        (job.run, time.time(), time.time(), json.dumps(plan)),
    )
    store.execute(
        "INSERT INTO relocations (id, app, time, handoff, record) VALUES (?, ?, ?, 1, ?)",
        ("id-before", "third", first["time"], json.dumps(first)),
    )
    store.execute("INSERT INTO ends VALUES (1, 'third', 'uncertain')")
    store.close()
    last = record(item, job, "completed") | {"time": "2026-01-02T03:06:00.000+00:00"}
    world.serve()
    console = world.console()
    badge = console.handoff(1).locator(".badge")
    expect(badge).to_have_text("uncertain")
    assert "uncertain worker2 was lost." in console.row(1)
    write_records(config.handoffs.results_dir, job.run, [first, last])
    expect(badge).to_have_text("completed")
    until(lambda: "completed" in console.row(1), console.page)
    assert console.row(1)[1] == "20.0 ms"
    expect(console.handoff(1).locator(".timeline")).to_have_count(2)
    assert console.errors == []


def test_a_handoff_is_cancelled(world: World) -> None:
    world.serve(phase_s=3)
    console = world.console()
    console.ue().get_by_role("combobox", name="Target cell of ue1").select_option("cell2")
    console.button("Prepare").click()
    expect(console.handoff(1)).to_contain_text("Pre-copy the image")
    console.page.get_by_role("button", name="Cancel the handoff of ue1 to cell2").click()
    expect(console.handoff(1)).to_contain_text("cancelled")
    expect(console.page.locator("#relocations tr")).to_have_count(0)
    assert console.errors == []


def test_the_log_is_filtered(world: World) -> None:
    client = world.serve()
    for ue in ("ue1", "ue2"):
        client.post("/api/locations", json=report(ue=ue, cell="cell1"))
        client.post("/api/handoffs", json={"ue": ue, "target_cell": "cell2"})
    client.post("/api/session", json={"password": "wrong"})
    console = world.console()
    until(lambda: sum("relocation completed" in line for line in console.log()) == 2, console.page)
    assert not any("4.600000" in line for line in console.log())
    page = console.page
    page.get_by_label("Level").select_option("with locations")
    located = [line for line in console.log() if "lat=4.600000" in line]
    assert len(located) >= 2 and "ue=ue1 cell=cell1 zone=zone1" in located[0]
    page.get_by_label("UE or app").select_option("ue2")
    assert console.log() and all("ue2" in line for line in console.log())
    page.get_by_label("UE or app").select_option("")
    page.get_by_label("Text", exact=True).fill("RELOCATION completed")
    assert len(console.log()) == 2
    page.get_by_label("Text", exact=True).fill("")
    page.get_by_label("Level").select_option("warning")
    (warning,) = console.log()
    assert "wrong password" in warning
    client.post("/api/session", json={"password": "wrong again"})
    until(lambda: len(console.log()) == 2, page)
    assert console.errors == []


def test_after_a_loss_nothing_is_missing(world: World) -> None:
    client = world.serve()
    client.post("/api/locations", json=report(4.6, cell="cell1"))
    console = world.console()
    page = console.page
    page.get_by_label("Level").select_option("with locations")
    world.process.kill()
    world.process.wait()
    expect(page.get_by_text("Connection lost. Reconnecting…")).to_be_visible()
    # It happens before the page is back.
    client = world.serve()
    for number in range(20):
        client.post("/api/locations", json=report(4.601 + number / 1000, cell="cell1"))
    client.post("/api/handoffs", json={"ue": "ue1", "target_cell": "cell2"})
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    expect(console.ue()).to_contain_text("4.62000, -74.08000")
    expect(page.locator("#relocations tr")).to_have_count(1)
    until(lambda: any("handoff completed" in line for line in console.log()), page)
    told = [re.search(r"lat=(\S+)", line) for line in console.log()]
    seen = [float(match[1]) for match in told if match]
    assert seen[:21] == [4.6, *(round(4.601 + number / 1000, 3) for number in range(20))]
    assert all(error.startswith(UNREACHABLE) for error in console.errors), console.errors


def test_what_is_not_kept_any_more_begins_anew(world: World) -> None:
    client = world.serve()
    client.post("/api/locations", json=report(4.6, cell="cell1"))
    console = world.console()
    console.page.context.set_offline(True)
    world.process.kill()
    world.process.wait()
    expect(console.page.get_by_text("Connection lost. Reconnecting…")).to_be_visible()
    client = world.serve(limits={"events": 1})
    for number in range(600):
        client.post("/api/locations", json=report(4.6 + number / 100_000, cell="cell1"))
    client.post("/api/handoffs", json={"ue": "ue1", "target_cell": "cell2"})
    console.page.context.set_offline(False)
    expect(console.page.get_by_text("Live", exact=True)).to_be_visible()
    expect(console.ue()).to_contain_text("4.60599, -74.08000")
    expect(console.page.locator("#relocations tr")).to_have_count(1)
    assert all(error.startswith(UNREACHABLE) for error in console.errors), console.errors


def test_a_session_that_has_ended_leads_to_signing_in(world: World) -> None:
    """Whatever happens next ends the page's events."""
    client = world.serve()
    console = world.console()
    cookies = {cookie["name"]: cookie["value"] for cookie in console.page.context.cookies()}
    assert httpx.delete(f"{world.url}/api/session", cookies=cookies).status_code == 204
    client.post("/api/locations", json=report())
    expect(console.page).to_have_url(f"{world.url}/sign-in")
    assert "4.60000" not in console.page.content()


def test_what_is_refused_is_said(world: World) -> None:
    client = world.serve(phase_s=3, handoffs={"project": str(world.folder), "queued_max": 1})
    client.post("/api/handoffs", json={"ue": "ue1", "target_cell": "cell2"})
    client.post("/api/handoffs", json={"ue": "ue1", "target_cell": "cell1"})
    console = world.console()
    console.button("Relocate now").click()
    expect(console.page.get_by_role("alert")).to_have_text("too many handoffs wait already")


def test_a_ue_is_started_and_stopped(world: World) -> None:
    """With the UE's own program, whose cell is only a name here."""
    client = world.serve()
    cells = {name: {"lat": lat, "lon": lon} for name, (lat, lon) in CELLS.items()}
    (world.folder / "cells.json").write_text(json.dumps({"cells": cells}))
    (world.folder / "traces").mkdir()
    (world.folder / "traces" / "north.csv").write_text("time,lat,lon\n,4.6,-74.08\n,4.62,-74.08\n")
    command = ["-m", "mec_ue.drive", str(world.folder / "traces"), "--ordered", "--ue", "ue"]
    where = ["--simulate", "1", "--cells", str(world.folder / "cells.json"), "--rlapp", world.url]
    token = ["--token-file", str(world.folder / "ue"), "--speed-mps", "10", "--report-s", "0.1"]
    assert (world.folder / "ue").read_text().strip() == UE_TOKEN
    drive = subprocess.Popen([sys.executable, *command, *where, *token], env=environment())
    world.ends.callback(drive.wait)
    world.ends.callback(drive.terminate)
    console = world.console()
    page, card = console.page, console.ue()
    expect(card).to_contain_text("stands")
    page.get_by_label("Speed in m/s of ue1").fill("50")
    console.button("Start the trace").click()
    expect(card).to_contain_text("drives north.csv")
    expect(card).to_contain_text("50.0 m/s N")
    console.button("Stop the trace").click()
    expect(card).to_contain_text("stands")
    expect(console.button("Start the trace")).to_be_enabled()
    page.wait_for_timeout(300)
    stood = client.get("/api/state").json()["locations"]
    page.wait_for_timeout(500)
    assert client.get("/api/state").json()["locations"] == stood
    assert console.errors == []


def test_tiles_of_the_configured_source_are_shown(world: World) -> None:
    """The policy lets them in; their source is played by the browser."""
    url = "https://tiles.test/{z}/{x}/{y}.svg"
    world.serve(tiles={"url": url, "attribution": "© <b>somebody</b>"})
    asked: list[str] = []

    def tile(route: Route) -> None:
        asked.append(route.request.headers.get("referer", ""))
        image = '<svg xmlns="http://www.w3.org/2000/svg" width="256" height="256"/>'
        headers = {"Cross-Origin-Resource-Policy": "cross-origin"}
        route.fulfill(body=image, content_type="image/svg+xml", headers=headers)

    context = world.console().page.context
    context.route("https://tiles.test/**", tile)
    page = context.pages[0]
    page.reload()
    expect(page.locator("img.leaflet-tile-loaded").first).to_be_visible()
    expect(page.get_by_text("© <b>somebody</b>")).to_be_visible()
    assert set(asked) == {f"{world.url}/"}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone(world: World, scheme: str) -> None:
    client = world.serve()
    client.post("/api/locations", json=report(cell="cell1", signal_dbm={"cell1": -70}))
    client.post("/api/handoffs", json={"ue": "ue1", "target_cell": "cell2"})
    console = world.console(390, 844, color_scheme=scheme)
    page = console.page
    expect(page.locator("#relocations tr")).to_have_count(1)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    light = sum(int(part) for part in re.findall(r"\d+", ground)[:3]) > 3 * 128
    assert light == (scheme == "light")
    for button in page.get_by_role("button").all():
        if button.is_visible():
            size = button.bounding_box()
            assert size and size["height"] >= 28, button.inner_text()
    assert console.errors == []


def test_the_keyboard_is_enough(world: World) -> None:
    world.serve(phase_s=20)
    console = world.console()
    page = console.page
    reached: list[str] = []
    for _ in range(80):
        page.keyboard.press("Tab")
        focused = page.locator(":focus")
        if focused.count() == 0:
            break
        label = focused.get_attribute("aria-label") or focused.inner_text()
        outline = focused.evaluate("node => getComputedStyle(node).outlineStyle")
        assert outline != "none", f"nothing shows that {label} has the focus"
        reached.append(label)
        if label == "Relocate now: ue1":
            page.keyboard.press("Enter")
            expect(console.handoff(1)).to_contain_text("running")
        if label == "Text":
            break
    for wanted in (
        "Sign out",
        "Target cell of ue1",
        "Relocate now: ue1",
        "Prepare: ue1",
        "Cancel: ue1",
        "Zoom in",
        "Cancel the handoff of ue1 to cell1",
        "Ask them",
        "Level",
        "Text",
    ):
        assert wanted in reached, f"{wanted} is not among {reached}"
    assert console.errors == []
