# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the module `agent` installs, and how it takes the place of what was there before."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.mec.relocation.plugins.module_utils.ground import library
from ansible_collections.mec.relocation.plugins.modules import agent

# Not run on hosts: they decide, on the controller.
ON_THE_CONTROLLER = {"handoff_plan"}


def install(package: Path) -> None:
    """Do what the module does."""
    installed = {
        str(path.relative_to(package)): path.read_text()
        for path in (*package.rglob("*.py"), *package.glob("digests.json"))
    }
    wanted = agent.library()
    differing = [name for name in wanted if installed.get(name) != wanted[name]]
    agent.replace(package, wanted, differing, sorted(installed.keys() - wanted.keys()))


def test_its_roots_are_all_commands_of_hosts() -> None:
    source = Path(str(importlib.util.find_spec(agent.__name__).origin)).read_text()  # type: ignore[union-attr]
    roots = {
        name.name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom) and str(node.module).endswith("commands")
        for name in node.names
    }
    there = {path.stem for path in (library.ROOT / "commands").glob("*.py")} - {"__init__"}
    assert roots == there - ON_THE_CONTROLLER


def test_the_digests_are_of_all_files_but_those_that_ansible_may_write_itself(
    tmp_path: Path,
) -> None:
    install(tmp_path)
    digests = json.loads((tmp_path / "digests.json").read_text())
    assert "ground/app.py" in digests and "programs/server.py" in digests
    assert not any(name.endswith("__init__.py") for name in digests)
    for name, digest in digests.items():
        assert hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() == digest


def test_a_library_without_rooms_leaves_nothing_behind(tmp_path: Path) -> None:
    package = tmp_path / "mec_relocation"
    for name in ("__init__", "server", "platform", "image", "volume", "verbs/app_info"):
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / f"{name}.py").write_text("raise SystemExit('of the library before')\n")
    (package / "verbs/__pycache__").mkdir()
    (package / "verbs/__pycache__/app_info.pyc").touch()
    (package / "digests.json").write_text('{"server.py": "1"}')
    install(package)
    names = {path.name for path in package.iterdir()}
    assert names == {path.parent.name for path in library.ROOT.rglob("*.py")} | {
        "__init__.py",
        "digests.json",
    }
    program = "from mec_relocation.programs import server; server._load()"
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True, timeout=60)


def test_a_server_that_begins_again_finds_nothing_of_the_library_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "mec_relocation"
    package.mkdir()
    (package / "server.py").write_text("")
    (package / "digests.json").write_text("{}")
    written: list[str] = []

    def write(path: Path, content: str, mode: int) -> None:
        written.append(path.name)
        if path.name == "digests.json":
            assert not (package / "server.py").exists()
            assert (package / "programs" / "server.py").exists()
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
        os.chmod(path, mode)

    monkeypatch.setattr(agent, "write_durably", write)
    install(package)
    assert written[-1] == "digests.json"
