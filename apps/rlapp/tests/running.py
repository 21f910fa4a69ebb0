"""The service as a process on the loopback interface."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml
from played import TOKEN, config_in

APPS = Path(__file__).parents[2]
# No test is about how fast this is, and all may have to share two processors with builds.
PATIENCE_S = 60


def environment() -> dict[str, str]:
    """That of this process, with the programs of the project on the path."""
    folders = (APPS / "rlapp", APPS / "ue", Path(__file__).parent)
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders))}


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def write_config(folder: Path, **changes: Any) -> Path:
    """A configuration file; all that it names is in its folder."""
    file = folder / "rlapp.yml"
    content = json.loads(config_in(folder).model_dump_json(exclude_unset=True))
    file.write_text(yaml.safe_dump({**content, **changes}))
    return file


@contextmanager
def process(
    file: Path, port: int | None = None, played_s: float | None = None
) -> Iterator[tuple[httpx.Client, subprocess.Popen[bytes]]]:
    """The service; with `played_s` its handoffs are played, and each phase takes that long."""
    port = port or free_port()
    run = ["-m", "rlapp", "serve", str(file), "--port", str(port)]
    play = ["-m", "played", str(file), str(port), str(played_s)]
    with (
        (file.parent / "log").open("wb") as log,
        subprocess.Popen(
            [sys.executable, *(run if played_s is None else play)],
            env=environment(),
            # Nobody reads along: a pipe would be full one day, and the service would wait.
            stderr=log,
        ) as running,
        httpx.Client(
            base_url=f"http://127.0.0.1:{port}",
            headers={"Authorization": f"Bearer {TOKEN}"},
            timeout=PATIENCE_S,
        ) as client,
    ):
        try:
            deadline_s = time.monotonic() + PATIENCE_S
            while True:
                try:
                    client.get("/healthz")
                    break
                except httpx.TransportError:
                    assert running.poll() is None and time.monotonic() < deadline_s
                    time.sleep(0.05)
            yield client, running
        finally:
            running.kill()
