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


def test_a_handoff_tells_how_what_was_uncertain_has_ended_since(tmp_path: Path) -> None:
    end = {"time": "later", "outcome": "completed", "settled": True, "error": "Lost. Over."}
    last = {"id": "h1", "app": "videoapp", "client": None, **end}
    answers = {
        "worker1": {"apps": {"videoapp": {"last_relocation": last}, "other": {}}},
        "worker2": {"apps": {"videoapp": {"last_relocation": {"id": "h0", "app": "videoapp"}}}},
        "worker3": {"unreachable": True},
    }
    first = {"id": "h1", "app": "videoapp", "time": "x", "outcome": "uncertain", "client": {"n": 1}}
    lines = [
        {**first, "id": "h0", "outcome": "completed"},
        {**first, "error": "Lost."},
        {**first, "app": "other"},
    ]
    for run, kept in {"one": lines, "two": lines[:1]}.items():
        file = tmp_path / "results" / run / "relocations.jsonl"
        file.parent.mkdir(parents=True)
        file.write_text("".join(json.dumps(line) + "\n" for line in kept))
    tasks = [
        {"include_role": {"name": "handoff", "tasks_from": "settled", "public": True}},
        {"include_role": {"name": "handoff", "tasks_from": "settled"}},
    ]
    play = {"hosts": "localhost", "gather_facts": False, "tasks": tasks}
    playbook = tmp_path / "play.yml"
    playbook.write_text(json.dumps([play]))
    variables = {"_handoff_me_hosts": answers, "handoff_results_dir": str(tmp_path / "results")}
    done = subprocess.run(
        ["ansible-playbook", str(playbook), "--extra-vars", json.dumps(variables)],
        cwd=PROJECT,
        env={**os.environ, "ANSIBLE_CONFIG": "ansible.cfg", "MEC_STATE": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    # Once: the second time it is told already.
    assert done.returncode == 0 and "changed=1" in done.stdout, done.stdout
    told = (tmp_path / "results/one/relocations.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in told] == [*lines, {**first, **end}]
    assert len((tmp_path / "results/two/relocations.jsonl").read_text().splitlines()) == 1
