# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How tests reach the testbed: its playbooks, modules on its hosts, and SSH."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).resolve().parents[2]
PLAYBOOK_TIMEOUT_S = 900


@dataclass(frozen=True)
class Testbed:
    """The testbed of `make up`."""

    __test__ = False
    state: Path

    def playbook(self, name: str, *arguments: str) -> str:
        """Run a playbook of the project; a failure shows its output."""
        return self._run(["ansible-playbook", f"playbooks/{name}.yml", *arguments])

    def module(self, host: str, name: str, **arguments: Any) -> dict[str, Any]:
        """Run a module on a host and return what it returned."""
        output = self._run(["ansible", host, "-m", name, "-a", json.dumps(arguments)])
        return dict(json.loads(output[output.index("=>") + 2 :]))

    def ssh(self, host: str) -> list[str]:
        """The beginning of a command that runs on a host."""
        known = self._run(["ansible-inventory", "--host", host])
        return [
            *("ssh", "-F", "none", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes"),
            *("-o", f"UserKnownHostsFile={self.state}/ssh/known_hosts/{host}"),
            *("-i", f"{self.state}/ssh/id_ed25519", "-p", str(json.loads(known)["ansible_port"])),
            "root@127.0.0.1",
        ]

    def on(self, host: str, command: str, given: str = "") -> str:
        """Run a command on a host and return its output."""
        return self._run([*self.ssh(host), command], given)

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
        ended = subprocess.run(
            command,
            input=given,
            cwd=PROJECT,
            env={**os.environ, "ANSIBLE_CALLBACK_RESULT_FORMAT": "json", "ANSIBLE_NOCOLOR": "1"},
            capture_output=True,
            text=True,
            timeout=PLAYBOOK_TIMEOUT_S,
            check=False,
        )
        if ended.returncode != 0:
            pytest.fail(f"{' '.join(command)}\n{ended.stdout[-8000:]}\n{ended.stderr[-4000:]}")
        return ended.stdout


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
    testbed.playbook("testbed", "-e", "@examples/radicale.yml")
    return "https://radicale.mec.test"
