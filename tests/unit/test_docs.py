"""What the pages say of the code is what the code says."""

import importlib.util
import re
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def test_the_protocol_of_owners_is_drawn_from_its_code() -> None:
    spec = importlib.util.spec_from_file_location("owner_protocol", DOCS / "owner_protocol.py")
    assert spec is not None and spec.loader is not None
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    page = (DOCS / "owner-protocol.md").read_text()
    assert program.renewed(page) == page, "run: python docs/owner_protocol.py"


def test_each_fault_names_tests_that_exist() -> None:
    project = DOCS.parent
    found = {
        name
        for folder in ("collections", "tests", "apps", "benchmarks", "molecule")
        for file in (project / folder).rglob("test_*.py")
        for name in re.findall(r"^\s*def (test_\w+)\(", file.read_text(), re.M)
    }
    rows = [
        line.rsplit("|", 2)[1]
        for line in (DOCS / "faults.md").read_text().splitlines()
        if line.startswith("| ") and "---" not in line
    ][1:]
    for row in rows:
        named = re.findall(r"`(test_\w+)`", row)
        assert named
        assert not set(named) - found
