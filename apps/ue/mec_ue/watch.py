"""Watch a video of videoapp in the browser of a UE, as its user would.

The browser (service `ue-browser`) runs on the UE and uses the UE's network; it is driven from here
with Playwright over the Chrome DevTools Protocol, through an SSH port forward.
"""

from __future__ import annotations

import argparse
import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Error,
    Frame,
    Page,
    ViewportSize,
    sync_playwright,
)

from .background import Background
from .samples import Sample, Watched, summarize, watch_time_kept
from .testbed import TestbedError, Ue, find_ue

DESKTOP = ViewportSize(width=1440, height=900)
PHONE = ViewportSize(width=390, height=844)
START_TIMEOUT_S = 20.0
REOPEN_TIMEOUT_S = 10.0
SAMPLE_INTERVAL_S = 0.1
# What a handoff takes and more: the video must not end while it is watched.
ROOM_S = 90.0
# Sampled in the page, on its monotonic clock: what happens on the way to here does not matter.
_SAMPLER = """(interval_ms) => {
  const video = document.querySelector("video");
  const samples = [];
  const sample = () => {
    let ahead_s = 0;
    for (let i = 0; i < video.buffered.length; i++) {
      const end_s = video.buffered.end(i);
      if (video.buffered.start(i) <= video.currentTime && video.currentTime <= end_s) {
        ahead_s = end_s - video.currentTime;
      }
    }
    samples.push([performance.now() / 1000, video.currentTime, video.paused, ahead_s]);
  };
  sample();
  window.takeSamples = () => samples.splice(0);
  setInterval(sample, interval_ms);
}"""


@contextmanager
def forward(ue: Ue) -> Iterator[int]:
    """A port of 127.0.0.1 that leads to the browser on the UE, while it is needed."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    lead = f"127.0.0.1:{port}:127.0.0.1:{ue.browser_port}"
    tunnel = [*ue.ssh[:-1], "-N", "-o", "ControlPath=none", "-o", "ExitOnForwardFailure=yes"]
    # A group of its own: an interrupt ends the browser's session first, and the tunnel after it.
    with subprocess.Popen(
        [*tunnel, "-L", lead, ue.ssh[-1]],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    ) as process:
        try:
            deadline_s = time.monotonic() + START_TIMEOUT_S
            while not _answers(port):
                if process.poll() is not None and process.stderr is not None:
                    reason = process.stderr.read().strip()
                    raise TestbedError(f"no port forward to {ue.name}: {reason}")
                if time.monotonic() > deadline_s:
                    raise TestbedError(
                        f"no browser answers on {ue.name}: see journalctl -u ue-browser there"
                    )
                time.sleep(0.1)
            yield port
        finally:
            process.terminate()


def _answers(port: int) -> bool:
    """Whether the browser answers, not only the forward."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.settimeout(1)
            connection.sendall(
                b"GET /json/version HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
            )
            return connection.recv(16).startswith(b"HTTP/1")
    except OSError:
        return False


@contextmanager
def browser_on(ue: Ue) -> Iterator[Browser]:
    """The browser of a UE, started before and stopped afterwards."""
    ue.run("systemctl", "start", "ue-browser")
    try:
        with forward(ue) as port, sync_playwright() as playwright:
            browser = playwright.chromium.connect_over_cdp(f"http://127.0.0.1:{port}")
            yield browser
            browser.close()
    finally:
        ue.run("systemctl", "stop", "ue-browser")


class Viewer:
    """Somebody in front of a browser window of their own (no cookies of others)."""

    def __init__(self, browser: Browser, url: str, viewport: ViewportSize = DESKTOP) -> None:
        self.url = url
        self.samples: list[Sample] = []
        # Errors on the page's console, and exceptions that it did not catch.
        self.errors: list[str] = []
        # How often the viewer was asked to sign in again.
        self.signed_out = 0
        self._signed_in = False
        # Whether the page was opened again, and with which position (None: the video did not come).
        self._reopened = False
        self._reopened_at_s: float | None = None
        self._context = browser.new_context(viewport=viewport, color_scheme="dark")
        self.page: Page = self._context.new_page()
        self.page.on("console", self._on_console)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("framenavigated", self._on_navigated)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        try:
            self._context.close()
        except Error:
            # The browser may be gone; the error that is on its way says more.
            if error is None:
                raise

    def sign_in(self, user: str, password: str) -> None:
        """Sign in and arrive at the library; raises TestbedError when that does not work."""
        self.page.goto(self.url)
        self.page.get_by_label("User").fill(user)
        self.page.get_by_label("Password").fill(password)
        self.page.get_by_role("button", name="Sign in").click()
        self._until(
            lambda: self.page.locator("#videos a").count() > 0,
            f"{user} cannot sign in at {self.url}",
        )
        self._signed_in = True

    def play(self, title: str, room_s: float = ROOM_S) -> None:
        """Open a video of the library and wait until it runs.

        It goes on where it was left; from the beginning when less than `room_s` is left.
        """
        self.page.get_by_role("link", name=title).first.click()
        self._until(lambda: self._position_s() is not None, f"{title} does not open")
        if float(self.page.locator("#seek").get_attribute("max") or 0) - self._at_s() < room_s:
            self.page.keyboard.press("Home")
            self._until(lambda: self._at_s() < room_s, f"{title} does not begin anew")
        began_s = self._at_s()
        self._until(lambda: self._at_s() > began_s + 0.5, f"{title} does not play")

    def watch(self) -> None:
        """Begin to sample the video's clock."""
        self.page.evaluate(_SAMPLER, SAMPLE_INTERVAL_S * 1000)

    def look(self) -> None:
        """Take over what was sampled since the last look; call it now and then."""
        taken = self.page.evaluate("() => window.takeSamples ? takeSamples() : []")
        self.samples += [Sample(*sample) for sample in taken]

    def watch_for(self, duration_s: float, wanted: Callable[[], bool] = lambda: True) -> None:
        """Go on watching for a while, at most as long as it is wanted."""
        deadline_s = time.monotonic() + duration_s
        while (left_s := deadline_s - time.monotonic()) > 0 and wanted():
            self.page.wait_for_timeout(min(left_s, 0.5) * 1000)
            self.look()

    def reopen(self) -> float | None:
        """Open the page anew, as somebody who comes back; returns the position that it opens with.

        None when the video does not come: the session is lost, or nothing serves.
        """
        self._reopened = True
        self.page.reload()
        deadline_s = time.monotonic() + REOPEN_TIMEOUT_S
        while self._reopened_at_s is None and not self.signed_out:
            if time.monotonic() > deadline_s:
                break
            self.page.wait_for_timeout(100)
            # What the page has before the video runs is not yet the position that was kept.
            self._reopened_at_s = self._position_s() or None
        return self._reopened_at_s

    def served_by(self) -> str:
        """The instance that answered last, as the page shows it."""
        return self.page.locator("#instance").inner_text().strip()

    def screenshot(self, file: Path) -> None:
        """Keep what the viewer sees."""
        file.parent.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=file)

    def summary(self) -> Watched:
        """What was seen between the first sample and the last."""
        return summarize(self.samples)

    def report(self) -> dict[str, Any]:
        """All of it, for a file: summary, errors, samples, and what a reopened page had kept."""
        watched = self.summary()
        came = self._reopened_at_s is not None
        kept = {
            "reopened_at_s": self._reopened_at_s,
            "session_kept": came and self.signed_out == 0,
            "watch_time_kept": watch_time_kept(watched, self._reopened_at_s),
        }
        return {
            **asdict(watched),
            **(kept if self._reopened else {}),
            "signed_out": self.signed_out,
            "errors": self.errors,
            "interval_s": SAMPLE_INTERVAL_S,
            "samples": [asdict(sample) for sample in self.samples],
        }

    def _position_s(self) -> float | None:
        position_s = self.page.evaluate(
            "() => { const v = document.querySelector('video');"
            " return v && v.readyState > 2 ? v.currentTime : null; }"
        )
        return None if position_s is None else float(position_s)

    def _at_s(self) -> float:
        return self._position_s() or 0.0

    def _until(self, condition: Callable[[], bool], otherwise: str) -> None:
        # Not wait_for_function: the page's Content-Security-Policy forbids what it does.
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                if condition():
                    return
            except Error as error:
                if "navigation" not in str(error):
                    raise
            if time.monotonic() > deadline_s:
                seen = " ".join(self.page.locator("body").inner_text().split())[:200]
                raise TestbedError(f"{otherwise}; the page says: {seen}")
            self.page.wait_for_timeout(50)

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.errors.append(message.text)

    def _on_navigated(self, frame: Frame) -> None:
        if self._signed_in and frame.url.startswith(f"{self.url}/sign-in"):
            self.signed_out += 1


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command's options."""
    parser = argparse.ArgumentParser(prog="python -m mec_ue.watch", description=main.__doc__)
    parser.add_argument("--ue", default="ue1", help="a UE of the inventory (default: ue1)")
    parser.add_argument("--app", default="videoapp", help="the app's name (default: videoapp)")
    parser.add_argument("--title", default="Aurora", help="the video to watch (default: Aurora)")
    parser.add_argument(
        "--duration-s", type=float, default=20.0, help="how long, at most (default: 20)"
    )
    parser.add_argument("--screenshot", type=Path, help="where to keep a picture of the end")
    parser.add_argument("--report", type=Path, help="where to write the JSON instead of printing")
    parser.add_argument(
        "--ready", type=Path, help="a file that is there while the video is watched"
    )
    parser.add_argument("--while", type=Path, dest="goes_on", help="watch until this file is gone")
    return parser.parse_args(arguments)


def watch(options: argparse.Namespace, background: Background) -> dict[str, Any]:
    """Watch as the options say, open the page once more, and return what was seen."""
    ue = find_ue(options.ue)
    password = ue.secret(f"{options.app}_password")
    with (
        browser_on(ue) as browser,
        Viewer(browser, f"https://{options.app}.{ue.domain}") as viewer,
    ):
        viewer.sign_in("viewer", password)
        viewer.play(options.title)
        viewer.watch()
        background.begun()
        viewer.watch_for(options.duration_s, background.wanted)
        if options.screenshot:
            viewer.screenshot(options.screenshot)
        viewer.reopen()
        return viewer.report()


def main() -> None:
    """Watch for a while and print what was seen as JSON."""
    options = parse()
    background = Background(options.ready, options.goes_on)
    try:
        with background.told():
            report = json.dumps(watch(options, background), indent=1) + "\n"
            if options.report:
                options.report.write_text(report, encoding="utf-8")
            else:
                sys.stdout.write(report)
    except (TestbedError, Error, OSError, ValueError) as error:
        sys.exit(f"watch: {error}")


if __name__ == "__main__":
    main()
