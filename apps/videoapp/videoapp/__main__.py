"""PID 1 of the container: starts nginx and the service, and ends when one of them does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

from .config import ConfigError, Settings, read_settings

# The engine waits 10 s before it kills.
_STOP_S = 8.0
_PACKAGE = Path(__file__).parent


def nginx_config(settings: Settings) -> str:
    """nginx.conf with the folders of this instance in their places."""
    template = (settings.share_dir / "nginx.conf").read_text(encoding="utf-8")
    for name, value in {
        "run_dir": settings.run_dir,
        "share_dir": settings.share_dir,
        "marker": settings.marker,
        "socket": settings.socket,
        "port": settings.port,
    }.items():
        template = template.replace(f"@{name}@", str(value))
    return template


def start(settings: Settings) -> list[subprocess.Popen[bytes]]:
    """Start both programs; nginx answers 503 until the service listens."""
    settings.run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    settings.socket.unlink(missing_ok=True)
    config = settings.run_dir / "nginx.conf"
    config.write_text(nginx_config(settings), encoding="utf-8")
    service = [sys.executable, "-m", "uvicorn", "--factory", "videoapp.app:create_app"]
    # nginx closes idle connections after 60 s: the service must not be first.
    service += ["--uds", str(settings.socket), "--timeout-keep-alive", "75"]
    service += ["--no-access-log", "--no-proxy-headers", "--no-server-header"]
    environment = {**os.environ, "PYTHONPATH": str(_PACKAGE.parent)}
    return [
        subprocess.Popen([*service, "--log-level", "warning"], env=environment),
        subprocess.Popen(["nginx", "-e", "stderr", "-p", str(settings.run_dir), "-c", str(config)]),
    ]


def stop(children: list[subprocess.Popen[bytes]]) -> None:
    """Ask the programs to finish what they do; end them when that takes too long."""
    for child in children:
        # nginx: SIGQUIT lets requests finish, SIGTERM does not.
        child.send_signal(signal.SIGQUIT if child is children[-1] else signal.SIGTERM)
    deadline_s = time.monotonic() + _STOP_S
    for child in children:
        try:
            child.wait(timeout=max(0.0, deadline_s - time.monotonic()))
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def main() -> int:
    """Run until SIGTERM or SIGINT (0), or until one program ends by itself (1)."""
    try:
        settings = read_settings()
    except ConfigError as error:
        print(f"videoapp: {error}", file=sys.stderr)
        return 2
    asked_to_stop = False

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        nonlocal asked_to_stop
        asked_to_stop = True

    # Blocked, so that none comes between the look at the children and the wait.
    awaited = {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD}
    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    children = start(settings)
    signal.pthread_sigmask(signal.SIG_BLOCK, awaited)
    while not asked_to_stop:
        ended = [child for child in children if child.poll() is not None]
        if ended:
            print(f"videoapp: {ended[0].args!r} ended with {ended[0].returncode}", file=sys.stderr)
            break
        if signal.sigwait(awaited) != signal.SIGCHLD:
            asked_to_stop = True
    stop(children)
    return 0 if asked_to_stop else 1


if __name__ == "__main__":
    sys.exit(main())
