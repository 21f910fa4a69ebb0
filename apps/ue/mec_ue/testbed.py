"""What the controller knows about a UE: how to reach it, and the testbed it lives in."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[3]
# The inventory's values are templates: Ansible itself fills them in.
_QUESTION = """{{ {
    "address": ansible_host, "port": ansible_port | default(22), "user": ansible_user,
    "key": ansible_ssh_private_key_file | default(""),
    "arguments": ansible_ssh_common_args | default(""),
    "domain": mec_domain, "cells": mec_cells | list, "state": mec_state_dir,
    "browser_port": ue_browser_port | default(9222),
    "rlapp": hostvars[groups["manager"] | first].rlapp_url
             | default("https://rlapp." ~ mec_domain ~ ":8443"),
} }}"""


class TestbedError(Exception):
    """The testbed does not answer as it should; the message names the next step."""

    __test__ = False


@dataclass(frozen=True)
class Ue:
    """A UE of the inventory. `ssh` begins a command that runs on it."""

    name: str
    ssh: tuple[str, ...]
    domain: str
    cells: tuple[str, ...]
    state_dir: Path
    browser_port: int
    rlapp_url: str

    def run(self, *command: str) -> str:
        """Run a command on the UE; returns its output, raises TestbedError when it fails."""
        done = subprocess.run(
            [*self.ssh, shlex.join(command)], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            reason = (done.stderr or done.stdout).strip() or f"status {done.returncode}"
            raise TestbedError(f"{command[0]} on {self.name} failed: {reason}")
        return done.stdout

    def cell(self) -> str:
        """The cell that the UE is attached to."""
        return str(json.loads(self.run("mec-ue-attach", "--status"))["cell"])

    def secret(self, name: str) -> str:
        """A password that was generated for the testbed; raises TestbedError without one."""
        file = self.state_dir / "secrets" / name
        try:
            return file.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise TestbedError(f"cannot read {file}: {error.strerror}; run `make up`") from error


def find_ue(name: str) -> Ue:
    """Look a UE up in the inventory; raises TestbedError when it is not there."""
    done = subprocess.run(
        ["ansible", name, "-m", "ansible.builtin.debug", "-a", json.dumps({"msg": _QUESTION})],
        cwd=PROJECT,
        env={**os.environ, "ANSIBLE_CALLBACK_RESULT_FORMAT": "json", "ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    _, found, result = done.stdout.partition("=>")
    if done.returncode != 0 or not found:
        reason = (done.stderr or done.stdout).strip()
        raise TestbedError(
            f"{name} is no UE of the inventory, or the inventory is broken: {reason}"
        )
    known: dict[str, Any] = json.loads(result)["msg"]
    ssh = ["ssh", "-F", "none", "-o", "BatchMode=yes", *shlex.split(known["arguments"])]
    ssh += ["-i", known["key"]] if known["key"] else []
    ssh += ["-p", str(known["port"]), f"{known['user']}@{known['address']}"]
    return Ue(
        name=name,
        ssh=tuple(ssh),
        domain=known["domain"],
        cells=tuple(known["cells"]),
        state_dir=Path(known["state"]),
        browser_port=int(known["browser_port"]),
        rlapp_url=known["rlapp"],
    )
