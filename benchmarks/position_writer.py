#!/usr/bin/env python3
# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A viewer of the video service who writes his watch position again and again.

Runs on a UE, with the standard library alone. He opens the video anew for each position. The
service numbers the viewings, and tells the position that it has; so a number that is not higher
than the last, a position that is lower, or one at the end, is a write that was acknowledged and
lost. A write whose connection breaks is sent again, as the service's page does: the service keeps
the newest by its number, so that is safe. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import http.client
import json
import signal
import ssl
import sys
import time
from typing import Any

RETRY_S = 0.05
STEP_S = 0.001
# What a gateway says of an instance that cannot be reached, or went away.
UNREACHABLE = (502, 503, 504)


class Viewer:
    """One signed-in viewer."""

    def __init__(self, host: str, deadline_s: float) -> None:
        self.host = host
        self.deadline_s = deadline_s
        self.cookie = ""
        self.connection: http.client.HTTPSConnection | None = None
        self.retries = 0
        self.slowest_s = 0.0

    def ask(self, method: str, path: str, content: dict[str, Any] | None = None) -> dict[str, Any]:
        """One request, sent again while the service cannot be reached or asks to wait."""
        began_s = time.monotonic()
        while True:
            try:
                answer = self._once(method, path, content)
            except (OSError, http.client.HTTPException):
                answer = None
            if answer is not None:
                self.slowest_s = max(self.slowest_s, time.monotonic() - began_s)
                return answer
            if time.monotonic() > self.deadline_s:
                sys.exit(f"{method} {path}: no answer before the end")
            self.retries += 1
            if self.connection is not None:
                self.connection.close()
            self.connection = None
            time.sleep(RETRY_S)

    def _once(
        self, method: str, path: str, content: dict[str, Any] | None
    ) -> dict[str, Any] | None:
        if self.connection is None:
            context = ssl.create_default_context()
            self.connection = http.client.HTTPSConnection(self.host, timeout=5, context=context)
        headers = {"Content-Type": "application/json"}
        if self.cookie:
            headers["Cookie"] = self.cookie
        body = json.dumps(content) if content is not None else None
        self.connection.request(method, path, body, headers)
        response = self.connection.getresponse()
        text = response.read()
        if response.status in UNREACHABLE:
            return None
        if response.status >= 400:
            sys.exit(f"{method} {path}: {response.status} {text.decode(errors='replace')}")
        set_cookie = response.headers["Set-Cookie"]
        if set_cookie:
            self.cookie = set_cookie.partition(";")[0]
        answer: dict[str, Any] = json.loads(text) if text else {}
        return answer


def main() -> None:
    parser = argparse.ArgumentParser(description="Write watch positions; the password is on stdin.")
    parser.add_argument("host")
    parser.add_argument("--user", default="viewer")
    parser.add_argument("--video", required=True)
    parser.add_argument("--interval-s", type=float, default=0.02)
    parser.add_argument("--duration-s", type=float, default=600.0, help="an upper bound")
    options = parser.parse_args()
    stopped = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))

    end_s = time.monotonic() + options.duration_s
    viewer = Viewer(options.host, end_s)
    password = sys.stdin.readline().strip()
    viewer.ask("POST", "/api/session", {"user": options.user, "password": password})
    viewer.retries = 0
    path = f"/api/videos/{options.video}"
    print("ready", flush=True)
    written, went_back, highest_s, latest = 0, 0, 0.0, 0
    while not stopped and time.monotonic() < end_s:
        begun = viewer.ask("POST", f"{path}/viewings", {})
        went_back += begun["viewing"] <= latest or begun["position_s"] < highest_s - STEP_S / 2
        latest = begun["viewing"]
        highest_s += STEP_S
        viewer.ask(
            "POST",
            f"{path}/position",
            {"viewing": latest, "seq": 1, "position_s": highest_s},
        )
        written += 2
        time.sleep(options.interval_s)
    videos = viewer.ask("GET", "/api/videos")["videos"]
    final_s = next(video["position_s"] for video in videos if video["id"] == options.video)
    print(
        json.dumps(
            {
                "written": written,
                "went_back": went_back,
                "lost": final_s < highest_s - STEP_S / 2,
                "final_s": final_s,
                "retries": viewer.retries,
                "slowest_s": round(viewer.slowest_s, 6),
            }
        )
    )


if __name__ == "__main__":
    main()
