"""The runtime that does without CAP_SYS_RESOURCE, over a runc that only repeats its arguments."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).parents[2] / "roles/engine/files/mec-runc"
PROCESS = {
    "args": ["sh"],
    "oomScoreAdj": -999,
    "capabilities": {
        "bounding": ["CAP_CHOWN", "CAP_SYS_RESOURCE"],
        "effective": ["CAP_SYS_RESOURCE"],
        "ambient": [],
    },
}
WITHOUT = {
    "args": ["sh"],
    "oomScoreAdj": 0,
    "capabilities": {"bounding": ["CAP_CHOWN"], "effective": [], "ambient": []},
}


@pytest.fixture
def run(tmp_path: Path) -> Any:
    runc = tmp_path / "runc"
    runc.write_text('#!/bin/sh\necho "$@"\n')
    runc.chmod(0o755)

    def run(*arguments: str) -> str:
        return subprocess.run(
            [PROGRAM, *arguments],
            env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()

    return run


@pytest.mark.parametrize("form", [["--bundle", "{}"], ["--bundle={}"]])
@pytest.mark.parametrize("verb", ["create", "run"])
def test_a_container_asks_for_less(run: Any, tmp_path: Path, verb: str, form: list[str]) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"ociVersion": "1.0.2", "process": PROCESS}))
    arguments = ["--root", "/run/x", verb, *(part.format(tmp_path) for part in form), "name"]
    assert run(*arguments) == " ".join(arguments)
    assert json.loads(config.read_text()) == {"ociVersion": "1.0.2", "process": WITHOUT}


def test_a_process_in_a_container_asks_for_less(run: Any, tmp_path: Path) -> None:
    process = tmp_path / "process.json"
    process.write_text(json.dumps(PROCESS))
    run("exec", "--process", str(process), "name")
    assert json.loads(process.read_text()) == WITHOUT


def test_other_requests_are_handed_over_as_they_are(run: Any, tmp_path: Path) -> None:
    assert run("delete", "--force", "name") == "delete --force name"
    assert list(tmp_path.iterdir()) == [tmp_path / "runc"]
