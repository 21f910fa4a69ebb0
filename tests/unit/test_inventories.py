"""The inventories: the paper's is the paper's, and neither lacks what the roles ask for."""

from __future__ import annotations

import functools
import json
import os
import re
import subprocess
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pytest
import yaml

PROJECT = Path(__file__).parents[2]
INVENTORIES = ("local", "paper")
PLAYBOOKS = sorted((PROJECT / "playbooks").glob("*.yml"))
# The paper's Table 2 by the roles in it, and its Table 3.
HOSTS = {
    "manager": ["master"],
    "control_planes": ["master"],
    "me_hosts": ["worker1", "worker2"],
    "repositories": ["repository"],
    "ues": ["ue1"],
}
SOFTWARE = {
    "helm": "3.1.2",
    "kubernetes": "1.19.3",
    "docker": "19.03.8",
    "nginx": "1.16.1",
    "gitlab": "11.9.6",
}


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state folder in which passwords may be made."""
    return tmp_path_factory.mktemp("state")


def ansible(command: str, *arguments: str, state: Path) -> subprocess.CompletedProcess[str]:
    """Run a command of Ansible on the platform kubernetes."""
    return subprocess.run(
        [command, *arguments],
        cwd=PROJECT,
        env={
            **os.environ,
            "ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg"),
            "ANSIBLE_ROLES_PATH": str(PROJECT / "roles"),
            "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
            "ANSIBLE_NOCOLOR": "1",
            "MEC_STATE": str(state),
            "MEC_PLATFORM": "kubernetes",
        },
        capture_output=True,
        text=True,
        check=False,
    )


@functools.cache
def inventory(name: str) -> Any:
    """An inventory as Ansible reads it; values are the templates that they are."""
    listed = ansible("ansible-inventory", "-i", f"inventories/{name}", "--list", state=Path("/"))
    assert listed.returncode == 0, listed.stderr
    return json.loads(listed.stdout)


def groups(name: str) -> dict[str, set[str]]:
    """The members of each group, with those of the groups within it."""
    found = inventory(name)

    def members(group: str) -> set[str]:
        # A group without members is nothing but a name among others' children.
        content = found.get(group, {})
        return set(content.get("hosts", [])).union(*map(members, content.get("children", [])))

    named = {group for content in found.values() for group in content.get("children", [])}
    return {group: members(group) for group in named}


def variables(name: str, host: str) -> dict[str, Any]:
    return dict(inventory(name)["_meta"]["hostvars"][host])


def values(name: str, host: str, template: str, state: Path) -> Any:
    """What a template comes to on a host."""
    asked = json.dumps({"msg": template})
    inventory_ = ("-i", f"inventories/{name}")
    done = ansible("ansible", *inventory_, host, "-m", "debug", "-a", asked, state=state)
    assert done.returncode == 0, done.stdout
    return json.loads(done.stdout.partition("=>")[2])["msg"]


def group_variables(name: str, group: str) -> set[str]:
    """The variables that an inventory's file of a group has."""
    file = PROJECT / "inventories" / name / "group_vars" / f"{group}.yml"
    return set(yaml.safe_load(file.read_text(encoding="utf-8"))) if file.exists() else set()


def plays() -> Iterator[dict[str, Any]]:
    """The plays of all playbooks, but those whose hosts are found while they run.

    A playbook that is imported by another is one of them.
    """
    for playbook in PLAYBOOKS:
        for play in yaml.safe_load(playbook.read_text(encoding="utf-8")):
            if "roles" in play and "{{" not in play["hosts"]:
                yield play


def test_the_hosts_are_the_papers() -> None:
    found = groups("paper")
    assert {group: sorted(found[group]) for group in HOSTS} == HOSTS
    assert found["testbed"] == {"master", "worker1", "worker2", "repository", "ue1"}
    assert found["cluster"] == {"master", "worker1", "worker2"}
    # None of them is made here, and the cluster is not left out.
    assert found["containers"] == set()
    assert found["kubernetes"] == found["testbed"] | {"localhost"}


def test_the_software_is_the_papers(state: Path) -> None:
    assert variables("paper", "master")["paper_software"] == SOFTWARE
    pins = """{{ [mec_platform, kubernetes_release_source, kubernetes_release_version,
                  engine_source, repository_kind] }}"""
    assert values("paper", "worker1", pins, state) == [
        *("kubernetes", "upstream", f"v{SOFTWARE['kubernetes']}", "upstream", "gitlab")
    ]
    # Below 29, and for the release of Debian that the roles are written for.
    engine = variables("paper", "worker1")["engine_upstream_version"]
    assert re.fullmatch(r"5:2[0-8]\.\d+\.\d+-1~debian\.12~bookworm", engine)


def test_the_cells_are_the_papers() -> None:
    cells = variables("paper", "ue1")["mec_cells"]
    networks = {cell["network"]: cell["me_host"] for cell in cells.values()}
    assert networks == {"192.168.0.0/24": "worker1", "192.168.100.0/24": "worker2"}
    for name, address in variables("paper", "ue1")["mec_cell_addresses"].items():
        network = IPv4Network(cells[name]["network"])
        assert {IPv4Address(address), IPv4Address(cells[name]["gateway"])} <= set(network.hosts())


def test_nothing_is_reached_before_it_is_edited(state: Path) -> None:
    documentation = IPv4Network("192.0.2.0/24")
    hosts = sorted(groups("paper")["testbed"])
    asked = f"{{{{ {hosts} | map('extract', hostvars, 'ansible_host') | list }}}}"
    addresses = [IPv4Address(address) for address in values("paper", "localhost", asked, state)]
    assert len(set(addresses)) == len(hosts)
    assert all(address in documentation for address in addresses)


def test_both_inventories_have_the_same_groups() -> None:
    assert set(groups("local")) == set(groups("paper"))


@pytest.mark.parametrize(
    "host", ["localhost", *sorted({h for hosts in HOSTS.values() for h in hosts})]
)
def test_both_inventories_have_the_same_variables(host: str) -> None:
    # What containers are made from says nothing about a machine.
    containers = group_variables("local", "containers")
    here, there = (
        {name for name in variables(inventory_, host) if name.startswith("mec_")} - containers
        for inventory_ in INVENTORIES
    )
    assert here == there


@pytest.mark.parametrize("name", INVENTORIES)
def test_the_playbooks_can_be_read(name: str, state: Path) -> None:
    files = [str(playbook) for playbook in PLAYBOOKS]
    read = ansible(
        "ansible-playbook", "-i", f"inventories/{name}", "--syntax-check", *files, state=state
    )
    assert read.returncode == 0, read.stderr
    assert "[WARNING]" not in read.stderr, read.stderr


def defaults(role: str) -> set[str]:
    """The variables of a role that have a default."""
    file = PROJECT / "roles" / role / "defaults" / "main.yml"
    return set(yaml.safe_load(file.read_text(encoding="utf-8")) or {}) if file.exists() else set()


def lacking(name: str, state: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Check the arguments of all roles, and that each of their defaults comes to something.

    The roles are those of the playbooks, on the hosts of their plays. No task of them is run but
    the check of arguments that Ansible itself puts first.
    """
    book = []
    for play in plays():
        look = [
            {
                "name": f"Look at every default of {role['role']}",
                "ansible.builtin.assert": {
                    "that": "[lookup('ansible.builtin.vars', item)] | length == 1",
                    "quiet": True,
                },
                "loop": sorted(defaults(role["role"])),
                "vars": {"role_path": str(PROJECT / "roles" / role["role"])},
                "tags": "look",
            }
            for role in play["roles"]
        ]
        about = {"gather_facts": False, "any_errors_fatal": True}
        book.append({"hosts": play["hosts"], **about, "roles": play["roles"], "tasks": look})
    file = state / f"{name}.yml"
    file.write_text(json.dumps(book), encoding="utf-8")
    return ansible(
        *("ansible-playbook", "-i", f"inventories/{name}", str(file), "--tags", "look"),
        *arguments,
        state=state,
    )


@pytest.mark.parametrize("name", INVENTORIES)
def test_no_role_lacks_an_argument(name: str, state: Path) -> None:
    done = lacking(name, state)
    assert done.returncode == 0, done.stdout[-4000:]
    made_here = set() if groups(name)["containers"] else {"testbed"}
    roles = {role["role"] for play in plays() for role in play["roles"]} - made_here
    checked = set(re.findall(r"TASK \[(\w+) : Validating arguments", done.stdout))
    assert roles <= checked


def test_an_argument_that_no_role_takes_is_found(state: Path) -> None:
    done = lacking("paper", state, "--limit", "me_hosts", "-e", "engine_source=centos")
    assert done.returncode != 0
    assert "value of engine_source must be one of: debian, upstream, got: centos" in done.stdout


def test_a_variable_that_is_missing_is_found(state: Path) -> None:
    done = lacking("paper", state, "--limit", "me_hosts", "-e", "gateway_address={{ mec_nowhere }}")
    assert done.returncode != 0
    assert "'mec_nowhere' is undefined" in done.stdout + done.stderr
