#!/usr/bin/env python3
# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A CalDAV client that writes without pause and then asks for everything back.

It makes a calendar of its own and lets several writers put events into it: each event is created,
then changed once (RFC 4791, 5.3.2). Every write that the server acknowledged is remembered. When
the time is over, or standard input ends, the calendar is read back (PROPFIND and a calendar-query
REPORT) and compared; then it is deleted. The result is one JSON object, and status 1 where an
acknowledged write is not there as it was written, or is there twice.

The first line of standard input is the password. Only Python's standard library is needed, because
a UE has nothing else.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import http.client
import itertools
import json
import secrets
import socket
import ssl
import sys
import threading
import time
import xml.etree.ElementTree as ET
from collections import Counter
from dataclasses import asdict, dataclass, field
from urllib.parse import urlsplit

DAV, CALDAV = "{DAV:}", "{urn:ietf:params:xml:ns:caldav}"
TIMEOUT_S = 30.0
ACKNOWLEDGED = (201, 204)
PROPFIND = '<propfind xmlns="DAV:"><prop><getetag/></prop></propfind>'
REPORT = (
    '<C:calendar-query xmlns="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav">'
    "<prop><getetag/><C:calendar-data/></prop>"
    '<C:filter><C:comp-filter name="VCALENDAR"><C:comp-filter name="VEVENT"/>'
    "</C:comp-filter></C:filter></C:calendar-query>"
)
EVENT = """BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//mec.relocation//examples//EN
BEGIN:VEVENT
UID:{uid}
DTSTAMP:20260101T000000Z
DTSTART:20260101T{hour:02}0000Z
DURATION:PT1H
SEQUENCE:{sequence}
SUMMARY:{summary}
END:VEVENT
END:VCALENDAR
""".replace("\n", "\r\n")


class Server:
    """One connection to the CalDAV server, made anew where the old one is of no use."""

    def __init__(self, url: str, user: str, password: str, ca_file: str | None) -> None:
        parts = urlsplit(url)
        self.host = parts.hostname or ""
        self.port = parts.port or (443 if parts.scheme == "https" else 80)
        self.tls = ssl.create_default_context(cafile=ca_file) if parts.scheme == "https" else None
        login = base64.b64encode(f"{user}:{password}".encode()).decode()
        self.headers = {"Authorization": f"Basic {login}", "User-Agent": "mec-caldav-client"}
        self.connection: http.client.HTTPConnection | None = None
        self.retried = 0

    def ask(
        self, method: str, path: str, body: str = "", headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        """One request. All the methods used here are idempotent, so one that a kept connection
        lost before an answer is sent again, once (RFC 9110, 9.2.2)."""
        kept = self._usable()
        try:
            return self._exchange(method, path, body, headers or {})
        except (http.client.RemoteDisconnected, ConnectionError):
            self.close()
            if not kept:
                raise
            self.retried += 1
            return self._exchange(method, path, body, headers or {})

    def close(self) -> None:
        """Close the connection."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def _exchange(
        self, method: str, path: str, body: str, headers: dict[str, str]
    ) -> tuple[int, bytes]:
        if self.connection is None:
            self.connection = (
                http.client.HTTPSConnection(
                    self.host, self.port, timeout=TIMEOUT_S, context=self.tls
                )
                if self.tls
                else http.client.HTTPConnection(self.host, self.port, timeout=TIMEOUT_S)
            )
        try:
            self.connection.request(method, path, body.encode(), {**self.headers, **headers})
            answer = self.connection.getresponse()
            return answer.status, answer.read()
        except Exception:
            self.close()
            raise

    def _usable(self) -> bool:
        """Whether a connection is kept whose address is still the UE's; another one is closed."""
        if self.connection is None or self.connection.sock is None:
            return False
        kept = self.connection.sock
        # What fails here is a socket that the UE's change of cell has ended already.
        with contextlib.suppress(OSError), socket.socket(kept.family, socket.SOCK_DGRAM) as udp:
            udp.connect(kept.getpeername())
            if udp.getsockname()[0] == kept.getsockname()[0]:
                return True
        self.close()
        return False


@dataclass
class Writes:
    """What was tried, and what of it the server acknowledged: the latest version of each event."""

    tried: dict[str, int] = field(default_factory=dict)
    acknowledged: dict[str, int] = field(default_factory=dict)
    moments_s: list[float] = field(default_factory=list)
    slowest_s: float = 0.0
    failures: list[str] = field(default_factory=list)
    retried: int = 0


@dataclass
class Result:
    """What came of it."""

    events: int
    acknowledged: int
    failed: int
    retried: int
    longest_gap_s: float
    slowest_s: float
    lost: list[str]
    altered: list[str]
    duplicates: list[str]
    first_failures: list[str]


def event(uid: str, sequence: int) -> str:
    """An event; its text tells which version of which event it is."""
    summary = f"version {sequence} of {uid}"
    return EVENT.format(uid=uid, hour=len(uid) % 24, sequence=sequence, summary=summary)


def write(
    server: Server, calendar: str, writer: int, options: argparse.Namespace, stop: threading.Event
) -> Writes:
    """Create and change events until `stop`."""
    done = Writes()
    for number in range(options.max_events):
        uid = f"{calendar.strip('/').rpartition('/')[2]}-{writer}-{number}"
        for sequence in (0, 1):
            if stop.wait(options.interval_s):
                done.retried = server.retried
                return done
            begin_s = time.monotonic()
            done.tried[uid] = sequence
            try:
                status, _ = server.ask(
                    "PUT",
                    f"{calendar}{uid}.ics",
                    event(uid, sequence),
                    {"Content-Type": "text/calendar; charset=utf-8"},
                )
            except (OSError, http.client.HTTPException) as error:
                done.failures.append(f"{uid}: {type(error).__name__}: {error}")
                continue
            if status not in ACKNOWLEDGED:
                done.failures.append(f"{uid}: status {status}")
                continue
            end_s = time.monotonic()
            done.acknowledged[uid] = sequence
            done.moments_s.append(end_s)
            done.slowest_s = max(done.slowest_s, end_s - begin_s)
    done.retried = server.retried
    return done


def read_back(server: Server, calendar: str) -> tuple[list[str], list[str]]:
    """The names in the calendar, and the events in it as iCalendar text."""
    listed = ask_xml(server, "PROPFIND", calendar, PROPFIND)
    found = ask_xml(server, "REPORT", calendar, REPORT)
    hrefs = [node.text or "" for node in listed.iter(f"{DAV}href")]
    texts = [node.text or "" for node in found.iter(f"{CALDAV}calendar-data")]
    return [href for href in hrefs if href.endswith(".ics")], texts


def ask_xml(server: Server, method: str, path: str, body: str) -> ET.Element:
    """The multistatus answer (RFC 4918, 13) to a request."""
    status, content = server.ask(method, path, body, {"Depth": "1", "Content-Type": "text/xml"})
    if status != 207:
        raise SystemExit(f"{method} {path} was answered with {status}.")
    return ET.fromstring(content)  # noqa: S314 - of the server that this program tests


def properties(text: str) -> dict[str, str]:
    """The properties of an event, unfolded (RFC 5545, 3.1)."""
    lines = text.replace("\r\n", "\n").replace("\n ", "").split("\n")
    return dict(line.split(":", 1) for line in lines if ":" in line)


def compare(writes: list[Writes], hrefs: list[str], texts: list[str]) -> Result:
    """What was acknowledged against what is there."""
    tried = {uid: sequence for done in writes for uid, sequence in done.tried.items()}
    kept = {uid: sequence for done in writes for uid, sequence in done.acknowledged.items()}
    there = [properties(text) for text in texts]
    stored = {found["UID"]: found for found in there}
    names = Counter(found["UID"] for found in there) + Counter(
        href for href, times in Counter(hrefs).items() for _ in range(times - 1)
    )
    listed = {href.rpartition("/")[2].removesuffix(".ics") for href in hrefs}
    altered = []
    for uid, sequence in kept.items():
        found = stored.get(uid)
        if found is None:
            continue
        # A write without an answer may have come in all the same.
        version = int(found["SEQUENCE"])
        if (
            not sequence <= version <= tried[uid]
            or found["SUMMARY"] != f"version {version} of {uid}"
        ):
            altered.append(f"{uid}: {found['SUMMARY']!r} after version {sequence}")
    moments_s = sorted(moment for done in writes for moment in done.moments_s)
    failures = [failure for done in writes for failure in done.failures]
    return Result(
        events=len(kept),
        acknowledged=len(moments_s),
        failed=len(failures),
        retried=sum(done.retried for done in writes),
        longest_gap_s=round(max((b - a for a, b in itertools.pairwise(moments_s)), default=0.0), 6),
        slowest_s=round(max((done.slowest_s for done in writes), default=0.0), 6),
        lost=sorted(uid for uid in kept if uid not in stored or uid not in listed),
        altered=altered,
        duplicates=sorted(name for name, times in names.items() if times > 1)
        + sorted(set(stored) - set(tried)),
        first_failures=failures[:5],
    )


def until_input_ends(stop: threading.Event) -> None:
    """Stop the writers when nobody is there any more."""
    sys.stdin.read()
    stop.set()


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="client.py", description="Write events to a CalDAV server and ask for them back."
    )
    parser.add_argument("url", help="for example https://radicale.mec.test")
    parser.add_argument("--user", default="calendar")
    parser.add_argument("--ca-file", metavar="FILE", help="CA of the server; default: the system's")
    parser.add_argument("--writers", type=int, default=2, metavar="N")
    parser.add_argument(
        "--interval-s", type=float, default=0.05, metavar="S", help="of each writer"
    )
    parser.add_argument("--duration-s", type=float, default=10.0, metavar="S")
    parser.add_argument("--max-events", type=int, default=1000, metavar="N", help="of each writer")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Write, read back, compare, clean up."""
    options = parse(arguments)
    password = sys.stdin.readline().rstrip("\n")

    def server() -> Server:
        return Server(options.url, options.user, password, options.ca_file)

    calendar = f"/{options.user}/test-{secrets.token_hex(4)}/"
    control = server()
    status, _ = control.ask("MKCALENDAR", calendar)
    if status != 201:
        raise SystemExit(f"MKCALENDAR {calendar} was answered with {status}.")
    stop = threading.Event()
    writes: list[Writes] = []
    writers = [
        threading.Thread(
            target=lambda number=number: writes.append(
                write(server(), calendar, number, options, stop)
            )
        )
        for number in range(options.writers)
    ]
    threading.Thread(target=until_input_ends, args=(stop,), daemon=True).start()
    for thread in writers:
        thread.start()
    stop.wait(options.duration_s)
    stop.set()
    for thread in writers:
        thread.join()
    result = compare(writes, *read_back(control, calendar))
    control.ask("DELETE", calendar)
    print(json.dumps(asdict(result), indent=2))
    return 1 if result.lost or result.altered or result.duplicates else 0


if __name__ == "__main__":
    sys.exit(main())
