"""PID 1 of the container: starts the service, then nginx, and ends when one of them does."""

from __future__ import annotations

import os
import signal
import socket
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


def _accepts(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(str(path))
        except OSError:
            return False
    return True


class Programs:
    """The two programs of the container."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.asked_to_stop = False
        self._running: list[tuple[subprocess.Popen[bytes], signal.Signals]] = []

    def start(self) -> None:
        """Start both. nginx comes second: whoever can connect finds a service that answers."""
        self.settings.run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.settings.socket.unlink(missing_ok=True)
        service = [sys.executable, "-m", "uvicorn", "--factory", "videoapp.app:create_app"]
        # nginx closes idle connections after 60 s: the service must not be first.
        service += ["--uds", str(self.settings.socket), "--timeout-keep-alive", "75"]
        service += ["--no-access-log", "--no-proxy-headers", "--no-server-header"]
        service += ["--log-level", "warning"]
        self._run(service, signal.SIGTERM, {"PYTHONPATH": str(_PACKAGE.parent)})
        while not _accepts(self.settings.socket):
            if self.asked_to_stop or self.ended():
                return
            time.sleep(0.01)
        config = self.settings.run_dir / "nginx.conf"
        config.write_text(nginx_config(self.settings), encoding="utf-8")
        # SIGQUIT lets requests finish, SIGTERM does not.
        nginx = ["nginx", "-e", "stderr", "-p", str(self.settings.run_dir), "-c", str(config)]
        self._run(nginx, signal.SIGQUIT, {})

    def ended(self) -> str | None:
        """Which program has ended by itself, and how."""
        for program, _ in self._running:
            if program.poll() is not None:
                return f"{program.args!r} ended with {program.returncode}"
        return None

    def stop(self) -> None:
        """Ask the programs to finish what they do; end them when that takes too long."""
        for program, gently in self._running:
            program.send_signal(gently)
        deadline_s = time.monotonic() + _STOP_S
        for program, _ in self._running:
            try:
                program.wait(timeout=max(0.0, deadline_s - time.monotonic()))
            except subprocess.TimeoutExpired:
                program.kill()
                program.wait()

    def _run(self, command: list[str], gently: signal.Signals, environment: dict[str, str]) -> None:
        program = subprocess.Popen(command, env={**os.environ, **environment})
        self._running.append((program, gently))


def main() -> int:
    """Run until SIGTERM or SIGINT (0), or until one program ends by itself (1)."""
    try:
        programs = Programs(read_settings())
    except ConfigError as error:
        print(f"videoapp: {error}", file=sys.stderr)
        return 2

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        programs.asked_to_stop = True

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    programs.start()
    # Blocked only now, as children inherit it: none is lost between the look and the wait.
    awaited = {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD}
    signal.pthread_sigmask(signal.SIG_BLOCK, awaited)
    while not programs.asked_to_stop:
        reason = programs.ended()
        if reason:
            print(f"videoapp: {reason}", file=sys.stderr)
            break
        programs.asked_to_stop = signal.sigwait(awaited) != signal.SIGCHLD
    programs.stop()
    return 0 if programs.asked_to_stop else 1


if __name__ == "__main__":
    sys.exit(main())
