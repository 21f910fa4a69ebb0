#!/usr/bin/env python3
# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writers on a UE, each of which sends one entry after the other.

    writers.py HOST JOURNAL COUNT

An entry is sent once, and never again. Each line of standard output tells, as a JSON object, how
one ended: its `entry`, when it was `sent_s` and `ended_s` (CLOCK_MONOTONIC), the HTTP `status` or
none, and of an acknowledged one the `instance` and where its line ends (`end`). Writing ends with
standard input.
"""

from __future__ import annotations

import http.client
import itertools
import json
import sys
import threading
import time
from typing import Any

# Some give up soon, some are patient; some keep their connection.
TIMEOUTS_S = (1.0, 2.0, 3.0, 5.0, 5.0, 8.0)
PAUSE_S = 0.03

stop = threading.Event()
saying = threading.Lock()


def write(host: str, journal: str, number: int) -> None:
    """Send entries until all is over."""
    timeout_s = TIMEOUTS_S[number % len(TIMEOUTS_S)]
    connection = http.client.HTTPSConnection(host, timeout=timeout_s)
    for count in itertools.count(1):
        if stop.wait(PAUSE_S):
            return
        said: dict[str, Any] = {"entry": f"{number}-{count}", "sent_s": time.monotonic()}
        try:
            connection.request("POST", f"/entries/{journal}/{said['entry']}", b"x")
            answer = connection.getresponse()
            body = answer.read()
            said["status"] = answer.status
            if answer.status == http.HTTPStatus.OK:
                said |= json.loads(body)
        except (OSError, http.client.HTTPException, ValueError) as error:
            said |= {"status": None, "error": repr(error)}
            connection.close()
        said["ended_s"] = time.monotonic()
        if number % 2:
            connection.close()
        with saying:
            print(json.dumps(said), flush=True)


def main() -> None:
    """Write until standard input ends."""
    host, journal, count = sys.argv[1:]
    threads = [
        threading.Thread(target=write, args=(host, journal, number), daemon=True)
        for number in range(int(count))
    ]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    stop.set()
    for thread in threads:
        thread.join(max(TIMEOUTS_S) + 1)


if __name__ == "__main__":
    main()
