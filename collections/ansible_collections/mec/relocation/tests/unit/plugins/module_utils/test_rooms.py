# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rooms of the library: which one may import which. See docs/decisions/rooms.md."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.mec.relocation.plugins.module_utils.ground import library

BASE = {"ground"}
HOST = {"ground", "wire", "platform", "volume", "image"}
ALL = HOST | {"host", "relocation", "handoff", "probe"}
# Every room may import itself, too.
MAY_IMPORT = {
    "ground": set[str](),
    "handoff": BASE,
    "probe": BASE,
    "wire": BASE,
    "platform": BASE,
    "volume": {"ground", "wire"},
    "image": {"ground", "wire", "platform"},
    "host": HOST,
    "relocation": HOST | {"host"},
    "commands": ALL,
    "programs": {"ground", "wire", "host", "commands"},
}
FILES = sorted(library.ROOT.rglob("*.py"))


def imported(path: Path, root: Path = library.ROOT) -> Iterator[str]:
    """The rooms of which a file imports something, wherever in it that stands."""
    package = ("library", *path.relative_to(root).parent.parts)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            # The library is found under two names: a file of it cannot know its own.
            assert not any("module_utils" in name.name for name in node.names), path
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            assert "module_utils" not in (node.module or ""), path
            assert not (node.module or "").startswith("mec_relocation"), path
        elif isinstance(node, ast.ImportFrom):
            within = package[: len(package) - node.level + 1]
            names = node.module.split(".") if node.module else []
            for name in node.names:
                whole = [*within, *names, name.name]
                assert whole[0] == "library" and len(whole) > 1, path
                yield whole[1]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(library.ROOT)))
def test_a_file_imports_its_room_and_those_below(path: Path) -> None:
    room, *inside = path.relative_to(library.ROOT).parts
    assert len(inside) == 1
    assert set(imported(path)) <= MAY_IMPORT[room] | {room}


def test_every_room_has_a_docstring_and_nothing_else() -> None:
    rooms = {path.parent for path in FILES}
    assert {room.name for room in rooms} == MAY_IMPORT.keys()
    for room in rooms:
        tree = ast.parse((room / "__init__.py").read_text())
        assert ast.get_docstring(tree) and len(tree.body) == 1


@pytest.mark.parametrize(
    "line",
    [
        "from ..host.state import AppState",
        "def f():\n    from .. import host",
        "if TYPE_CHECKING:\n    from ..host import state",
    ],
)
def test_an_import_against_the_rooms_is_seen(tmp_path: Path, line: str) -> None:
    path = tmp_path / "image" / "commit.py"
    path.parent.mkdir()
    path.write_text(line)
    assert set(imported(path, tmp_path)) == {"host"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(library.ROOT)))
def test_imports_stand_at_the_top(path: Path) -> None:
    tree = ast.parse(path.read_text())
    late = [
        node.lineno
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert late == []
