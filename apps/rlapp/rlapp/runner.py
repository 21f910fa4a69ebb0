"""Runs the project's playbooks."""

from __future__ import annotations

import json
import secrets
import shlex
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import ansible_runner

from .config import Handoffs

# Tells a playbook that another process started from all others on this machine.
RUN_VARIABLE = "RLAPP_RUN"
_FAILURES = ("runner_on_failed", "runner_on_unreachable")


def new_run() -> str:
    """A name for a run that no other has."""
    return f"rlapp-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(4)}"


@dataclass(frozen=True)
class Job:
    """A handoff to run. `run` names it, and the folder of its records.

    word: a pipe at which the run waits before it moves anything.
    """

    run: str
    ue: str
    target_cell: str
    apps: list[str]
    ho_status: str | None = None
    source_cell: str | None = None
    word: Path | None = None

    def variables(self) -> dict[str, Any]:
        """The handoff message, as `playbooks/handoff.yml` takes it."""
        optional = {
            "ho_status": self.ho_status,
            "source_cell": self.source_cell,
            "handoff_word": self.word and str(self.word),
        }
        return {
            "ue": self.ue,
            "target_cell": self.target_cell,
            "run": self.run,
            "handoff_apps": self.apps,
            **{name: value for name, value in optional.items() if value is not None},
        }


@dataclass(frozen=True)
class Progress:
    """What a run tells while it runs: the task that begins, or what a task has returned."""

    kind: Literal["task", "plan", "phase", "moved"]
    data: dict[str, Any]


@dataclass(frozen=True)
class End:
    """How a run ended. Only the records tell how its relocations did."""

    status: Literal["successful", "failed", "canceled", "timeout"]
    error: str | None = None


class RunError(Exception):
    """A playbook could not be started."""


class Runner(Protocol):
    """Runs playbooks. All of it may block, and is called from threads."""

    def hand_off(
        self, job: Job, tell: Callable[[Progress], None], cancelled: Callable[[], bool]
    ) -> End:
        """Run one handoff to its end."""

    def survey(self) -> dict[str, dict[str, Any]]:
        """What each ME host that answers says of its apps."""

    def is_running(self, run: str) -> bool:
        """Whether anything of a run is still under way, also one of an earlier process."""


class AnsibleRunner:
    """Runs them with ansible-runner.

    Args:
        folder: where a run keeps its own files while it lasts.
    """

    def __init__(self, handoffs: Handoffs, folder: Path) -> None:
        self._handoffs = handoffs
        self._folder = folder

    def hand_off(
        self, job: Job, tell: Callable[[Progress], None], cancelled: Callable[[], bool]
    ) -> End:
        """Run `playbooks/handoff.yml`."""
        errors: list[str] = []

        def on_event(event: dict[str, Any]) -> bool:
            data = event.get("event_data", {})
            if event["event"] == "playbook_on_task_start":
                tell(Progress("task", {"task": data.get("task", "")}))
            elif event["event"] in ("runner_on_ok", "runner_item_on_ok"):
                for progress in _progress(data):
                    tell(progress)
            elif event["event"] in _FAILURES and not data.get("ignore_errors"):
                errors.append(str(data.get("res", {}).get("msg", "no reason given")))
            return False  # nothing of it is kept in files

        status = self._run(
            job.run,
            on_event,
            playbook="playbooks/handoff.yml",
            extravars=job.variables(),
            cmdline=self._arguments(),
            cancel_callback=cancelled,
        )
        return End(status, errors[-1] if errors else None)

    def _arguments(self) -> str | None:
        file = self._handoffs.variables
        return None if file is None else f"--extra-vars {shlex.quote(f'@{file}')}"

    def survey(self) -> dict[str, dict[str, Any]]:
        """Run `app_info` on all ME hosts."""
        answers: dict[str, dict[str, Any]] = {}

        def on_event(event: dict[str, Any]) -> bool:
            data = event.get("event_data", {})
            if event["event"] == "runner_on_ok":
                answers[data["host"]] = data["res"]
            return False

        self._run("survey", on_event, host_pattern="me_hosts", module="mec.relocation.app_info")
        return answers

    def is_running(self, run: str) -> bool:
        """Look for its name in the environment of every ansible-playbook of this machine.

        Other programs that it has started do not count: an SSH connection is kept open for later.
        """
        mark = f"{RUN_VARIABLE}={run}".encode()
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if b"ansible-playbook" in (process / "cmdline").read_bytes() and mark in (
                    process / "environ"
                ).read_bytes().split(b"\0"):
                    return True
            except OSError:  # it has ended, or is somebody else's
                continue
        return False

    def _run(self, run: str, on_event: Callable[[dict[str, Any]], bool], **what: Any) -> Any:
        folder = self._folder / run
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            ended = ansible_runner.run(
                private_data_dir=str(folder),
                project_dir=str(self._handoffs.project),
                envvars={
                    "ANSIBLE_CONFIG": str(self._handoffs.project / "ansible.cfg"),
                    RUN_VARIABLE: run,
                },
                timeout=self._handoffs.timeout_s,
                event_handler=on_event,
                quiet=True,
                **what,
            )
        except (OSError, ansible_runner.AnsibleRunnerException) as error:
            raise RunError(f"{run}: {error}") from error
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return ended.status


def _progress(data: dict[str, Any]) -> list[Progress]:
    """What a task's result tells: the plan, phases that were measured, a UE that was moved."""
    result = data.get("res", {})
    told = []
    if "plan" in result:
        told.append(Progress("plan", result["plan"]))
    if "phase" in result:
        told.append(Progress("phase", result["phase"]))
    if str(data.get("task_action", "")).endswith("ue_cell") and result.get("changed"):
        told.append(Progress("moved", {}))
    return told


def read_records(results_dir: Path, run: str) -> list[dict[str, Any]]:
    """The relocation records of a run. A last line that was cut off is none yet."""
    try:
        text = (results_dir / run / "relocations.jsonl").read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    records = []
    for line in text.splitlines():
        try:
            records.append(json.loads(line))
        except ValueError:
            continue
    return records
