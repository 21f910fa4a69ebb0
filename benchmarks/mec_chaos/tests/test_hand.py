# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the app writes is what the host reads: beats, and notes that change."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest

PACKAGE = Path(__file__).parents[1]


def load(path: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(Path(path).stem, PACKAGE / path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


BEATING = """
import pathlib, sys
sys.path.insert(0, sys.argv[1])
import journal
journal.BEATS, journal.RING = pathlib.Path(sys.argv[2]), 16
journal.Instance()._beat()
"""


def test_beats_are_read_while_they_are_written(tmp_path: Path) -> None:
    hand = load("programs/hand.py")
    began_s = time.monotonic()
    command = [sys.executable, "-c", BEATING, str(PACKAGE / "journal"), str(tmp_path)]
    with subprocess.Popen(command) as app:
        while not (found := list(tmp_path.glob("beats-*"))) or found[0].stat().st_size <= 8:
            time.sleep(0.001)
        ring, beats = hand.Ring(found[0]), []
        for _ in range(20):
            time.sleep(0.02)
            beats += ring.fresh()
        app.kill()
    beats += ring.fresh()
    assert len(beats) > 20
    assert len({name for name, _ in beats}) == 1
    times = [at_s for _, at_s in beats]
    assert times == sorted(times)
    assert began_s <= times[0] and times[-1] <= time.monotonic()


def test_a_ring_that_went_round_gives_what_is_left(tmp_path: Path) -> None:
    hand = load("programs/hand.py")
    path = tmp_path / "beats-one"
    path.write_bytes(hand.struct.pack("=Q4d", 6, 5.0, 6.0, 3.0, 4.0))
    assert hand.Ring(path).fresh() == [["one", 3.0], ["one", 4.0], ["one", 5.0], ["one", 6.0]]


CHANGING_USER = """
import os, pathlib, struct, time
time.sleep(0.3)
os.setuid(54321)
path = pathlib.Path("/dev/shm", f"beats-{os.getpid()}")
path.write_bytes(struct.pack("=Qd", 1, 7.0))
print("there", flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="changes its user")
def test_an_instance_that_began_as_another_user_is_heard(
    capsys: pytest.CaptureFixture[str],
) -> None:
    beats = load("programs/hand.py").Beats(54321)
    command = [sys.executable, "-c", CHANGING_USER]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as app:
        for _ in range(10):
            beats.tell()
            time.sleep(0.01)
        assert app.stdout is not None and app.stdout.readline() == "there\n"
        beats.tell()
        app.kill()
    Path("/dev/shm", f"beats-{app.pid}").unlink()  # noqa: S108
    assert json.loads(capsys.readouterr().out) == {"beats": [[f"{app.pid}", 7.0]]}


def test_a_change_of_a_note_is_told_once_and_leases_are_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hand = load("programs/hand.py")
    notes = hand.Notes([tmp_path / "app", tmp_path / "decision"])
    notes.tell()
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "instance.json").write_text('{"state": "prepared"}')
    (tmp_path / "app" / "lease.json").write_text("{}")
    notes.tell()
    notes.tell()
    (tmp_path / "app" / "instance.json").unlink()
    notes.tell()
    (tmp_path / "decision").write_text("worker1\n")
    notes.tell()
    (tmp_path / "decision.new").write_text("worker1\n")
    (tmp_path / "decision.new").replace(tmp_path / "decision")
    notes.tell()
    (tmp_path / "decision").write_text("worker1\n")
    notes.tell()
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(each["file"], each["text"]) for each in said] == [
        ("instance.json", '{"state": "prepared"}'),
        ("instance.json", ""),
        ("decision", "worker1"),
    ]


def test_an_entry_is_durable_in_three_places_and_a_torn_line_is_closed(tmp_path: Path) -> None:
    app = load("journal/journal.py")
    journal = app.Journal(tmp_path)
    assert journal.note("run", "1-1") == len("1-1\n")
    with (tmp_path / "journal" / "run").open("ab") as file:
        file.write(b"1-")
    end = journal.note("run", "1-2")
    content = (tmp_path / "journal" / "run").read_bytes()
    assert content == b"1-1\n1-\n1-2\n" and end == len(content)
    slots = journal.slots()
    for kind in ("file", "mapped"):
        assert slots[kind][app.slot_of("1-2")] == "1-2"


def test_what_is_churned_is_whole_and_what_is_not_is_complained_of(tmp_path: Path) -> None:
    app = load("journal/journal.py")
    journal = app.Journal(tmp_path)
    for _ in range(200):
        journal.churn()
    assert list(journal.complaints()) == []
    first, second = sorted((tmp_path / "churned").glob("whole-*"))[:2]
    (first / "1").unlink()
    (second / "1").write_bytes(b"\0" * app.FILE_BYTES)
    assert len(list(journal.complaints())) == 2
