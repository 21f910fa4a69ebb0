#!/usr/bin/env python3
# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Clients of an app on a UE, each of which asks again 50 ms after it was answered.

    crowd.py HOST COUNT

Connections are kept, and a request that such a one lost before any byte of the answer is sent once
more on a new one, as browsers do (RFC 9110, 9.2.2): the UE changes its address meanwhile. Ends with
SIGTERM, or after ten minutes, and tells as a JSON object how many requests there were, how many
were not answered with 200, and why not.
"""

from __future__ import annotations

import http.client
import json
import signal
import ssl
import sys
import threading
import time
from collections import Counter

TIMEOUT_S = 10.0
AT_MOST_S = 600.0
PAUSE_S = 0.05

stop, counting = threading.Event(), threading.Lock()
ended: Counter[str] = Counter()


def ask(host: str) -> None:
    """Ask until all is over."""
    connection = http.client.HTTPSConnection(host, timeout=TIMEOUT_S)
    end_s = time.monotonic() + AT_MOST_S
    while not stop.is_set() and time.monotonic() < end_s:
        is_kept = connection.sock is not None
        told = answer(connection)
        if is_kept and told is None:
            told = answer(connection)
        with counting:
            ended[told or "connection lost"] += 1
        time.sleep(PAUSE_S)


def answer(connection: http.client.HTTPSConnection) -> str | None:
    """Ask once: the status, or why there is none; None where the connection was closed."""
    try:
        connection.request("GET", "/")
        response = connection.getresponse()
        response.read()
    except (ConnectionError, ssl.SSLEOFError):
        connection.close()
        return None
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        return repr(error)
    return str(response.status)


def main() -> None:
    """Ask with as many clients as are wanted."""
    host, count = sys.argv[1:]
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    clients = [
        threading.Thread(target=ask, args=(host,), daemon=True) for _number in range(int(count))
    ]
    for client in clients:
        client.start()
    print("ready", flush=True)
    for client in clients:
        client.join()
    failed = {why: number for why, number in ended.items() if why != "200"}
    told = {"requests": ended.total(), "failed": sum(failed.values()), "why": failed}
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
