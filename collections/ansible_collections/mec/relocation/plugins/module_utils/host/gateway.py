# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The gateway of a cell: hold, forward, release.

What is decided about an app is one line in a file of its own, on tmpfs. HAProxy reads it for each
request (``hold.lua`` of the role ``gateway``, which describes the line), so each of its processes
follows at once: those that a reload has left behind, and those that start later. HAProxy is asked
only what it alone knows: which requests are under way.
"""

from __future__ import annotations

import contextlib
import csv
import fcntl
import os
import re
import socket
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..ground.app import check_name
from ..ground.durable import write_durably
from ..ground.errors import RelocationError

DECISIONS = Path("/run/mec-gateway")
MASTER_SOCKET = Path("/run/haproxy-master.sock")

_TIMEOUT_S = 5.0
_PAUSE_S = 0.002
_NOWHERE = "-"
_PEER = struct.Struct("3i")  # process, user, group (unix(7), SO_PEERCRED)
_WORD = re.compile(r"[\w.:-]+", re.ASCII)
_AFTER = ("refuse", "release")
# What the master says in place of a worker that has ended.
_GONE = "Can't find the target PID"


@dataclass(frozen=True)
class Hold:
    """A hold of an app's requests.

    Attributes:
        owner: on whose behalf; only the owner ends it, but for those who decide in its place.
        limit_ms: how long a request waits at most; then it gets 503 with Retry-After.
        end_s: when the hold as a whole ends by itself, in seconds since this host's boot.
        after: what becomes of requests from then on: ``refuse`` (503 with Retry-After) or
            ``release``.
    """

    owner: str
    limit_ms: int
    end_s: float
    after: str

    @property
    def has_ended(self) -> bool:
        """Whether it has ended by itself."""
        return _uptime_s() >= self.end_s


@dataclass(frozen=True)
class Decision:
    """Where the requests of an app go, and whether they wait before that."""

    host: str
    hold: Hold | None = None

    @property
    def line(self) -> str:
        """The decision as its file has it."""
        if self.hold is None:
            return self.host
        hold = self.hold
        return f"{self.host} {hold.owner} {hold.limit_ms} {hold.end_s:.2f} {hold.after}"

    @classmethod
    def parse(cls, line: str) -> Decision:
        """Read what ``line`` gives."""
        host, *words = line.split()
        if not words:
            return cls(host)
        owner, limit_ms, end_s, after = words
        return cls(host, Hold(owner, int(limit_ms), float(end_s), after))


class Gateway:
    """One HAProxy, and what is decided about the apps behind it.

    Args:
        runtime_socket: HAProxy's runtime socket.
        map_path: the map of locations, on disk: what holds at the next boot.
        decisions: the folder on tmpfs, with a file for each app.
        master_socket: the socket of HAProxy's master process.
    """

    def __init__(
        self,
        runtime_socket: Path,
        map_path: Path,
        decisions: Path = DECISIONS,
        master_socket: Path = MASTER_SOCKET,
    ) -> None:
        self.socket = runtime_socket
        self.map_path = map_path
        self.decisions = decisions
        self.master_socket = master_socket

    # -- decisions --------------------------------------------------------------------------

    def decision(self, app: str) -> Decision:
        """Return what is decided about an app."""
        try:
            return Decision.parse(self._file(app).read_text())
        except FileNotFoundError:
            return Decision(self._map().get(app, _NOWHERE))

    def locations(self) -> dict[str, str]:
        """Return the ME host to which this gateway sends the requests of each app."""
        locations = self._map()
        for app in self._decided():
            locations[app] = self.decision(app).host
        return {app: host for app, host in sorted(locations.items()) if host != _NOWHERE}

    def holds(self) -> dict[str, Hold]:
        """Return the holds by app; one that has ended by itself is among them until told."""
        decisions = ((app, self.decision(app)) for app in self._decided())
        return {app: decision.hold for app, decision in decisions if decision.hold is not None}

    def hold(
        self,
        app: str,
        max_s: float,
        host: str,
        owner: str,
        end_s: float = 60.0,
        after: str = "refuse",
    ) -> int:
        """Let new requests wait, each for at most ``max_s``; then they get 503 with Retry-After.

        Args:
            app: the app.
            max_s: how long a request may wait.
            host: whose instance answers now.
            owner: the handoff on whose behalf.
            end_s: after this time the hold ends by itself, whoever has died meanwhile.
            after: what becomes of requests then, until somebody decides: ``refuse``, where the
                instance may be frozen or dead, or ``release``.

        Returns:
            ``in_flight`` of the instance on ``host``, as of then.

        Raises:
            RelocationError: another owner holds the app, or HAProxy does not follow.
        """
        if after not in _AFTER:
            raise RelocationError(f"A hold ends with one of {_AFTER}, not {after!r}.")
        with self._deciding():
            decision = self.decision(app)
            _refuse_another(app, decision, owner)
            hold = Hold(_word(owner), round(max_s * 1000), _uptime_s() + end_s, after)
            line = self._decide(app, Decision(decision.host, hold))
        try:
            return self._under_way(app, host, line)
        except RelocationError:
            self.release(app, owner)
            raise

    def release(self, app: str, owner: str | None = None) -> bool:
        """Let the waiting requests go on, to where the app is.

        Args:
            app: the app.
            owner: whose hold it is to be; another's stays. Left out, whoever's it is.

        Returns:
            Whether this ended a hold that had not ended by itself.
        """
        with self._deciding():
            decision = self.decision(app)
            hold = decision.hold
            if hold is None or owner not in (None, hold.owner):
                return False
            self._decide(app, Decision(decision.host))
        return not hold.has_ended

    def forward(self, app: str, host: str, owner: str | None = None) -> None:
        """Send the app's requests to its instance on ``host``, those that wait first.

        Raises:
            RelocationError: ``owner`` is given, and another one holds the app.
        """
        with self._deciding():
            _refuse_another(app, self.decision(app), owner)
            self._decide(app, Decision(_word(host)))

    def remove(self, app: str) -> None:
        """Send the app's requests nowhere: they are answered with 503, and those that wait, too."""
        with self._deciding():
            self._decide(app, Decision(_NOWHERE))

    def persist(self) -> None:
        """Write where requests go for the next boot: as it was decided."""
        self.map_path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(self.map_path.parent / ".lock"):
            content = "".join(f"{app} {host}\n" for app, host in self.locations().items())
            if not self.map_path.exists() or self.map_path.read_text() != content:
                write_durably(self.map_path, content, mode=0o644)

    # -- what HAProxy knows -----------------------------------------------------------------

    def check(self, app: str, host: str) -> None:
        """Raise unless this gateway can send the app's requests to its instance on ``host``."""
        _requests(self._ask(_question(app, host)), app, host, self.decision(app).line)

    def in_flight(self, app: str, host: str) -> int:
        """Return how many requests the app's instance on ``host`` answers through this gateway.

        Tunnels and event streams are left out: they do not end by themselves. A gateway that does
        not run has nothing under way.
        """
        return self._under_way(app, host, None)

    def _under_way(self, app: str, host: str, line: str | None) -> int:
        try:
            answers = self._ask(_question(app, host))
        except _NotRunningError:
            return 0
        return _requests(answers, app, host, line)

    def _ask(self, commands: list[str]) -> list[str]:
        """Have each worker answer commands; the last is answered with a table."""
        try:
            with _connected(self.socket) as connection:
                if _count_children(connection) == 1:
                    return [_exchange(connection, ";".join(commands))]
        except (FileNotFoundError, ConnectionRefusedError) as error:
            raise _NotRunningError(
                f"The gateway does not run: nobody listens on {self.socket}.",
                "See `systemctl status haproxy` on that host.",
            ) from error
        except TimeoutError as error:
            raise RelocationError(f"The gateway does not answer on {self.socket}.") from error
        except OSError:
            # The worker ended meanwhile.
            pass
        return self._ask_all(commands)

    def _ask_all(self, commands: list[str]) -> list[str]:
        """Like ``_ask``, by way of the master: several workers run after a reload."""
        deadline = time.monotonic() + _TIMEOUT_S
        failure: OSError | str = "no worker"
        while time.monotonic() < deadline:
            try:
                processes = self._ask_master("show proc")
                workers = re.findall(r"^(\d+)\s+worker\s", processes, re.MULTILINE)
                answers = [
                    self._ask_master(";".join(f"@!{worker} {command}" for command in commands))
                    for worker in workers
                ]
            except OSError as error:
                # It reads its configuration again, and does not listen meanwhile.
                failure = error
            else:
                # A worker that has ended meanwhile has nothing under way.
                if left := [answer for answer in answers if answer.strip() and _GONE not in answer]:
                    return left
            time.sleep(_PAUSE_S)
        raise RelocationError(
            f"The gateway does not answer on {self.master_socket}: {failure}.",
            "See `systemctl status haproxy` on that host.",
        )

    def _ask_master(self, commands: str) -> str:
        with _connected(self.master_socket) as connection:
            return _exchange(connection, commands)

    # -- files ------------------------------------------------------------------------------

    def _map(self) -> dict[str, str]:
        """Return the locations as they are on disk."""
        try:
            lines = self.map_path.read_text().splitlines()
        except FileNotFoundError:
            return {}
        return dict(line.split() for line in lines)

    def _decided(self) -> list[str]:
        """Return the apps about which something was decided since the boot."""
        if not self.decisions.exists():
            return []
        return [path.name for path in self.decisions.iterdir() if not path.name.startswith(".")]

    def _file(self, app: str) -> Path:
        return self.decisions / check_name(app)

    @contextlib.contextmanager
    def _deciding(self) -> Iterator[None]:
        """Let nobody else decide meanwhile."""
        self.decisions.mkdir(mode=0o755, parents=True, exist_ok=True)
        with _locked(self.decisions / ".lock"):
            yield

    def _decide(self, app: str, decision: Decision) -> str:
        """Write a decision; it is not synced, because it lies on tmpfs."""
        fresh = self.decisions / f".{check_name(app)}"
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            os.fchmod(descriptor, 0o644)
            os.write(descriptor, f"{decision.line}\n".encode())
        finally:
            os.close(descriptor)
        os.replace(fresh, self._file(app))
        return decision.line


class _NotRunningError(RelocationError):
    """HAProxy does not run."""


def _refuse_another(app: str, decision: Decision, owner: str | None) -> None:
    hold = decision.hold
    if hold is not None and owner not in (None, hold.owner) and not hold.has_ended:
        raise RelocationError(f"The requests of {app!r} are held for {hold.owner}.")


def _word(text: str) -> str:
    """Return a name if it can carry neither a second word of a line nor a second command."""
    if not _WORD.fullmatch(text):
        raise RelocationError(f"Not a name that the gateway can take: {text!r}.")
    return text


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _uptime_s() -> float:
    """Return the seconds since boot, on the clock that HAProxy's Lua can read, too."""
    return float(Path("/proc/uptime").read_text().split()[0])


@contextlib.contextmanager
def _connected(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_TIMEOUT_S)
        connection.connect(str(path))
        yield connection


def _exchange(connection: socket.socket, commands: str) -> str:
    connection.sendall(commands.encode() + b"\n")
    # The master waits for more until it is told that there is none.
    connection.shutdown(socket.SHUT_WR)
    chunks = []
    while chunk := connection.recv(65536):
        chunks.append(chunk)
    if not chunks:
        raise ConnectionResetError("no answer")
    return b"".join(chunks).decode()


def _count_children(connection: socket.socket) -> int | None:
    """Return how many processes the master has, which opened the socket; None: not known."""
    peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    master, _user, _group = _PEER.unpack(peer)
    try:
        return len(Path(f"/proc/{master}/task/{master}/children").read_text().split())
    except OSError:
        return None


def _question(app: str, host: str) -> list[str]:
    """Ask for the decision as HAProxy has it, and for the statistics of the app's backend."""
    # The backend and its servers: HAProxy management guide, 9.3.
    return [f"mec show {check_name(app)}", f"show stat {app}.{_word(host)} 6 -1"]


def _requests(answers: list[str], app: str, host: str, line: str | None) -> int:
    """Return the requests in the statistics of all workers (HAProxy management guide, 9.1).

    Raises:
        RelocationError: a worker decides otherwise than ``line``, or none has the backend.
    """
    name = f"{app}.{host}"
    requests, known = 0, False
    for answer in answers:
        shown, _, statistics = answer.partition("\n\n")
        if line is not None and shown.strip() != line:
            raise RelocationError(
                f"The gateway does not follow {line!r}: {shown.strip() or 'no answer'}.",
                "Apply the role gateway to that host.",
            )
        rows = csv.DictReader(statistics.strip().removeprefix("# ").splitlines())
        sessions = {row["svname"]: int(row["scur"]) for row in rows if row["pxname"] == name}
        if sessions:
            known = True
            requests += sessions["BACKEND"] - sessions.get("streams", 0)
    if not known:
        raise RelocationError(
            f"The gateway has no backend {name!r}.",
            "Deploy the app (role app) on every ME host.",
        )
    return requests
