# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A gateway of tests: HAProxy with the configuration of the roles, and instances behind it."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jinja2
import yaml
from ansible_collections.mec.relocation.plugins.module_utils.ground.app import App
from ansible_collections.mec.relocation.plugins.module_utils.host.gateway import Gateway

ROLES = next(
    folder / "roles"
    for folder in Path(__file__).parents
    if (folder / "roles" / "gateway" / "files" / "hold.lua").is_file()
)
ADDRESSES = {"worker1": "127.0.0.1", "worker2": "127.0.0.2"}

# An app as it is without any care: Python's server, with its backlog of 5.
_APP = """
import http.server, os, sys, time
address, port, kind, name, slow_s = sys.argv[1:]
first = True

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        global first
        if first:
            first = False
            time.sleep(float(slow_s))
        if self.path == "/stuck":
            time.sleep(60)
        if self.path.startswith("/take/"):
            time.sleep(float(self.path.split("/")[2]))
        os.write(1, f"{self.command} {self.path}\\n".encode())
        answer = f"{name} {self.path} {self.headers}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_POST = do_GET

    def log_message(self, *_):
        pass

getattr(http.server, kind)((address, int(port)), Handler).serve_forever()
"""


def program() -> str:
    """Return HAProxy's path; it is not in the path of every user."""
    found = shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin")
    assert found, "HAProxy is missing: testbed/packages tests"
    return found


def wait_until(condition: Callable[[], object], within_s: float = 10) -> None:
    """Wait until a condition holds; fail when it does not in time."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come in time"
        time.sleep(0.005)


def free_port() -> int:
    """Return a port that is free on all addresses of the loopback interface."""
    with socket.create_server(("", 0)) as server:
        return int(server.getsockname()[1])


def render(template: str, **variables: Any) -> str:
    """Render a template of a role; given variables go before the role's defaults."""
    role = ROLES / template.split("/")[0]
    environment = jinja2.Environment(  # noqa: S701
        loader=jinja2.FileSystemLoader(ROLES),
        trim_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["regex_replace"] = lambda text, old, new: re.sub(old, new, text)
    variables = {"mec_service_address": "", "mec_domain": "mec.test", **variables}
    for name, value in yaml.safe_load((role / "defaults/main.yml").read_text()).items():
        if name not in variables:
            text = environment.from_string(str(value)).render(mec_state_dir="", **variables)
            variables[name] = yaml.safe_load(text)
    return environment.get_template(template).render(ansible_managed="made by a test", **variables)


class Instance:
    """An instance of an app on one of the ME hosts."""

    def __init__(self, host: str, port: int, kind: str, slow_s: float, log: Path) -> None:
        self.log = log
        with log.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-c", _APP, ADDRESSES[host], str(port), kind, host, str(slow_s)],
                stdout=output,
            )
        address = int.from_bytes(socket.inet_aton(ADDRESSES[host]), "little")
        listens = f" {address:08X}:{port:04X} 00000000:0000 0A "
        wait_until(lambda: listens in Path("/proc/net/tcp").read_text())

    def executed(self) -> list[str]:
        """Return the requests that it has executed."""
        return self.log.read_text().splitlines()

    def freeze(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


class HAProxy:
    """HAProxy as systemd runs it: with a socket that is opened once, and stays open."""

    def __init__(
        self, folder: Path, certificate: Path, me_hosts: int, app_port: int, **variables: Any
    ) -> None:
        self.folder = folder
        (folder / "state").mkdir()
        (folder / "apps.d").mkdir()
        self.map = folder / "state" / "locations.map"
        self.map.write_text("app worker1\n")
        self.gateway = Gateway(
            folder / "mec.sock", self.map, folder / "decisions", folder / "master.sock"
        )
        self.port, self.inside = free_port(), free_port()
        self.app_port = app_port or free_port()
        self.listener = socket.create_server(("127.0.0.1", self.port), backlog=4096)
        self.log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.log.bind(str(folder / "log"))
        self.log.setblocking(False)
        shutil.copy(ROLES / "gateway/files/hold.lua", folder / "hold.lua")
        config = render(
            "gateway/templates/haproxy.cfg.j2",
            gateway_address="127.0.0.1",
            gateway_port=self.port,
            gateway_inside_port=self.inside,
            gateway_services={},
            gateway_state_dir=str(folder / "state"),
            _gateway_decisions_dir=str(folder / "decisions"),
            groups={"me_hosts": [f"worker{number}" for number in range(me_hosts)]},
            **variables,
        )
        for path, own in {
            "/run/haproxy/": f"{folder}/",
            "/etc/haproxy/": f"{folder}/",
            "/dev/log": f"{folder}/log",
            "  user haproxy\n": "",
            "  group haproxy\n": "",
        }.items():
            assert path in config
            config = config.replace(path, own)
        (folder / "haproxy.cfg").write_text(config)
        (folder / "edge.pem").write_bytes(certificate.read_bytes())
        self.declare(name="app")
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def declare(self, **app: Any) -> None:
        """Have the backends of an app, as the role app makes them."""
        checked = App.from_dict({"image": "app:1", "port": 80, "host_port": self.app_port, **app})
        # As the module answers: what is not declared is left out.
        item = {key: value for key, value in checked.public().items() if value is not None}
        hosts = {host: {"mec_backbone_address": address} for host, address in ADDRESSES.items()}
        config = render(
            "app/templates/backend.cfg.j2",
            item=item,
            hostvars=hosts,
            groups={"me_hosts": list(ADDRESSES)},
            app_declarations=[],
            app_chart="",
            app_first_cell="",
            app_kubeconfig="",
            app_namespace="",
        )
        (self.folder / "apps.d" / f"{checked.name}.cfg").write_text(config)

    def start(self) -> None:
        files = ["-f", str(self.folder / "haproxy.cfg"), "-f", str(self.folder / "apps.d")]
        self._process = subprocess.Popen(
            [program(), "-W", *files, "-S", f"{self.folder}/master.sock,mode,600"],
            env={**os.environ, "MEC_EDGE": f"fd@{self.listener.fileno()}"},
            pass_fds=[self.listener.fileno()],
            stderr=subprocess.DEVNULL,
        )
        wait_until(self._follows)

    def _follows(self) -> bool:
        with contextlib.suppress(Exception):
            self.gateway.check("app", "worker1")
            return True
        return False

    @property
    def master(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process

    def workers(self) -> list[int]:
        """Return the processes that handle requests."""
        pid = self.master.pid
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def reload(self) -> None:
        """Reload; the new worker accepts when this returns."""
        before = set(self.workers())
        self.master.send_signal(signal.SIGUSR2)
        wait_until(lambda: set(self.workers()) - before)
        wait_until(self._follows)

    def kill_worker(self) -> None:
        for worker in self.workers():
            os.kill(worker, signal.SIGKILL)
        self.master.wait()

    def kill_master(self) -> None:
        self.master.kill()
        self.master.wait()

    def logged(self) -> str:
        """Return what it has logged since this was last asked."""
        lines = []
        with contextlib.suppress(BlockingIOError):
            while True:
                lines.append(self.log.recv(65536).decode())
        return "\n".join(lines)

    def close(self) -> None:
        self.master.terminate()
        try:
            self.master.wait(10)
        except subprocess.TimeoutExpired:
            self.master.kill()
            self.master.wait()
        self.listener.close()
        self.log.close()


@contextlib.contextmanager
def running(instances: Mapping[str, Instance]) -> Iterator[Mapping[str, Instance]]:
    """End instances behind the block."""
    try:
        yield instances
    finally:
        for instance in instances.values():
            instance.kill()
