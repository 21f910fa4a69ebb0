# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The downtime probe: what a UE sees of an app, one GET request every few milliseconds.

The probe is an open loop: a request that is slow or held does not delay the ones after it, so that
an outage is met by as many requests as users would have sent (no coordinated omission). Times are
of one monotonic clock, in seconds since the probe began.

It behaves as the network stack of a phone does. Connections are kept and reused (RFC 9112, 9.3),
except one whose local address is not the one that the kernel would choose now: the UE has moved.
A request that a kept connection lost before any byte of the answer is sent once more on a new one
(RFC 9110, 9.2.2); the sample says so.

By hand: ``python3 -m ansible_collections.mec.relocation.plugins.module_utils.probe.probe --help``.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import csv
import dataclasses
import gc
import itertools
import json
import signal
import socket
import ssl
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import urlsplit

from ..ground.errors import RelocationError

INTERVAL_S = 0.005
TIMEOUT_S = 5.0
MAX_DURATION_S = 120.0
MAX_DURATION_LIMIT_S = 3600.0
MAX_UNDER_WAY = 512
INSTANCE_HEADER = "x-mec-instance"

_KEPT_CONNECTIONS = 8
_BODY_BYTES = 8 * 1024 * 1024
_FIRST_ERRORS = 5


@dataclass(frozen=True)
class Settings:
    """What to ask for, and how often.

    Attributes:
        url: ``http://`` or ``https://``; the name is resolved once, when the probe begins.
        interval_s: time between the beginnings of two requests.
        duration_s: the probe ends by itself after this time.
        timeout_s: a request without a complete answer by then has failed.
        ca_file: CA that the server's certificate must come from; None: the system's.
        max_under_way: while so many requests wait, ticks are skipped (and counted).
    """

    url: str
    interval_s: float = INTERVAL_S
    duration_s: float = MAX_DURATION_S
    timeout_s: float = TIMEOUT_S
    ca_file: str | None = None
    max_under_way: int = MAX_UNDER_WAY

    def check(self) -> None:
        """Refuse settings that make no sense.

        Raises:
            RelocationError: names the setting, its value and what it has to be.
        """
        parts = urlsplit(self.url)
        try:
            port = parts.port
        except ValueError:
            port = 0
        if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
            raise RelocationError(f"{self.url!r} is not an http:// or https:// URL.")
        if parts.username is not None:
            raise RelocationError("The URL carries a login, which the probe does not use.")
        if any(not 0x20 < ord(character) < 0x7F for character in self.url):
            raise RelocationError(f"{self.url!r} has characters that a URL cannot hold.")
        bounds = {
            "interval_s": (0.001, 60.0),
            "duration_s": (self.interval_s, MAX_DURATION_LIMIT_S),
            "timeout_s": (0.01, 300.0),
            "max_under_way": (1, 4096),
        }
        for name, (lowest, highest) in bounds.items():
            value = getattr(self, name)
            if not lowest <= value <= highest:
                raise RelocationError(f"{name} is {value:g}, not {lowest:g} to {highest:g}.")


@dataclass(frozen=True)
class Sample:
    """One request. `status` is None where no complete answer came, and `error` tells why."""

    seq: int
    start_s: float
    duration_s: float
    status: int | None
    error: str = ""
    instance: str = ""
    retried: bool = False

    @property
    def end_s(self) -> float:
        """When the answer was complete, or the request given up."""
        return self.start_s + self.duration_s

    @property
    def succeeded(self) -> bool:
        """2xx and 3xx are success; everything else is not."""
        return self.status is not None and 200 <= self.status < 400

    @property
    def skipped(self) -> bool:
        """Whether the tick passed without a request."""
        return self.error == SKIPPED


SKIPPED = "skipped: too many requests under way"
FIELDS = tuple(field.name for field in dataclasses.fields(Sample))


@dataclass(frozen=True)
class Summary:
    """What the samples say.

    Attributes:
        requests: requests sent; skipped ticks are not among them.
        failed: requests without an answer of 2xx or 3xx.
        skipped: ticks without a request, see ``Settings.max_under_way``.
        retried: requests sent once more because a kept connection had been closed.
        longest_gap_s: see ``longest_gap``.
        slowest_s, p50_s, p99_s: durations of successful requests (None: there was none).
        latest_tick_s: how late the probe itself was at worst; a gap is not shorter than this.
        instances: who answered (``X-MEC-Instance``), in the order of their first answers.
        first_errors: the first failures, with their times.
    """

    interval_s: float
    duration_s: float
    requests: int
    failed: int
    skipped: int
    retried: int
    longest_gap_s: float
    slowest_s: float | None
    p50_s: float | None
    p99_s: float | None
    latest_tick_s: float
    instances: list[str]
    first_errors: list[dict[str, Any]]


def longest_gap(samples: Sequence[Sample], duration_s: float) -> float:
    """The longest time in which the app gave no successful answer, in seconds.

    It is the longest time between the completions of two consecutive successful answers. An outage
    that the probe saw only one end of counts as far as the probe saw it: where a request failed
    before the first success, from the beginning of the probe to that success; where one failed
    after the last success, from there to the end. Without any success it is the whole duration.
    """
    ends_s = sorted(sample.end_s for sample in samples if sample.succeeded)
    lost_s = [sample.end_s for sample in samples if not sample.succeeded]
    if not ends_s:
        return duration_s
    edges_s = list(ends_s)
    if lost_s and min(lost_s) < ends_s[0]:
        edges_s.insert(0, 0.0)
    if lost_s and max(lost_s) > ends_s[-1]:
        edges_s.append(max(duration_s, ends_s[-1]))
    return max((later - earlier for earlier, later in itertools.pairwise(edges_s)), default=0.0)


def percentile(ordered: Sequence[float], percent: float) -> float | None:
    """The nearest-rank percentile of values in ascending order; None where there are none."""
    if not ordered:
        return None
    rank = -(-len(ordered) * percent // 100)
    return ordered[max(int(rank), 1) - 1]


def summarise(samples: Sequence[Sample], interval_s: float, duration_s: float) -> Summary:
    """Reduce the samples of a probe that ran for `duration_s` to what is reported."""
    durations_s = sorted(sample.duration_s for sample in samples if sample.succeeded)
    sent = [sample for sample in samples if not sample.skipped]
    failures = sorted((s for s in sent if not s.succeeded), key=lambda sample: sample.end_s)
    answered = sorted((s for s in samples if s.instance), key=lambda sample: sample.end_s)
    return Summary(
        interval_s=interval_s,
        duration_s=round(duration_s, 6),
        requests=len(sent),
        failed=len(failures),
        skipped=len(samples) - len(sent),
        retried=sum(sample.retried for sample in samples),
        longest_gap_s=round(longest_gap(samples, duration_s), 6),
        slowest_s=durations_s[-1] if durations_s else None,
        p50_s=percentile(durations_s, 50),
        p99_s=percentile(durations_s, 99),
        latest_tick_s=round(max((s.start_s - s.seq * interval_s for s in samples), default=0.0), 6),
        instances=list(dict.fromkeys(sample.instance for sample in answered)),
        first_errors=[
            {
                "seq": sample.seq,
                "end_s": round(sample.end_s, 6),
                "error": sample.error or f"status {sample.status}",
            }
            for sample in failures[:_FIRST_ERRORS]
        ],
    )


def read_samples(lines: Iterable[str]) -> list[Sample]:
    """Read samples back from the CSV form."""
    return [
        Sample(
            seq=int(row["seq"]),
            start_s=float(row["start_s"]),
            duration_s=float(row["duration_s"]),
            status=int(row["status"]) if row["status"] else None,
            error=row["error"],
            instance=row["instance"],
            retried=row["retried"] == "1",
        )
        for row in csv.DictReader(lines)
    ]


class SampleWriter:
    """Writes samples as CSV, a line each, in the order in which the requests ended."""

    def __init__(self, out: TextIO) -> None:
        self._rows = csv.writer(out, lineterminator="\n")
        self._rows.writerow(FIELDS)

    def write(self, sample: Sample) -> None:
        """Append one sample; times with a resolution of 1 microsecond."""
        self._rows.writerow(
            (
                sample.seq,
                f"{sample.start_s:.6f}",
                f"{sample.duration_s:.6f}",
                "" if sample.status is None else sample.status,
                sample.error,
                sample.instance,
                int(sample.retried),
            )
        )


@dataclass
class _Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    local_address: str

    @property
    def usable(self) -> bool:
        return not (self.reader.at_eof() or self.writer.is_closing())

    def close(self) -> None:
        # At once: an orderly end of TLS would wait for a peer that may be gone.
        self.writer.transport.abort()


@dataclass(frozen=True)
class _Answer:
    status: int
    instance: str
    reusable: bool


class _NoAnswerError(Exception):
    """A kept connection was lost before the first byte of the answer."""


class _RefusedError(Exception):
    """The answer is not HTTP, or more than the probe takes."""


class Client:
    """GET requests to one URL, over connections that are kept and reused."""

    def __init__(self, settings: Settings) -> None:
        parts = urlsplit(settings.url)
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._tls = _tls_context(settings.ca_file) if parts.scheme == "https" else None
        self._family, self._address = _resolve(self._host, self._port)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._request = (
            f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nUser-Agent: mec-downtime-probe\r\n"
            "Accept: */*\r\nCache-Control: no-cache\r\n\r\n"
        ).encode("ascii")
        self._kept: list[_Connection] = []

    async def get(self) -> tuple[_Answer, bool]:
        """One request: the answer, and whether it was sent a second time.

        Raises:
            OSError, ssl.SSLError, EOFError, _RefusedError: there was no complete answer.
        """
        kept = self._take()
        if kept is not None:
            try:
                return await self._exchange(kept, kept_before=True), False
            except _NoAnswerError:
                pass
        return await self._exchange(await self._connect(), kept_before=False), kept is not None

    def close(self) -> None:
        """Close the connections that are kept."""
        while self._kept:
            self._kept.pop().close()

    def _take(self) -> _Connection | None:
        """A kept connection that still leaves from the address the kernel would choose now."""
        if not self._kept:
            return None
        current = self._local_address()
        while self._kept:
            connection = self._kept.pop()
            if connection.usable and connection.local_address == current:
                return connection
            connection.close()
        return None

    def _local_address(self) -> str | None:
        """Where a new connection would leave from. Connecting a UDP socket sends nothing."""
        with socket.socket(self._family, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect((self._address, self._port))
            except OSError:
                return None
            return str(probe.getsockname()[0])

    async def _connect(self) -> _Connection:
        reader, writer = await asyncio.open_connection(
            self._address,
            self._port,
            ssl=self._tls,
            server_hostname=self._host if self._tls else None,
        )
        return _Connection(reader, writer, str(writer.get_extra_info("sockname")[0]))

    async def _exchange(self, connection: _Connection, *, kept_before: bool) -> _Answer:
        complete = False
        try:
            connection.writer.write(self._request)
            answer = await _read_answer(connection.reader, kept_before)
            complete = True
        finally:
            if complete and answer.reusable and len(self._kept) < _KEPT_CONNECTIONS:
                self._kept.append(connection)
            else:
                connection.close()
        return answer


class Probe:
    """Sends requests at a fixed interval until it is stopped or its time is over.

    Raises:
        RelocationError: the settings, the CA file or the name in the URL cannot be used.
    """

    def __init__(self, settings: Settings) -> None:
        settings.check()
        self.settings = settings
        self._client = Client(settings)
        self._under_way: set[asyncio.Task[None]] = set()
        self._ticks: asyncio.Task[None] | None = None
        self._begin_s = 0.0

    async def run(self, keep: Callable[[Sample], None]) -> float:
        """Probe, and `keep` every sample; return the duration once the last request has ended."""
        self._begin_s = time.monotonic()
        self._ticks = asyncio.create_task(self._tick(keep))
        with contextlib.suppress(asyncio.CancelledError):
            await self._ticks
        if self._under_way:
            await asyncio.wait(self._under_way)
        self._client.close()
        return self._now_s()

    def stop(self) -> None:
        """Send no more requests; the ones under way may end."""
        if self._ticks is not None:
            self._ticks.cancel()

    async def _tick(self, keep: Callable[[Sample], None]) -> None:
        settings = self.settings
        for seq in range(round(settings.duration_s / settings.interval_s)):
            await asyncio.sleep(seq * settings.interval_s - self._now_s())
            if len(self._under_way) >= settings.max_under_way:
                keep(Sample(seq, self._now_s(), 0.0, None, SKIPPED))
                continue
            task = asyncio.create_task(self._request(seq, keep))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
        await asyncio.sleep(settings.duration_s - self._now_s())

    async def _request(self, seq: int, keep: Callable[[Sample], None]) -> None:
        start_s = self._now_s()
        status, instance, retried, error = None, "", False, ""
        try:
            async with asyncio.timeout(self.settings.timeout_s):
                answer, retried = await self._client.get()
            status, instance = answer.status, answer.instance
        except TimeoutError:
            error = "timeout"
        except (OSError, EOFError, ValueError, _RefusedError) as cause:
            error = f"{type(cause).__name__.lstrip('_')}: {cause}".rstrip(": ")
        duration_s = self._now_s() - start_s
        keep(Sample(seq, start_s, duration_s, status, error, instance, retried))

    def _now_s(self) -> float:
        return time.monotonic() - self._begin_s


async def _read_answer(reader: asyncio.StreamReader, kept_before: bool) -> _Answer:
    """Read a response to its end (RFC 9112, 6.3)."""
    status = 100
    while 100 <= status < 200:
        head = await _read_head(reader, kept_before)
        lines = head.decode("latin-1").split("\r\n")
        version, _, rest = lines[0].partition(" ")
        if version not in ("HTTP/1.1", "HTTP/1.0") or not rest[:3].isdigit():
            raise _RefusedError("the answer is not HTTP/1")
        status = int(rest[:3])
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    ends_with_connection = await _read_body(reader, status, headers)
    close = headers.get("connection", "").lower() == "close" or version == "HTTP/1.0"
    return _Answer(
        status=status,
        instance=headers.get(INSTANCE_HEADER, ""),
        reusable=not (close or ends_with_connection),
    )


async def _read_head(reader: asyncio.StreamReader, kept_before: bool) -> bytes:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if kept_before and not error.partial:
            raise _NoAnswerError from None
        raise EOFError("the connection was closed before an answer") from None
    except ConnectionError:
        if kept_before:
            raise _NoAnswerError from None
        raise
    except asyncio.LimitOverrunError:
        raise _RefusedError("the header is too large") from None


async def _read_body(reader: asyncio.StreamReader, status: int, headers: dict[str, str]) -> bool:
    """Read the body and drop it; True if only the end of the connection ended it."""
    if status in (204, 304):
        return False
    if headers.get("transfer-encoding", "").lower() == "chunked":
        await _read_chunks(reader)
        return False
    if "content-length" in headers:
        await _skip(reader, int(headers["content-length"]))
        return False
    size_bytes = 0
    while chunk := await reader.read(65536):
        size_bytes += len(chunk)
        if size_bytes > _BODY_BYTES:
            raise _RefusedError("the body is too large")
    return True


async def _read_chunks(reader: asyncio.StreamReader) -> None:
    """Read a body in the chunked coding (RFC 9112, 7.1), and its trailers."""
    while size_bytes := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        await _skip(reader, size_bytes + 2)
    while await reader.readuntil(b"\r\n") != b"\r\n":
        pass


async def _skip(reader: asyncio.StreamReader, size_bytes: int) -> None:
    if not 0 <= size_bytes <= _BODY_BYTES:
        raise _RefusedError("the body is too large")
    await reader.readexactly(size_bytes)


def _tls_context(ca_file: str | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise RelocationError(
            f"The CA file {ca_file} cannot be used: {error}.", "Give the CA of the gateways."
        ) from error


def _resolve(host: str, port: int) -> tuple[int, str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise RelocationError(
            f"The name {host} cannot be resolved: {error.strerror}.",
            "Check the UE's resolver and the name.",
        ) from error
    family, _, _, _, address = found[0]
    return family, str(address[0])


def run(probe: Probe, samples: Path, begun: Callable[[], None] = lambda: None) -> Summary:
    """Run a probe until its time is over or SIGINT or SIGTERM comes.

    Args:
        probe: the probe.
        samples: CSV file for the raw samples; it is replaced.
        begun: called when the probe can be stopped by a signal.

    Raises:
        RelocationError: the file cannot be written. A service that fails is no error but what is to
            be measured.
    """
    try:
        with samples.open("w", encoding="utf-8") as out:
            duration_s = asyncio.run(_run(probe, SampleWriter(out), begun))
        with samples.open(encoding="utf-8") as lines:
            return summarise(read_samples(lines), probe.settings.interval_s, duration_s)
    except OSError as error:
        raise RelocationError(
            f"The samples cannot be written to {samples}: {error.strerror}.",
            "Choose another place.",
        ) from error


async def _run(probe: Probe, writer: SampleWriter, begun: Callable[[], None]) -> float:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, probe.stop)
    # What is loaded now stays: without it a garbage collection is no pause worth mentioning.
    gc.freeze()
    begun()
    return await probe.run(writer.write)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; prints the summary as JSON."""
    parser = argparse.ArgumentParser(
        prog="probe", description="Request a URL at a fixed interval; tell the longest gap."
    )
    parser.add_argument(
        "url", help="what to request, for example https://videoapp.mec.test/healthz"
    )
    parser.add_argument("--interval-s", type=float, default=INTERVAL_S, metavar="S")
    parser.add_argument("--duration-s", type=float, default=10.0, metavar="S")
    parser.add_argument("--timeout-s", type=float, default=TIMEOUT_S, metavar="S")
    parser.add_argument("--ca-file", metavar="FILE", help="CA of the server; default: the system's")
    parser.add_argument("--samples", type=Path, default=Path("samples.csv"), metavar="FILE")
    options = parser.parse_args(arguments)
    settings = Settings(
        url=options.url,
        interval_s=options.interval_s,
        duration_s=options.duration_s,
        timeout_s=options.timeout_s,
        ca_file=options.ca_file,
    )
    try:
        summary = run(Probe(settings), options.samples)
    except RelocationError as error:
        print(error, file=sys.stderr)
        return 2
    print(json.dumps(dataclasses.asdict(summary), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
