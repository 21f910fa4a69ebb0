"""All roles are on one skeleton: what they default is what they document."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

PROJECT = Path(__file__).parents[2]
ROLES = sorted(role for role in (PROJECT / "roles").iterdir() if (role / "tasks").is_dir())


def load(path: Path) -> dict[str, Any]:
    """A YAML file, empty where there is none."""
    return (yaml.safe_load(path.read_text(encoding="utf-8")) or {}) if path.exists() else {}


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_every_default_is_documented(role: Path) -> None:
    specification = load(role / "meta/argument_specs.yml")["argument_specs"]
    options = specification["main"].get("options", {})
    own = {name for name in options if name.startswith(f"{role.name}_")}
    optional = {name for name in own if not options[name].get("required")}
    defaults = set(load(role / "defaults/main.yml"))
    assert defaults <= own, "a default without documentation"
    undefined = {name for name in optional - defaults if "default" not in options[name]}
    assert all("left out" in str(options[name]["description"]) for name in undefined)


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_internal_variables_say_so(role: Path) -> None:
    assert all(name.startswith(f"_{role.name}_") for name in load(role / "vars/main.yml"))


@pytest.mark.parametrize("name", ["control_plane", "worker"])
def test_a_host_that_is_not_prepared_becomes_no_node(name: str, tmp_path: Path) -> None:
    # This machine in the place of the host.
    here = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    play = {"hosts": "worker1", "gather_facts": False, "vars": here, "roles": [name]}
    playbook = tmp_path / "play.yml"
    playbook.write_text(json.dumps([play]))
    done = subprocess.run(
        ["ansible-playbook", str(playbook)],
        cwd=PROJECT,
        env={**os.environ, "ANSIBLE_CONFIG": "ansible.cfg", "MEC_STATE": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "worker1 has no kubelet: apply the role kubernetes_node to it first." in done.stdout
    assert "changed=0" in done.stdout
