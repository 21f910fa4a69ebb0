"""Have a UE drive as RLapp orders, say where that can be seen, and tell what happens on the way.

Runs on the controller, with the token that RLapp gave it.
"""

from __future__ import annotations

import argparse
import json
import ssl
import sys
import time
from collections.abc import Iterator
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from rich.console import Console
from rich.status import Status

from .testbed import TestbedError, Ue, find_ue

TRACE = "loop.geojson"
SPEED_MPS = 15.0
_TIMEOUT_S = 10.0
# Without an event for so long the connection is lost: RLapp sends a sign of life each 15 s.
_SILENCE_S = 40.0
# What it takes until a UE that was just made has told RLapp of its traces.
_READY_WITHIN_S = 30.0
_PAUSE_S = 1.0


class Rlapp:
    """RLapp's interface, for the controller. Methods raise TestbedError."""

    def __init__(self, url: str, token: str, ca: str) -> None:
        self._url = url
        self._token = token
        self._context = ssl.create_default_context(cafile=ca)

    def link(self) -> str:
        """A link that signs in once, within an hour."""
        return str(self._json("POST", "/api/links", {})["url"])

    def state(self) -> dict[str, Any]:
        """All that the page shows."""
        found: dict[str, Any] = self._json("GET", "/api/state")
        return found

    def order(self, ue: str, trace: str | None, *, speed_mps: float, loop: bool) -> None:
        """Have a UE drive one of its traces; without one, have it stand."""
        wanted = {"trace": trace, "speed_mps": speed_mps if trace else None, "loop": loop}
        self._json("PUT", f"/api/ues/{ue}/order", wanted)

    def hand_off(self, ue: str, target_cell: str) -> int:
        """Have a UE handed off; returns the number of the handoff."""
        message = {"ue": ue, "target_cell": target_cell}
        return int(self._json("POST", "/api/handoffs", message)["id"])

    def handoff(self, number: int) -> dict[str, Any]:
        """One handoff."""
        found: dict[str, Any] = self._json("GET", f"/api/handoffs/{number}")
        return found

    def events(self, after: int) -> Iterator[tuple[str, dict[str, Any]]]:
        """What happens, each with its kind; ends where the connection does."""
        with self._open("GET", f"/api/events?after={after}", None, _SILENCE_S) as stream:
            kind = ""
            for line in stream:
                name, _, value = line.decode().rstrip("\n").partition(": ")
                if name == "event":
                    kind = value
                elif name == "data":
                    yield kind, json.loads(value)

    def _json(self, method: str, path: str, content: object = None) -> Any:
        with self._open(method, path, content, _TIMEOUT_S) as answer:
            body = answer.read()
        return json.loads(body) if body else None

    def _open(self, method: str, path: str, content: object, timeout_s: float) -> Any:
        request = Request(  # noqa: S310 - the URL is the inventory's
            self._url + path,
            method=method,
            data=None if content is None else json.dumps(content).encode(),
            headers={
                "Authorization": f"Bearer {self._token}",
                "Content-Type": "application/json",
            },
        )
        try:
            return urlopen(request, timeout=timeout_s, context=self._context)  # noqa: S310
        except HTTPError as error:
            detail = error.read().decode(errors="replace")
            raise TestbedError(f"RLapp refuses {method} {path}: {detail}") from error
        except (URLError, OSError, HTTPException) as error:
            raise TestbedError(
                f"RLapp does not answer at {self._url} ({error}); `make up` starts it"
            ) from error


def rlapp_of(ue: Ue) -> Rlapp:
    """The RLapp of the testbed that a UE lives in."""
    return Rlapp(ue.rlapp_url, ue.secret("rlapp_token"), str(ue.state_dir / "pki" / "ca.crt"))


def begin(rlapp: Rlapp, ue: Ue, *, loop: bool) -> None:
    """Have the UE drive the loop between the cells, as soon as it has told that it can."""
    deadline_s = time.monotonic() + _READY_WITHIN_S
    while TRACE not in rlapp.state()["drives"][ue.name]["told"]["traces"]:
        if time.monotonic() > deadline_s:
            raise TestbedError(
                f"{ue.name} has told RLapp of no trace {TRACE};"
                f" see `journalctl -u mec-ue-drive` on {ue.name}"
            )
        time.sleep(_PAUSE_S)
    rlapp.order(ue.name, TRACE, speed_mps=SPEED_MPS, loop=loop)


def invite(rlapp: Rlapp, ue: Ue, console: Console) -> None:
    """Say where the drive can be seen."""
    console.print(f"RLapp        {rlapp.link()}", soft_wrap=True)
    console.print("             signs in once, within an hour; the certificate is signed by")
    console.print(f"             {ue.state_dir / 'pki' / 'ca.crt'}", soft_wrap=True)


def line_of(kind: str, event: dict[str, Any]) -> str | None:
    """What there is to say of an event."""
    if kind == "relocation":
        record = event["record"]
        said = f"{record['app']} {record['source']} → {record['target']}, {record['outcome']}"
        if record["downtime_s"] is not None:
            said += f": downtime {record['downtime_s'] * 1000:,.0f} ms"
        gap_s = (record["client"] or {}).get("longest_gap_s")
        return said if gap_s is None else f"{said}, the UE's longest gap {gap_s * 1000:,.0f} ms"
    if kind == "handoff":
        handoff = event["handoff"]
        about = f"handoff {handoff['id']}: {handoff['ue']} → {handoff['target_cell']}"
        if handoff["state"] == "queued":
            return f"{about}, {handoff['ho_status'] or 'in one go'}"
        if handoff["state"] in ("failed", "cancelled", "uncertain"):
            return f"{about} {handoff['state']}: {handoff['error'] or 'no reason given'}"
    return None


def follow(rlapp: Rlapp, ue: Ue, console: Console, status: Status) -> None:
    """Tell what happens until it is interrupted, across restarts of RLapp."""
    newest = rlapp.state()["event"]
    while True:
        try:
            for kind, event in rlapp.events(newest):
                if kind == "location" and event["ue"] == ue.name:
                    status.update(place_of(event))
                elif said := line_of(kind, event):
                    console.print(f"{time.strftime('%H:%M:%S')}  {said}", soft_wrap=True)
        except (OSError, HTTPException):
            console.print(f"{time.strftime('%H:%M:%S')}  the connection to RLapp is lost")
        time.sleep(_PAUSE_S)
        newest = rlapp.state()["event"]


def place_of(event: dict[str, Any]) -> str:
    """Where a UE is."""
    place = f"{event['ue']} at {event['lat']:.5f}, {event['lon']:.5f}, in {event['cell']}"
    speed = event.get("speed_mps")
    return place if speed is None else f"{place}, {speed:.0f} m/s"


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m mec_ue.console", description=__doc__)
    parser.add_argument("--ue", default="ue1", help="a UE of the inventory (default: ue1)")
    options = parser.parse_args()
    console = Console(highlight=False)
    try:
        ue = find_ue(options.ue)
        rlapp = rlapp_of(ue)
        begin(rlapp, ue, loop=True)
        invite(rlapp, ue, console)
        console.print(f"{ue.name} drives {TRACE} until this is interrupted")
        try:
            with console.status("") as status:
                follow(rlapp, ue, console, status)
        finally:
            rlapp.order(ue.name, None, speed_mps=SPEED_MPS, loop=False)
    except KeyboardInterrupt:
        sys.exit(130)
    except TestbedError as error:
        sys.exit(f"drive: {error}")


if __name__ == "__main__":
    main()
