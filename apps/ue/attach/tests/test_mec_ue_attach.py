"""What mec-ue-attach decides; what the kernel makes of it is tested on the testbed."""

from __future__ import annotations

import importlib.util
import sys
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "mec_ue_attach.py"
specification = importlib.util.spec_from_file_location("mec_ue_attach", SOURCE)
assert specification
assert specification.loader
attach = importlib.util.module_from_spec(specification)
sys.modules["mec_ue_attach"] = attach
specification.loader.exec_module(attach)

SERVICE = IPv4Address("10.99.0.1")
CONFIGURED = {
    "cell1": {"network": "192.168.0.0/24", "gateway": "192.168.0.11"},
    "cell2": {"network": "192.168.100.0/24", "gateway": "192.168.100.11"},
}
LOOPBACK = ("lo", IPv4Interface("127.0.0.1/8"))
IN_CELL1 = ("eth1", IPv4Interface("192.168.0.101/24"))
IN_CELL2 = ("eth2", IPv4Interface("192.168.100.101/24"))


def test_an_interface_belongs_to_the_cell_of_its_address() -> None:
    cells = attach.find_cells(CONFIGURED, [LOOPBACK, IN_CELL2, IN_CELL1], {})
    assert [(c.name, c.interface, c.address) for c in cells.values()] == [
        ("cell1", *IN_CELL1),
        ("cell2", *IN_CELL2),
    ]
    assert cells["cell1"].table != cells["cell2"].table


def test_a_cell_that_was_left_is_remembered() -> None:
    cells = attach.find_cells(CONFIGURED, [IN_CELL2], {"cell1": ["eth1", "192.168.0.101/24"]})
    assert (cells["cell1"].interface, cells["cell1"].address) == IN_CELL1


def test_what_is_seen_counts_more_than_what_is_remembered() -> None:
    cells = attach.find_cells(CONFIGURED, [IN_CELL1], {"cell1": ["eth7", "192.168.0.9/24"]})
    assert (cells["cell1"].interface, cells["cell1"].address) == IN_CELL1
    assert "cell2" not in cells


@pytest.mark.parametrize(
    ("present", "via", "expected"),
    [
        ([IN_CELL1], "192.168.0.11", "cell1"),
        ([IN_CELL1, IN_CELL2], "192.168.100.11", "cell2"),
        ([IN_CELL1], "192.168.100.11", None),  # a route without its address
        ([IN_CELL1], None, None),
    ],
)
def test_the_current_cell_has_both_the_address_and_the_route(
    present: list[tuple[str, IPv4Interface]], via: str | None, expected: str | None
) -> None:
    cells = attach.find_cells(CONFIGURED, [IN_CELL1, IN_CELL2], {})
    current = attach.current_cell(cells, present, via)
    assert (current.name if current else None) == expected


def test_the_new_address_comes_before_the_route_that_uses_it() -> None:
    cell = attach.find_cells(CONFIGURED, [IN_CELL1, IN_CELL2], {})["cell2"]
    commands = attach.attach_commands(SERVICE, cell, rules=[])
    assert commands[0] == "address replace 192.168.100.101/24 dev eth2"
    assert commands[-1] == (
        "route replace 10.99.0.1/32 via 192.168.100.11 dev eth2 src 192.168.100.101"
    )
    assert any(line.startswith("rule add from 192.168.100.101 ") for line in commands)
    again = attach.attach_commands(SERVICE, cell, rules=["192.168.100.101"])
    assert not any(line.startswith("rule") for line in again)


def test_the_last_cell_is_chosen_again(tmp_path: Path) -> None:
    cells = attach.find_cells(CONFIGURED, [IN_CELL1, IN_CELL2], {})
    state = tmp_path / "cell"
    assert attach.choose(None, cells, state).name == "cell1"
    state.write_text("cell2\n")
    assert attach.choose(None, cells, state).name == "cell2"
    assert attach.choose("cell1", cells, state).name == "cell1"
    state.write_text("a-cell-of-old\n")
    assert attach.choose(None, cells, state).name == "cell1"


def test_an_unknown_cell_is_refused_by_name(tmp_path: Path) -> None:
    cells = attach.find_cells(CONFIGURED, [IN_CELL1], {})
    with pytest.raises(attach.AttachError, match=r"unknown cell 'cell2'.*: cell1$") as refused:
        attach.choose("cell2", cells, tmp_path / "cell")
    assert refused.value.status == 2


@pytest.mark.parametrize("content", [None, "", "{}", '{"service_address": "no", "cells": {}}'])
def test_a_configuration_that_cannot_be_used_is_named(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "cells.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(attach.AttachError, match=str(path)) as refused:
        attach.read_config(path)
    assert refused.value.status == 2
