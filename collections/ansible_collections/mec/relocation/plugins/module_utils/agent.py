# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The agent: the far end of a channel, which sshd has the server run for the restricted key.

It reads steps, one JSON object a line, takes them and answers in the same form. When the channel
closes, holds that it set are released, so that a source that vanished leaves no request waiting.
"""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Collection, Mapping
from typing import IO, Any

from .config import HostConfig
from .errors import RelocationError
from .me_host import MeHost

# What another ME host may ask for; all else is refused.
STEPS = frozenset(
    {
        "activate",
        "check_gateway",
        "close_gateway",
        "discard",
        "durable",
        "forward",
        "hello",
        "hold",
        "in_flight",
        "is_prepared",
        "kill",
        "lease",
        "open_gateway",
        "persist",
        "prepare",
        "pull",
        "record",
        "release",
        "settle",
        "space",
        "sync",
        "unlease",
    }
)


# Steps that read what follows the line.
STREAM_STEPS = frozenset({"apply", "verify"})

# Steps for a target that takes an image straight from here; the answer to the last is followed by
# bytes until the channel closes.
IMAGE_STEPS = frozenset({"image_describe", "image_export_size", "image_export"})


class Agent:
    """Takes the steps of one channel."""

    def __init__(self, me_host: MeHost) -> None:
        self.me_host = me_host
        self._held: set[str] = set()

    def serve(self, requests: IO[bytes], answers: IO[bytes]) -> None:
        """Answer every request until the channel closes."""
        try:
            for line in requests:
                message = json.loads(line)
                if message["step"] in STREAM_STEPS:
                    message["arguments"]["stream"] = requests
                answers.write(json.dumps(self.answer(message)).encode() + b"\n")
                answers.flush()
                if message["step"] == "hello":
                    # Loaded while the other end goes on, and not within its first question.
                    self.me_host.load()
                if message["step"] == "image_export":
                    self._export(answers, **message["arguments"])
                    return
        finally:
            for app in self._held:
                self.me_host.release(app)

    def answer(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """Take one step and give its answer; errors of any kind become an answer, too."""
        step, arguments = message["step"], message["arguments"]
        try:
            result = self._take(step, arguments)
        except RelocationError as error:
            return {"id": message["id"], "error": str(error)}
        except Exception as error:  # the other end has to hear of it, whatever it is
            return {"id": message["id"], "error": f"{step}: {type(error).__name__}: {error}"}
        if step == "hold":
            self._held.add(arguments["app"])
        elif step in ("release", "close_gateway"):
            self._held.discard(arguments["app"])
        return {"id": message["id"], "result": result}

    def _take(self, step: str, arguments: Mapping[str, Any]) -> Any:
        if step in STEPS or step in STREAM_STEPS:
            return getattr(self.me_host, step)(**arguments)
        if step not in IMAGE_STEPS:
            raise RelocationError(f"The agent knows no step {step!r}.")
        # Imported here: the channel of a cutover opens faster without it.
        from .docker_engine import ImageStore
        from .image import describe, export_size
        from .registry import ImageReference

        if step == "image_describe":
            image = ImageReference.parse(arguments["image"])
            return describe(ImageStore(), image, self.me_host.config.repository.name)
        if step == "image_export_size":
            return export_size(ImageStore(), **arguments)
        return None

    def _export(self, out: IO[bytes], image_id: str, have_layers: Collection[str]) -> None:
        from .docker_engine import ImageStore
        from .image import export_missing

        export_missing(ImageStore(), image_id, have_layers, out)
        out.flush()


def main() -> None:
    """Serve one channel on standard input and output."""
    # A collection of garbage takes milliseconds, and this process does not live long.
    gc.disable()
    Agent(MeHost(HostConfig.load())).serve(sys.stdin.buffer, sys.stdout.buffer)
