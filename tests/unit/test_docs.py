"""What the pages say of the code is what the code says."""

import importlib.util
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def test_the_protocol_of_owners_is_drawn_from_its_code() -> None:
    spec = importlib.util.spec_from_file_location("owner_protocol", DOCS / "owner_protocol.py")
    assert spec is not None and spec.loader is not None
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    page = (DOCS / "owner-protocol.md").read_text()
    assert program.renewed(page) == page, "run: python docs/owner_protocol.py"
