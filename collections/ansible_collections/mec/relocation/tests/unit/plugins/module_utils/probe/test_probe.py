# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The probe against a server that really stalls, fails and resets."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from ansible_collections.mec.relocation.plugins.module_utils.ground.errors import RelocationError
from ansible_collections.mec.relocation.plugins.module_utils.probe.probe import (
    SKIPPED,
    Client,
    Probe,
    Sample,
    SampleWriter,
    Settings,
    longest_gap,
    main,
    percentile,
    read_samples,
    summarise,
)
from ansible_collections.mec.relocation.plugins.module_utils.probe.process import ProbeProcess
from hypothesis import given
from hypothesis import strategies as st

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX-MEC-Instance: app-1\r\n\r\nok\n"
UNAVAILABLE = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
# What a busy machine may add to a time that is measured; never subtracts from it.
SLACK_S = 0.15


class Server:
    """Answers every request with `answer`, once `gate` is open."""

    def __init__(self) -> None:
        self.answer: bytes | None = OK
        self.gate = asyncio.Event()
        self.gate.set()
        self.connections = 0
        self.requests = 0
        self.close_after_answer = False
        self.writers: list[asyncio.StreamWriter] = []
        self.url = ""

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        with contextlib.suppress(OSError, EOFError):
            while await reader.readuntil(b"\r\n\r\n"):
                self.requests += 1
                await self.gate.wait()
                if self.answer is None:
                    break
                writer.write(self.answer)
                if self.close_after_answer:
                    break
        if self.answer is None:
            writer.transport.abort()
        writer.close()


@contextlib.asynccontextmanager
async def serving() -> AsyncIterator[Server]:
    server = Server()
    listener = await asyncio.start_server(server.talk, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/health?deep=1"
    async with listener:
        yield server
        server.gate.set()
        for writer in server.writers:
            writer.close()


async def nothing(_: Server) -> None:
    pass


def probed(
    script: Callable[[Server], Awaitable[None]] = nothing,
    *,
    duration_s: float = 0.5,
    timeout_s: float = 5.0,
    max_under_way: int = 256,
    prepare: Callable[[Server], None] = lambda _: None,
) -> tuple[list[Sample], float, Server]:
    """Probe a server while `script` makes it behave; return samples, duration and the server."""

    async def go() -> tuple[list[Sample], float, Server]:
        async with serving() as server:
            prepare(server)
            probe = Probe(
                Settings(
                    server.url,
                    duration_s=duration_s,
                    timeout_s=timeout_s,
                    max_under_way=max_under_way,
                )
            )
            samples: list[Sample] = []
            script_task = asyncio.ensure_future(script(server))
            took_s = await probe.run(samples.append)
            await script_task
            return samples, took_s, server

    return asyncio.run(go())


def test_a_service_that_answers() -> None:
    samples, took_s, server = probed()
    summary = summarise(samples, 0.005, took_s)
    assert summary.requests == server.requests == 100
    assert (summary.failed, summary.skipped, summary.retried) == (0, 0, 0)
    assert 0.004 < summary.longest_gap_s < SLACK_S
    assert summary.instances == ["app-1"]
    assert took_s >= 0.5
    assert server.connections < 20, "connections are kept and reused"


def test_held_requests_are_a_gap_and_no_failure() -> None:
    waiting = 0

    async def hold(server: Server) -> None:
        nonlocal waiting
        await asyncio.sleep(0.1)
        server.gate.clear()
        before = server.requests
        await asyncio.sleep(0.2)
        waiting = server.requests - before
        server.gate.set()

    samples, took_s, _ = probed(hold)
    summary = summarise(samples, 0.005, took_s)
    assert summary.failed == 0
    assert waiting >= 20, "a held request does not stop the ones after it"
    assert 0.19 < summary.longest_gap_s < 0.2 + SLACK_S
    assert summary.slowest_s is not None and 0.19 < summary.slowest_s < 0.2 + SLACK_S


def test_every_failure_is_counted() -> None:
    refused = 0

    async def fail(server: Server) -> None:
        nonlocal refused
        await asyncio.sleep(0.1)
        server.answer, before = UNAVAILABLE, server.requests
        await asyncio.sleep(0.1)
        server.answer, refused = OK, server.requests - before

    samples, took_s, _ = probed(fail)
    summary = summarise(samples, 0.005, took_s)
    assert summary.failed == refused > 0
    assert summary.first_errors[0]["error"] == "status 503"
    assert 0.09 < summary.longest_gap_s < 0.1 + SLACK_S


def test_a_reset_is_a_failure_that_says_so() -> None:
    async def reset(server: Server) -> None:
        await asyncio.sleep(0.1)
        server.answer = None

    samples, took_s, _ = probed(reset, duration_s=0.3)
    summary = summarise(samples, 0.005, took_s)
    lost = [sample for sample in samples if not sample.succeeded]
    assert lost and all(sample.status is None and sample.error for sample in lost)
    assert 0.15 < summary.longest_gap_s < 0.2 + SLACK_S, "an outage that does not end is a gap, too"


def test_a_connection_closed_between_requests_is_no_failure() -> None:
    async def close_idle(server: Server) -> None:
        for _ in range(10):
            await asyncio.sleep(0.02)
            for writer in server.writers:
                writer.close()

    samples, _, server = probed(close_idle, duration_s=0.3)
    assert all(sample.succeeded for sample in samples)
    assert server.connections >= 10


def test_a_lost_kept_connection_is_tried_once_more_and_only_once() -> None:
    async def go() -> tuple[list[bool], int]:
        async with serving() as server:
            client = Client(Settings(server.url))
            _, first = await client.get()
            server.answer = None
            with pytest.raises((OSError, EOFError)):
                await client.get()
            asked = server.requests
            server.answer = OK
            _, after = await client.get()
            client.close()
            return [first, after], asked

    retried, asked = asyncio.run(go())
    assert retried == [False, False]
    assert asked == 3, "one request that was answered, one that was lost, and its only repetition"


def test_a_request_without_an_answer_times_out() -> None:
    samples, _, _ = probed(
        duration_s=0.05, timeout_s=0.1, prepare=lambda server: server.gate.clear()
    )
    assert len(samples) == 10
    assert {sample.error for sample in samples} == {"timeout"}
    assert all(0.1 <= sample.duration_s < 0.1 + SLACK_S for sample in samples)


def test_requests_under_way_are_bounded() -> None:
    async def hold(server: Server) -> None:
        server.gate.clear()
        await asyncio.sleep(0.2)
        server.gate.set()

    samples, took_s, server = probed(hold, duration_s=0.15, max_under_way=4)
    summary = summarise(samples, 0.005, took_s)
    assert (summary.requests, summary.skipped, summary.failed) == (4, 26, 0)
    assert server.requests == 4


def test_a_new_local_address_means_a_new_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    async def go() -> list[int]:
        counts = []
        async with serving() as server:
            client = Client(Settings(server.url))
            for address in ("127.0.0.1", "127.0.0.1", "192.0.2.7"):
                monkeypatch.setattr(Client, "_local_address", lambda _, address=address: address)
                await client.get()
                counts.append(server.connections)
            client.close()
        return counts

    assert asyncio.run(go()) == [1, 1, 2]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;a\r\nok\n\r\n0\r\nX-T: 1\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK,
    ],
)
def test_bodies_that_leave_the_connection_usable(answer: bytes) -> None:
    samples, _, server = probed(
        duration_s=0.1, prepare=lambda server: setattr(server, "answer", answer)
    )
    assert all(sample.succeeded for sample in samples)
    assert server.connections < len(samples)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3\r\n\r\nok\n",
        b"HTTP/1.0 200 OK\r\n\r\nok\n",
        b"HTTP/1.1 200 OK\r\n\r\nok\n",
    ],
)
def test_bodies_that_end_with_the_connection(answer: bytes) -> None:
    def prepare(server: Server) -> None:
        server.answer, server.close_after_answer = answer, True

    samples, _, server = probed(duration_s=0.1, prepare=prepare)
    assert all(sample.succeeded for sample in samples)
    assert server.connections == len(samples)


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000,
        b"",
    ],
)
def test_half_an_answer_is_a_failure(answer: bytes) -> None:
    def prepare(server: Server) -> None:
        server.answer, server.close_after_answer = answer, True

    samples, _, _ = probed(duration_s=0.02, prepare=prepare)
    assert samples and not any(sample.succeeded for sample in samples)
    assert all(sample.error for sample in samples)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (Settings("ftp://a/"), "ftp://a/"),
        (Settings("http:///x"), "http:///x"),
        (Settings("http://a:0/"), "http://a:0/"),
        (Settings("http://a:99999/"), "99999"),
        (Settings("http://a/b\r\nX: y"), "URL"),
        (Settings("http://me:secret@a/"), "login"),
        (Settings("http://a/", interval_s=0), "interval_s"),
        (Settings("http://a/", interval_s=float("nan")), "interval_s"),
        (Settings("http://a/", duration_s=1e9), "duration_s"),
        (Settings("http://a/", timeout_s=-1), "timeout_s"),
        (Settings("http://a/", max_under_way=0), "max_under_way"),
    ],
)
def test_settings_that_make_no_sense(settings: Settings, named: str) -> None:
    with pytest.raises(RelocationError, match=named) as caught:
        Probe(settings)
    assert "secret" not in str(caught.value)


def test_a_name_that_nobody_knows() -> None:
    with pytest.raises(RelocationError, match=r"name\.invalid"):
        Probe(Settings("http://name.invalid/"))


def test_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["http://127.0.0.1:1/", "--ca-file", "x", "--interval-s", "0"]) == 2
    assert "interval_s" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0


# --- the summary ---------------------------------------------------------------------------------


def sample(seq: int, end_s: float, status: int | None = 200, error: str = "") -> Sample:
    return Sample(seq, end_s - 0.001, 0.001, status, error)


def test_the_gap_is_between_completions() -> None:
    samples = [Sample(0, 0.0, 0.5, 200), Sample(1, 0.1, 0.0, 200), Sample(2, 0.6, 0.3, 200)]
    assert longest_gap(samples, 1.0) == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("ends_s", "failures_s", "gap_s"),
    [
        ([], [], 2.0),
        ([], [0.5], 2.0),
        ([0.5], [], 0.0),
        ([0.5, 0.6], [], 0.1),
        ([0.5, 0.6], [0.1], 0.5),
        ([0.5, 0.6], [0.7], 1.4),
        ([0.5, 0.9], [0.7], 0.4),
    ],
)
def test_outages_at_the_edges(ends_s: list[float], failures_s: list[float], gap_s: float) -> None:
    samples = [sample(n, end_s) for n, end_s in enumerate(ends_s)]
    samples += [sample(n, end_s, 503) for n, end_s in enumerate(failures_s)]
    assert longest_gap(samples, 2.0) == pytest.approx(gap_s)


@given(
    begin=st.integers(0, 400),
    length=st.integers(0, 400),
    lost=st.sampled_from([(None, "timeout"), (503, ""), (None, SKIPPED)]),
    order=st.randoms(use_true_random=False),
)
def test_an_outage_is_found_wherever_it_lies(
    begin: int, length: int, lost: tuple[int | None, str], order: object
) -> None:
    """Ticks of 5 ms for 2 s, an outage somewhere: the gap is the outage and at most two ticks."""
    down = range(begin, min(begin + length, 400))
    samples = [
        sample(n, n * 0.005 + 0.001, *(lost if n in down else (200, ""))) for n in range(400)
    ]
    order.shuffle(samples)  # type: ignore[attr-defined]
    summary = summarise(samples, 0.005, 2.0)
    expected_s = len(down) * 0.005
    assert expected_s - 1e-6 <= summary.longest_gap_s <= max(expected_s, 0) + 0.01 + 1e-6
    skipped = len(down) if lost[1] == SKIPPED else 0
    assert (summary.failed, summary.skipped) == (len(down) - skipped, skipped)
    assert summary.requests + summary.skipped == 400
    assert len(summary.first_errors) == min(summary.failed, 5)


@given(
    st.lists(
        st.builds(
            Sample,
            seq=st.integers(0, 10**6),
            start_s=st.integers(0, 10**9).map(lambda us: us / 10**6),
            duration_s=st.integers(0, 10**9).map(lambda us: us / 10**6),
            status=st.none() | st.integers(100, 599),
            error=st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0\r")),
            instance=st.text("abc-,\"'", max_size=8),
            retried=st.booleans(),
        ),
        max_size=20,
    )
)
def test_samples_survive_the_file(samples: list[Sample]) -> None:
    out = io.StringIO(newline="")
    writer = SampleWriter(out)
    for each in samples:
        writer.write(each)
    out.seek(0)
    assert read_samples(out) == samples


@given(st.lists(st.floats(0, 100), min_size=1), st.floats(1, 100))
def test_a_percentile_has_that_share_below_it(values: list[float], percent: float) -> None:
    found = percentile(sorted(values), percent)
    assert found in values
    below = sum(value <= found for value in values)
    assert below >= len(values) * percent / 100 - 1e-9
    assert sum(value < found for value in values) < len(values) * percent / 100 + 1e-9


# --- the process ---------------------------------------------------------------------------------


@pytest.fixture
def process(tmp_path: Path) -> Iterator[ProbeProcess]:
    process = ProbeProcess("test", tmp_path)
    yield process
    with contextlib.suppress(RelocationError):
        process.stop()
    assert not process.running


def test_started_stopped_and_started_again(process: ProbeProcess) -> None:
    async def go() -> None:
        async with serving() as server:
            settings = Settings(server.url, duration_s=30)
            first = await asyncio.to_thread(process.start, settings)
            assert process.running and process.id == first
            await asyncio.sleep(0.2)
            stopped = await asyncio.to_thread(process.stop)
            assert stopped is not None and stopped.id == first
            assert stopped.summary["requests"] == server.requests > 10
            assert stopped.summary["failed"] == 0
            assert stopped.summary["duration_s"] < 5
            with process.samples.open() as lines:
                assert len(read_samples(lines)) == server.requests
            assert not process.running
            assert process.stop() == stopped, "what it found can be asked for again"
            assert await asyncio.to_thread(process.start, settings) != first

    asyncio.run(go())


def test_it_ends_by_itself(process: ProbeProcess) -> None:
    process.start(Settings("http://127.0.0.1:1/", duration_s=0.1))
    deadline_s = time.monotonic() + 10
    while process.running and time.monotonic() < deadline_s:
        time.sleep(0.01)
    assert not process.running
    stopped = process.stop()
    assert stopped is not None
    assert stopped.summary["failed"] == stopped.summary["requests"] == 20


def test_one_probe_of_a_name_at_a_time(process: ProbeProcess) -> None:
    settings = Settings("http://127.0.0.1:1/", duration_s=30)
    first = process.start(settings)
    with pytest.raises(RelocationError, match="runs already"):
        process.start(settings)
    assert process.running and process.id == first


def test_a_killed_probe_does_not_pass_for_a_result(process: ProbeProcess) -> None:
    process.start(Settings("http://127.0.0.1:1/", duration_s=30))
    pid = process._holder()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    with pytest.raises(RelocationError, match="without a summary"):
        process.stop()


def test_stopping_what_never_ran(tmp_path: Path) -> None:
    assert ProbeProcess("never", tmp_path).stop() is None


def test_a_probe_that_cannot_begin_says_why(process: ProbeProcess) -> None:
    with pytest.raises(RelocationError, match=r"/nowhere/ca\.crt"):
        process.start(Settings("https://127.0.0.1:1/", ca_file="/nowhere/ca.crt"))


@pytest.mark.parametrize("name", ["", "../x", "a/b", "A", "-a", "a" * 64])
def test_names_that_would_leave_the_folder(name: str, tmp_path: Path) -> None:
    with pytest.raises(RelocationError, match="cannot name a probe"):
        ProbeProcess(name, tmp_path)
