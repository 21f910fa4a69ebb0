# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How tests reach the testbed: its playbooks, modules on its hosts, and SSH."""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).resolve().parents[2]
PLAYBOOK_TIMEOUT_S = 900
# What Ansible prints is read by the tests.
READABLE = {"ANSIBLE_CALLBACK_RESULT_FORMAT": "json", "ANSIBLE_NOCOLOR": "1"}
ME_HOSTS = ("worker1", "worker2")
OTHER_CELL = {"cell1": "cell2", "cell2": "cell1"}
ME_HOST_OF = {"cell1": "worker1", "cell2": "worker2"}
CELL_OF = {host: cell for cell, host in ME_HOST_OF.items()}


def changed(output: str) -> dict[str, int]:
    """How many tasks changed something, for each host of a playbook's recap."""
    recap = output[output.index("PLAY RECAP") :]
    return {host: int(count) for host, count in re.findall(r"^(\S+) .*changed=(\d+)", recap, re.M)}


@functools.cache
def port_of(host: str) -> str:
    """The port by which SSH reaches a host; asked for once, as it takes a second."""
    command = ["ansible-inventory", "--host", host]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)
    return str(json.loads(done.stdout)["ansible_port"])


@dataclass(frozen=True)
class Testbed:
    """The testbed of `make up`."""

    __test__ = False
    state: Path

    @property
    def platform(self) -> str:
        """Where instances run: docker or kubernetes."""
        kept = self.state / "platform"
        return kept.read_text().strip() if kept.exists() else "docker"

    def instance(self, app: str) -> str:
        """A command that prints the container of an app's instance, on the ME host it runs on."""
        chosen = {
            "docker": f"label=relocation.mec.app={app}",
            "kubernetes": f"name=k8s_app_{app}-",
        }
        return f"docker ps --quiet --no-trunc --filter {chosen[self.platform]}"

    def remains(self, host: str, app: str) -> str:
        """The containers of an app that are left on an ME host; a kubelet keeps ended ones."""
        ended = "--all" if self.platform == "docker" else ""
        return self.on(host, f"{self.instance(app)} {ended}")

    def playbook(self, name: str, *arguments: str) -> str:
        """Run a playbook of the project; a failure shows its output."""
        return self._run(["ansible-playbook", f"playbooks/{name}.yml", *arguments])

    def deploy(self, declaration: str) -> None:
        """Deploy the apps of a file.

        RLapp, on the manager, knows the apps of the inventory: other tests want it to go on so.
        """
        self.playbook("deploy", "-e", f"@{declaration}", "--limit", "!manager")

    def refused(self, name: str, *arguments: str) -> str:
        """Run a playbook that has to fail; what it printed, on one line."""
        ended = self._ended(["ansible-playbook", f"playbooks/{name}.yml", *arguments])
        assert ended.returncode != 0, ended.stdout[-8000:]
        return " ".join(f"{ended.stdout} {ended.stderr}".split())

    def handoff(self, cell: str, *arguments: str) -> str:
        """Hand ue1 off to a cell."""
        return self.playbook("handoff", "-e", "ue=ue1", "-e", f"target_cell={cell}", *arguments)

    def survey(self) -> dict[str, dict[str, Any]]:
        """What each ME host says of its apps."""
        output = self._run(["ansible", ",".join(ME_HOSTS), "-m", "mec.relocation.app_info"])
        answers = re.findall(r"^(\S+) \| SUCCESS => (\{.*?^\})", output, re.M | re.S)
        return {host: json.loads(answer)["apps"] for host, answer in sorted(answers)}

    def where(self, app: str) -> dict[str, str]:
        """The state of an app on each ME host."""
        return {
            host: apps.get(app, {"state": "absent"})["state"]
            for host, apps in self.survey().items()
        }

    def leases(self, app: str) -> list[Any]:
        """The lease of an app on each ME host; None where no handoff has it."""
        return [apps.get(app, {}).get("lease") for apps in self.survey().values()]

    def serving(self, app: str) -> str:
        """The ME host that serves an app."""
        parts = {host: apps.get(app) for host, apps in self.survey().items()}
        for host, part in parts.items():
            if part and part["state"] == "serving":
                return host
        pytest.fail(f"{app} serves nowhere: {json.dumps(parts)}")

    def attach(self, ue: str, cell: str) -> None:
        """Have a UE in a cell."""
        self.on(ue, f"mec-ue-attach {cell}")

    def module(self, host: str, module: str, /, **arguments: Any) -> dict[str, Any]:
        """Run a module on a host and return what it returned."""
        given = ["-a", json.dumps(arguments)] if arguments else []
        output = self._run(["ansible", host, "-m", module, *given])
        return dict(json.loads(output[output.index("=>") + 2 :]))

    def ssh(self, host: str) -> list[str]:
        """The beginning of a command that runs on a host."""
        return [
            *("ssh", "-F", "none", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes"),
            *("-o", f"UserKnownHostsFile={self.state}/ssh/known_hosts/{host}"),
            *("-i", f"{self.state}/ssh/id_ed25519", "-p", port_of(host)),
            "root@127.0.0.1",
        ]

    def on(self, host: str, command: str, given: str = "") -> str:
        """Run a command on a host and return its output."""
        return self._run([*self.ssh(host), command], given)

    def engine(self, *arguments: str) -> str:
        """Ask this machine's container engine, in which the hosts are containers."""
        return self._run([str(PROJECT / "testbed" / "engine"), "docker", *arguments])

    def wait_for_ssh(self, host: str) -> None:
        """Wait until a host that was started answers."""
        self._run(["ansible", host, "-m", "ansible.builtin.wait_for_connection"])

    def cell(self, ue: str) -> str:
        """The cell that a UE is attached to."""
        return str(json.loads(self.on(ue, "mec-ue-attach --status"))["cell"])

    def records(self) -> list[dict[str, Any]]:
        """The relocation records of the last run."""
        path = PROJECT / "results" / "latest" / "relocations.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()]

    def secret(self, name: str) -> str:
        """A generated password."""
        return (self.state / "secrets" / name).read_text().strip()

    def _run(self, command: list[str], given: str = "") -> str:
        ended = self._ended(command, given)
        if ended.returncode != 0:
            pytest.fail(f"{' '.join(command)}\n{ended.stdout[-8000:]}\n{ended.stderr[-4000:]}")
        return ended.stdout

    def _ended(self, command: list[str], given: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            input=given,
            cwd=PROJECT,
            env={**os.environ, **READABLE},
            capture_output=True,
            text=True,
            timeout=PLAYBOOK_TIMEOUT_S,
            check=False,
        )


def soon(true: Callable[[], bool], within_s: float = 20) -> bool:
    """Whether something becomes true; for bounds that are generous on purpose."""
    deadline = time.monotonic() + within_s
    while not true() and time.monotonic() < deadline:
        time.sleep(0.2)
    return true()


@pytest.fixture(scope="session")
def testbed() -> Testbed:
    """The testbed that is up."""
    state = Path(os.environ.get("MEC_STATE") or PROJECT / ".mec")
    if shutil.which("ansible-playbook") is None or not (state / "ssh" / "id_ed25519").exists():
        pytest.fail("There is no testbed: run `make up` first, and pytest from its environment.")
    return Testbed(state)


@pytest.fixture(scope="session")
def radicale(testbed: Testbed) -> str:
    """Radicale, deployed from examples/; its address."""
    testbed.deploy("examples/radicale.yml")
    return "https://radicale.mec.test"
