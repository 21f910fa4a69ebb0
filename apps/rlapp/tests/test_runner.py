"""ansible-runner, with a project of one playbook that says what the real one would."""

from __future__ import annotations

import shutil
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from rlapp.config import Handoffs
from rlapp.runner import AnsibleRunner, Job, Progress, read_records
from test_handoffs import until

pytestmark = pytest.mark.skipif(
    shutil.which("ansible-playbook") is None, reason="ansible is not installed"
)
JOB = Job("rlapp-test", "ue1", "cell2", ["videoapp"], "IN_EXECUTION")

PLAYBOOK = """
- hosts: localhost
  gather_facts: false
  tasks:
    - name: Plan the handoff
      says:
        what: {{plan: {{ue: "{{{{ ue }}}}", apps: "{{{{ handoff_apps }}}}", relocations: []}}}}
    - name: Pre-copy 1
      says:
        what: {{phase: {{name: image_sync, duration_s: 0.1}}}}
    - name: Move the UE to its new cell
      ue_cell:
        what: {{}}
    - name: What comes last
      {last}
"""
MODULE = """
from ansible.module_utils.basic import AnsibleModule
module = AnsibleModule(argument_spec={"what": {"type": "dict"}})
module.exit_json(changed=True, **module.params["what"])
"""


@pytest.fixture
def runner(tmp_path: Path) -> AnsibleRunner:
    """One of a project of its own."""
    project = tmp_path / "project"
    (project / "playbooks" / "library").mkdir(parents=True)
    for name in ("says", "ue_cell"):
        (project / "playbooks" / "library" / f"{name}.py").write_text(MODULE)
    (project / "hosts").write_text(
        f"localhost ansible_connection=local ansible_python_interpreter={sys.executable}\n"
    )
    (project / "ansible.cfg").write_text("[defaults]\ninventory = hosts\n")
    return AnsibleRunner(Handoffs(project=project, timeout_s=60), tmp_path / "runs")


def play(tmp_path: Path, last: str) -> None:
    """Write the playbook."""
    playbook = tmp_path / "project" / "playbooks" / "handoff.yml"
    playbook.write_text(PLAYBOOK.format(last=last))


def test_a_run_tells_what_it_does(runner: AnsibleRunner, tmp_path: Path) -> None:
    play(tmp_path, "ansible.builtin.debug: {msg: done}")
    told: list[Progress] = []
    end = runner.hand_off(JOB, told.append, lambda: False)
    assert (end.status, end.error) == ("successful", None)
    assert [item.kind for item in told] == [
        *["task", "plan"],
        *["task", "phase"],
        *["task", "moved"],
        "task",
    ]
    assert told[1].data == {"ue": "ue1", "apps": ["videoapp"], "relocations": []}
    assert told[3].data["name"] == "image_sync"
    assert list((tmp_path / "runs").iterdir()) == []


@pytest.mark.usefixtures("runner")
def test_variables_of_the_site_go_before_the_inventory_s(tmp_path: Path) -> None:
    file = tmp_path / "the site's.yml"
    file.write_text("greeting: hello from the site\n")
    project = tmp_path / "project"
    (project / "group_vars").mkdir()
    (project / "group_vars" / "all.yml").write_text("greeting: from the inventory\n")
    play(tmp_path, 'ansible.builtin.fail: {msg: "{{ greeting }} to {{ ue }}"}')
    settled = Handoffs(project=project, timeout_s=60, variables=file)
    end = AnsibleRunner(settled, tmp_path / "runs").hand_off(JOB, lambda _: None, lambda: False)
    assert end.error == "hello from the site to ue1"


def test_a_run_is_told_where_its_word_comes(runner: AnsibleRunner, tmp_path: Path) -> None:
    play(tmp_path, 'ansible.builtin.fail: {msg: "{{ handoff_word }}"}')
    word = tmp_path / "word"
    end = runner.hand_off(replace(JOB, word=word), lambda _: None, lambda: False)
    assert end.error == str(word)


def test_a_failure_says_why(runner: AnsibleRunner, tmp_path: Path) -> None:
    play(tmp_path, "ansible.builtin.fail: {msg: the disk is full}")
    end = runner.hand_off(JOB, lambda _: None, lambda: False)
    assert (end.status, end.error) == ("failed", "the disk is full")


def test_a_run_is_found_and_cancelled(runner: AnsibleRunner, tmp_path: Path) -> None:
    play(tmp_path, "ansible.builtin.command: {cmd: sleep 4}")
    last, found = threading.Event(), []

    def tell(progress: Progress) -> None:
        if progress.data.get("task") == "What comes last":
            last.set()

    def cancelled() -> bool:
        if last.is_set() and not found:
            found.append(runner.is_running(JOB.run))
        return bool(found)

    assert runner.hand_off(JOB, tell, cancelled).status == "canceled"
    assert found == [True]
    # A task that was under way may outlive the run that was cancelled.
    until(lambda: not runner.is_running(JOB.run))


def test_a_record_that_was_cut_off_is_none(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "relocations.jsonl").write_text('{"id": 1}\n{"id": 2, "ap')
    assert read_records(tmp_path, "run") == [{"id": 1}]
    assert read_records(tmp_path, "other") == []
