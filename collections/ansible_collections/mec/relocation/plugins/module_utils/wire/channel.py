# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The warm channel: one SSH connection to the agent of another ME host, kept open.

A step is one line of JSON there and one back, 0.1 ms on a local network, where a new connection
would cost tens of milliseconds.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import IO, Any, Generic

from ..ground.config import HostConfig
from ..ground.errors import RelocationError
from .ssh import Connection
from .steps import LIBRARY, Answer, Hello, Step, answers

OPEN_TIMEOUT_S = 15.0


class ChannelLost(RelocationError):
    """The channel broke or stayed silent: what the other host did last is not known."""


class Channel:
    """Another ME host that takes steps; a ``host.Host``.

    It begins to open when it is made, and is open after ``greet``, or as a context manager.

    Args:
        config: this host.
        peer: the other one.
        shared: over a connection that was left open, where there is one.
    """

    def __init__(self, config: HostConfig, peer: str, *, shared: bool = True) -> None:
        self.name = peer
        self._connection = Connection(config, config.ssh.agent_key, peer)
        self._shared = shared
        self._start()

    def _start(self) -> None:
        self._process = subprocess.Popen(
            [
                *self._connection.command(shared=self._shared),
                self._connection.destination,
                "agent",
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._answers: dict[int, dict[str, Any]] = {}
        self._buffer = b""
        self._number = 0
        self._open = False
        self._hello = self.begin(Hello())

    def greet(self) -> None:
        """Wait until the channel is open.

        Raises:
            RelocationError: the peer cannot be reached, or is not who it should be.
        """
        if self._open:
            return
        try:
            hello = self._hello.result(OPEN_TIMEOUT_S)
        except ChannelLost:
            if not self._shared:
                raise
            # The open connection may be to a host that has gone, and come back since.
            self.close()
            self._shared = False
            self._start()
            hello = self._hello.result(OPEN_TIMEOUT_S)
        if hello["version"] != LIBRARY or hello["name"] != self.name:
            raise RelocationError(
                f"The agent on {self.name} says it is {hello['name']} with library "
                f"{hello['version']}, expected {self.name} with {LIBRARY}.",
                "Apply the role me_host to all ME hosts.",
            )
        self._open = True

    def begin(self, step: Step[Answer]) -> Pending[Answer]:
        """Send a step; ``Pending.result`` waits for its answer."""
        self._number += 1
        try:
            os.write(self._stdin.fileno(), _message(self._number, step))
        except OSError:
            raise self._lost("closed") from None
        return Pending(self, self._number, step)

    def stream(self, step: Step[Answer], write: Callable[[IO[bytes]], None]) -> Pending[Answer]:
        """Send a step, and after it what ``write`` writes; the step knows where that ends."""
        pending = self.begin(step)
        try:
            write(self._stdin)
            self._stdin.flush()
        except BrokenPipeError:
            # Any other error is of what ``write`` reads, and not of the channel.
            raise self._lost("closed") from None
        return pending

    def abandon(self) -> None:
        """Break the channel off, whoever waits for it."""
        # It may be no child of this process.
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._process.pid, signal.SIGKILL)

    def close(self) -> None:
        """End the channel and the agent at its other end."""
        with contextlib.suppress(OSError):
            self._stdin.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for stream in (self._stdout, self._process.stderr):
            if stream is not None:
                stream.close()

    def __enter__(self) -> Channel:
        try:
            self.greet()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def wait(self, number: int, timeout_s: float) -> Any:
        """The answer to step ``number``; answers to others are kept for their own callers."""
        deadline = time.monotonic() + timeout_s
        while number not in self._answers:
            self._read_line(deadline - time.monotonic())
        answer = self._answers.pop(number)
        if "error" in answer:
            raise RelocationError(f"{self.name}: {answer['error']}")
        return answer["result"]

    def _read_line(self, timeout_s: float) -> None:
        while b"\n" not in self._buffer:
            ready, _, _ = select.select([self._stdout], [], [], max(timeout_s, 0))
            if not ready:
                raise self._lost(f"silent for {max(timeout_s, 0):.0f} s more than allowed")
            chunk = os.read(self._stdout.fileno(), 65536)
            if not chunk:
                raise self._lost("closed")
            self._buffer += chunk
        line, self._buffer = self._buffer.split(b"\n", 1)
        answer = json.loads(line)
        self._answers[answer["id"]] = answer

    def _lost(self, how: str) -> ChannelLost:
        said = ""
        if self._process.poll() is not None and self._process.stderr is not None:
            said = self._process.stderr.read().decode(errors="replace").strip()
        return ChannelLost(
            f"The channel to {self.name} is {how}{': ' + said if said else ''}.",
            f"Check that {self.name} is up and reachable over the backbone.",
        )

    @property
    def _stdin(self) -> IO[bytes]:
        if self._process.stdin is None:
            raise AssertionError
        return self._process.stdin

    @property
    def _stdout(self) -> IO[bytes]:
        if self._process.stdout is None:
            raise AssertionError
        return self._process.stdout


class Pending(Generic[Answer]):
    """A step under way at the other end."""

    def __init__(self, channel: Channel, number: int, step: Step[Answer]) -> None:
        self._channel = channel
        self._number = number
        self._step = step

    def result(self, timeout_s: float = 120.0) -> Answer:
        """Wait for the answer; raises ``ChannelLost`` where none comes."""
        return answers(self._step, self._channel.wait(self._number, timeout_s))


def _message(number: int, step: Step[Any]) -> bytes:
    message = {"id": number, "step": step.step_name, "arguments": vars(step)}
    return json.dumps(message).encode() + b"\n"


@contextlib.contextmanager
def open_stream(config: HostConfig, peer: str, step: Step[None]) -> Iterator[IO[bytes]]:
    """Ask another ME host for bytes: a step whose answer is a stream, over its own connection."""
    connection = Connection(config, config.ssh.agent_key, peer)
    with subprocess.Popen(
        [*connection.command(), connection.destination, "agent"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        if process.stdin is None or process.stdout is None or process.stderr is None:
            raise AssertionError
        process.stdin.write(_message(1, step))
        process.stdin.close()
        line = process.stdout.readline()
        if not line:
            said = process.stderr.read().decode(errors="replace").strip()
            raise ChannelLost(f"{peer} sent nothing: {said or 'the connection closed'}.")
        answer = json.loads(line)
        if "error" in answer:
            raise RelocationError(f"{peer}: {answer['error']}")
        yield process.stdout
        rest = process.stdout.read(1)
        if process.wait() != 0 and not rest:
            said = process.stderr.read().decode(errors="replace").strip()
            raise ChannelLost(f"The stream from {peer} broke off: {said or 'no reason given'}.")
