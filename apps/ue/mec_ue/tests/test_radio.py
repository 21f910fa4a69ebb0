"""How strong cells are."""

from __future__ import annotations

import json
import math
import statistics
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mec_ue.geo import Position
from mec_ue.radio import (
    ENVIRONMENTS,
    Cell,
    CellsError,
    Radio,
    Shadowing,
    path_loss_db,
    read_cells,
)

PLACE = Position(37.5, 127.03)
METRE_DEG = 1 / 111_195


def east(metres: float) -> Position:
    """So far east of PLACE."""
    return Position(PLACE.lat, PLACE.lon + metres * METRE_DEG / math.cos(math.radians(PLACE.lat)))


@pytest.mark.parametrize(
    ("environment", "ground_m", "loss_db"),
    [
        # By hand, at 3.5 GHz and 1.5 m: 32.4 + 21 log10(100.36) + 20 log10(3.5).
        ("umi", 100, 85.31),
        # Beyond 210.1 m: 32.4 + 40 log10(500.07) + 10.88 - 9.5 log10(210.1^2 + 8.5^2).
        ("umi", 500, 107.11),
        # 28 + 22 log10(201.38) + 10.88.
        ("uma", 200, 89.57),
    ],
)
def test_the_equations(environment: str, ground_m: float, loss_db: float) -> None:
    assert path_loss_db(ground_m, ENVIRONMENTS[environment], 3.5e9, 1.5) == pytest.approx(
        loss_db, abs=0.02
    )


@given(st.sampled_from(["umi", "uma"]), st.floats(0, 5000), st.floats(0, 100))
def test_further_away_it_is_never_stronger(environment: str, near_m: float, more_m: float) -> None:
    losses = [
        path_loss_db(at_m, ENVIRONMENTS[environment], 3.5e9, 1.5)
        for at_m in (near_m, near_m + more_m)
    ]
    # At the breakpoint the two equations of the standard meet to within some hundredths.
    assert losses[1] >= losses[0] - 0.05


def test_a_cell_is_heard_in_its_range() -> None:
    cell = Cell("cell1", PLACE, range_m=300)
    radio = Radio({"cell1": cell})
    assert radio.strongest(east(299)) == "cell1"
    assert radio.signal_dbm(east(301)) == {}
    assert radio.strongest(east(301)) is None


def test_the_nearer_of_equal_cells_is_stronger() -> None:
    radio = Radio({"cell1": Cell("cell1", PLACE), "cell2": Cell("cell2", east(500))})
    assert radio.strongest(east(200)) == "cell1"
    assert radio.strongest(east(300)) == "cell2"


def test_shadowing_is_as_wide_and_as_smooth_as_it_is_to_be() -> None:
    at_place, ten_metres_on = [], []
    for seed in range(400):
        shadowing = Shadowing(PLACE, 4.0, 10.0, str(seed))
        at_place.append(shadowing.at(PLACE))
        ten_metres_on.append(shadowing.at(east(10)))
    assert statistics.fmean(at_place) == pytest.approx(0, abs=0.6)
    assert statistics.pstdev(at_place) == pytest.approx(4, rel=0.12)
    assert statistics.correlation(at_place, ten_metres_on) == pytest.approx(math.exp(-1), abs=0.12)


def test_shadowing_belongs_to_the_place_the_cell_and_the_seed() -> None:
    cells = {name: Cell(name, PLACE) for name in ("cell1", "cell2")}
    once, again, other = (Radio(cells, shadowing_db=None, seed=seed) for seed in (1, 1, 2))
    assert once.signal_dbm(east(50)) == again.signal_dbm(east(50))
    assert once.signal_dbm(east(50)) != other.signal_dbm(east(50))
    assert len(set(once.signal_dbm(east(50)).values())) == 2
    along = [once.signal_dbm(east(metres))["cell1"] for metres in range(50, 60)]
    assert all(abs(a - b) < 12 for a, b in pairwise(along))


def test_cells_are_read_as_the_role_writes_them(tmp_path: Path) -> None:
    file = tmp_path / "cells.json"
    cell = {"network": "192.168.0.0/24", "gateway": "192.168.0.11", "lat": 37.5, "lon": 127.03}
    file.write_text(json.dumps({"cells": {"cell1": {**cell, "range_m": 300}}}), encoding="utf-8")
    assert read_cells(file) == {"cell1": Cell("cell1", PLACE, range_m=300)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "does not describe cells"),
        ("{}", "does not describe cells"),
        ('{"cells": ["cell1"]}', "does not describe cells"),
        ('{"cells": {"cell1": {}}}', "cell 'cell1' has no lat and lon"),
        ('{"cells": {"cell1": {"lat": 91, "lon": 0}}}', "latitude 91"),
    ],
)
def test_what_is_wrong_with_cells_is_named(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "cells.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(CellsError, match=message):
        read_cells(file)
