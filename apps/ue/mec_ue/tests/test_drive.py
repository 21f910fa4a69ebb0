"""A UE drives along a trace and tells of it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from mec_ue import drive as module
from mec_ue.attachment import AttachmentError, HostAttachment, SimulatedAttachment
from mec_ue.drive import Clock, Driver, drive, drivers_of, joined, parse
from mec_ue.geo import Position
from mec_ue.mobile import Mobile
from mec_ue.radio import Cell, CellsError, Radio
from mec_ue.trace_file import read_trace

LOOP = Path(__file__).parents[2] / "traces" / "loop.geojson"
CELLS = {
    "cell1": Cell("cell1", Position(37.4990, 127.0300)),
    "cell2": Cell("cell2", Position(37.5006, 127.0354)),
}


class Told:
    """Keeps what is told."""

    def __init__(self) -> None:
        self.locations: list[dict[str, Any]] = []
        self.handoffs: list[dict[str, Any]] = []

    def post(self, path: str, content: Mapping[str, Any], useful_s: float) -> None:
        """Keep it."""
        assert useful_s > 0
        kept = {"/api/locations": self.locations, "/api/handoffs": self.handoffs}
        kept[path].append(dict(content))


class Steps(Clock):
    """A clock that does not wait."""

    def next(self, time_s: float) -> float:
        """The next step."""
        return time_s + 0.2


def drive_round(attachment: SimulatedAttachment, **how: bool) -> Told:
    """One UE drives round at 10 m/s."""
    told = Told()
    mobile = Mobile(read_trace(LOOP, 10), Radio(CELLS))
    driver = Driver("ue1", mobile, attachment, told, begun_s=0.0, **how)
    drive([driver], Steps(0.2, 1), 1000)
    return told


def test_it_reports_where_it_is() -> None:
    told = drive_round(SimulatedAttachment("cell1"), moves=True)
    assert len(told.locations) == pytest.approx(172 / 0.6, rel=0.05)
    first, last = told.locations[0], told.locations[-1]
    assert first["ue"] == "ue1"
    assert datetime.fromisoformat(first["time"]).timestamp() == 0
    assert (first["lat"], first["lon"], first["cell"]) == (37.4985, 127.029, "cell1")
    assert first["speed_mps"] == 10
    assert first["signal_dbm"]["cell1"] > first["signal_dbm"]["cell2"]
    assert datetime.fromisoformat(last["time"]).timestamp() == pytest.approx(172, abs=2)


def test_it_changes_its_cell_by_itself_where_it_is_to() -> None:
    told = drive_round(SimulatedAttachment("cell1"), moves=True)
    cells = [location["cell"] for location in told.locations]
    changes = [b for a, b in pairwise(cells) if a != b]
    assert changes == ["cell2", "cell1"]
    assert told.handoffs == []


def test_it_asks_and_leaves_its_cell_to_others() -> None:
    told = drive_round(SimulatedAttachment("cell1"), asks=True)
    assert {location["cell"] for location in told.locations} == {"cell1"}
    keys = [handoff.pop("key") for handoff in told.handoffs]
    assert len(set(keys)) == len(keys) > 1
    assert told.handoffs[0] == {
        "ue": "ue1",
        "source_cell": "cell1",
        "target_cell": "cell2",
        "ho_status": "IN_EXECUTION",
    }


def test_what_others_changed_is_reported_at_once() -> None:
    told, attachment = Told(), SimulatedAttachment("cell1")
    mobile = Mobile(read_trace(LOOP, 10), Radio(CELLS))
    driver = Driver("ue1", mobile, attachment, told, begun_s=0.0, report_s=10)
    driver.tick(0.0)
    driver.tick(0.2)
    attachment.change("cell2")
    driver.tick(0.4)
    assert [location["cell"] for location in told.locations] == ["cell1", "cell2"]
    assert driver.handoffs == 1


def test_the_clock_leaves_steps_out_rather_than_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now_s[0])
    slept: list[float] = []
    monkeypatch.setattr(module.time, "sleep", slept.append)
    clock = Clock(0.2, 10)
    assert clock.next(0.0) == pytest.approx(0.2)
    assert slept == [pytest.approx(0.02)]
    now_s[0] += 0.1
    assert clock.next(0.2) == pytest.approx(1.2)
    steps, time_s = Clock(0.2, 1), 0.0
    for number in range(1, 1000):
        time_s = steps.next(time_s)
        assert time_s == pytest.approx(0.2 * number)


def cells_file(folder: Path, **settings: float) -> Path:
    """The cells, as the role writes them."""
    file = folder / "cells.json"
    cells = {
        name: {"lat": cell.position.lat, "lon": cell.position.lon, **settings}
        for name, cell in CELLS.items()
    }
    file.write_text(json.dumps({"cells": cells}), encoding="utf-8")
    return file


def options_for(cells: Path, *more: str) -> argparse.Namespace:
    """The options of a drive round the loop."""
    return parse([str(LOOP), "--cells", str(cells), "--speed-mps", "10", *more])


def test_many_are_simulated_along_the_trace(tmp_path: Path) -> None:
    told = Told()
    options = options_for(cells_file(tmp_path), "--simulate", "20", "--ue", "sim", "--loop")
    drivers = drivers_of(options, told)
    drive(drivers, Steps(0.2, 1), 172)
    assert {location["ue"] for location in told.locations} == {f"sim{n}" for n in range(1, 21)}
    # Two handoffs a round; who begins between the cells may count one more or less.
    assert all(1 <= driver.handoffs <= 3 for driver in drivers)


@pytest.mark.parametrize("cell", CELLS)
def test_a_round_is_joined_where_the_cell_of_the_ue_is_the_strongest(cell: str) -> None:
    radio, loop = Radio(CELLS), read_trace(LOOP, 10)
    trace = joined(loop, radio, cell)
    assert radio.strongest(trace.points[0]) == cell
    assert trace.duration_s == pytest.approx(loop.duration_s)
    assert joined(loop, radio, "cell3") is loop


def test_where_nothing_is_heard_nobody_begins(tmp_path: Path) -> None:
    options = options_for(cells_file(tmp_path, range_m=1), "--simulate", "1")
    with pytest.raises(CellsError, match="no cell is heard"):
        drivers_of(options, Told())


@pytest.mark.parametrize(
    "wrong", [["--simulate", "0"], ["--times-faster", "-1"], ["--report-s", "nan"]]
)
def test_options_that_make_no_sense_are_refused(wrong: list[str]) -> None:
    with pytest.raises(SystemExit):
        parse([str(LOOP), *wrong])


def test_the_cell_of_the_host_is_where_mec_ue_attach_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, program = tmp_path / "cell", tmp_path / "mec-ue-attach"
    attachment = HostAttachment(state)
    with pytest.raises(AttachmentError, match="made by the role ue"):
        attachment.cell()
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(AttachmentError, match="apply the role ue"):
        attachment.change("cell2")
    program.write_text(
        f'#!/bin/sh\n[ "$1" = cell2 ] || {{ echo no >&2; exit 2; }}\necho $1 >{state}\n'
    )
    program.chmod(0o755)
    attachment.change("cell2")
    assert attachment.cell() == "cell2"
    with pytest.raises(AttachmentError, match="no"):
        attachment.change("cell9")
