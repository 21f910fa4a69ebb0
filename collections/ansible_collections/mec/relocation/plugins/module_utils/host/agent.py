# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The agent: the far end of a channel, which sshd has the server run for the restricted key.

It reads steps, one JSON object a line, takes them and answers in the same form. It ends with the
channel, and with it the locks of apps end that it had; a hold ends by itself.
"""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Mapping
from typing import IO, Any

from ..ground.config import HostConfig
from ..ground.errors import RelocationError
from ..volume.stream import Reader
from ..wire import steps
from .me_host import MeHost


class Agent:
    """Takes the steps of one channel."""

    def __init__(self, me_host: MeHost) -> None:
        self.me_host = me_host
        self._handlers = me_host.handlers

    def serve(self, requests: IO[bytes], answers: IO[bytes]) -> None:
        """Answer every request until the channel closes."""
        for line in requests:
            message = json.loads(line)
            known = steps.TABLE.get(message["step"])
            stream = Reader(requests) if known and known.streams == "to" else None
            answer = self.answer(message, stream)
            # What was refused is on its way all the same, and the next step comes after it.
            usable = stream is None or stream.drain()
            answers.write(json.dumps(answer).encode() + b"\n")
            answers.flush()
            if not usable:
                return
            if known is steps.Hello:
                # Loaded while the other end goes on, and not within its first question.
                self.me_host.load()
            if known and known.streams == "from" and "error" not in answer:
                self._send(message, answers)
                return

    def answer(self, message: Mapping[str, Any], stream: Reader | None = None) -> dict[str, Any]:
        """Take one step and give its answer; errors of any kind become an answer, too."""
        try:
            step = self._step(message)
            result = None
            if step.streams != "from":
                result = steps.take(self._handlers, step, *([stream] if stream else []))
        except RelocationError as error:
            return {"id": message["id"], "error": str(error)}
        except Exception as error:  # the other end has to hear of it, whatever it is
            said = f"{message['step']}: {type(error).__name__}: {error}"
            return {"id": message["id"], "error": said}
        return {"id": message["id"], "result": result}

    def _send(self, message: Mapping[str, Any], out: IO[bytes]) -> None:
        """Take a step whose answer is followed by bytes; what fails breaks them off."""
        steps.take(self._handlers, self._step(message), out)
        out.flush()

    def _step(self, message: Mapping[str, Any]) -> steps.Step[Any]:
        step = steps.decode(message["step"], message["arguments"])
        if not step.peers_may:
            raise RelocationError(f"The agent knows no step {step.step_name!r}.")
        return step


def main() -> None:
    """Serve one channel on standard input and output."""
    # A collection of garbage takes milliseconds, and this process does not live long.
    gc.disable()
    Agent(MeHost(HostConfig.load())).serve(sys.stdin.buffer, sys.stdout.buffer)
