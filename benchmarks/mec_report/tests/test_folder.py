# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Malformed folders: the error says where, and what is wrong."""

from __future__ import annotations

import json
import shutil

import pytest
from mec_report.folder import read
from mec_report.lines import FolderError
from mec_report.render import write
from mec_report.summary import summary
from mec_report.tests import synthetic


@pytest.fixture
def small(tmp_path):
    """A folder with two repetitions."""
    builder = synthetic.Builder(tmp_path / "run")
    builder.repeat("proactive", 1)
    builder.prepare(builder.repeat("proactive", 2), 5)
    builder.event("proactive", 1, [builder.relocations[0]["id"]], announced=True, came=True)
    return builder.write(synthetic.ENVIRONMENT)


def change(file, number, **fields):
    """Replace fields of a line; a field that is ... is removed."""
    lines = file.read_text().splitlines()
    value = {**json.loads(lines[number - 1]), **fields}
    lines[number - 1] = json.dumps({k: v for k, v in value.items() if v is not ...})
    file.write_text("\n".join(lines) + "\n")


def refusal(folder):
    with pytest.raises(FolderError) as caught:
        read(folder)
    return str(caught.value)


def test_a_folder_is_read(small):
    folder = read(small)
    assert folder.name == "run"
    assert len(folder.relocations) == len(folder.experiments) == 2
    assert folder.files["relocations.jsonl"] == 2
    assert sum(name.startswith("probe-") for name in folder.files) == 2


def test_no_folder(tmp_path):
    assert refusal(tmp_path / "none") == f"There is no folder {tmp_path / 'none'}."


@pytest.mark.parametrize("text", [None, "", "\n\n"])
def test_no_relocations(small, text):
    (small / "relocations.jsonl").unlink()
    if text is not None:
        (small / "relocations.jsonl").write_text(text)
    assert "has no relocations" in refusal(small)


def test_relocations_alone_are_enough(small):
    for file in small.iterdir():
        if file.name != "relocations.jsonl":
            file.unlink()
    folder = read(small)
    assert folder.experiments is folder.replay is folder.environment is None
    assert [relocation.client for relocation in folder.relocations] == [None, None]


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("relocations", {"downtime_s": ...}, "field downtime_s: it is missing"),
        ("relocations", {"downtime_s": None}, "field downtime_s: a completed relocation has one"),
        ("relocations", {"downtime_s": "0.1"}, "field downtime_s: a number is expected, not a"),
        ("relocations", {"downtime_s": True}, "field downtime_s: a number is expected, not true"),
        ("relocations", {"downtime_s": -0.1}, "field downtime_s: -0.1 is not a number from 0 up"),
        ("relocations", {"total_s": float("nan")}, "field total_s: nan is not a number from 0 up"),
        ("relocations", {"outcome": "done"}, "field outcome: 'done' is none of completed, aborted"),
        ("relocations", {"app": ""}, "field app: a text that is not empty is expected"),
        ("relocations", {"app": None}, "field app: a text that is not empty is expected, not null"),
        ("relocations", {"phases": {}}, "field phases: a list is expected, not an object"),
        ("relocations", {"phases": [7]}, "field phases[0]: an object is expected, not a number"),
        (
            "relocations",
            {"phases": [{"name": "hold", "start_s": 0, "duration_s": 0, "bytes": 1.5}]},
            "field phases[0], field bytes: 1.5 is not a whole number",
        ),
        ("relocations", {"client": {}}, "field client, field duration_s: it is missing"),
        ("relocations", {"source_instance": "x"}, "field source_instance: an object is expected"),
        ("experiments", {"repetition": "1"}, "field repetition: a number is expected, not a text"),
        ("experiments", {"session_kept": 1}, "field session_kept: true or false is expected"),
        ("experiments", {"handoff": "x"}, "field handoff: no relocation has the id 'x' and app"),
        ("experiments", {"watched": {}}, "field watched, field longest_stall_s: it is missing"),
        ("preparations", {"handoff": ...}, "field handoff: it is missing"),
        ("replay", {"ho_status": "rejected"}, "field ho_status: 'rejected' is none of completed"),
        ("replay", {"handoffs": [1]}, "field handoffs: a list of texts is expected"),
        ("replay", {"late_s": None}, "field late_s: a number is expected, not null"),
    ],
)
def test_a_malformed_field(small, name, fields, message):
    change(small / f"{name}.jsonl", 1, **fields)
    assert refusal(small).startswith(f"{name}.jsonl, line 1, {message}")


def test_the_line_is_named(small):
    change(small / "relocations.jsonl", 2, target=...)
    assert refusal(small) == "relocations.jsonl, line 2, field target: it is missing."


@pytest.mark.parametrize("text", ['{"id": ', "[1]", "7", "{} {}"])
def test_a_line_that_is_no_object(small, text):
    with (small / "experiments.jsonl").open("a") as file:
        file.write(f"\n{text}\n")
    assert refusal(small).startswith("experiments.jsonl, line 4: ")


def test_a_file_that_is_not_text(small):
    (small / "replay.jsonl").write_bytes(b"\xff\xfe")
    assert refusal(small) == "replay.jsonl is not UTF-8 at byte 0."


def test_a_file_that_cannot_be_read(small):
    (small / "replay.jsonl").unlink()
    (small / "replay.jsonl").mkdir()
    assert refusal(small).startswith("replay.jsonl cannot be read: ")


@pytest.mark.parametrize("text", ["[]", "{", "null"])
def test_a_malformed_environment(small, text):
    (small / "environment.json").write_text(text)
    assert refusal(small).startswith("environment.json")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("900,0.1,x,200,,a,0", "field duration_s: 'x' is no number from 0 up."),
        ("900,0.1,nan,200,,a,0", "field duration_s: 'nan' is no number from 0 up."),
        ("900,-1,0.1,200,,a,0", "field start_s: '-1' is no number from 0 up."),
        ("900,0.1,0.1,OK,,a,0", "field status: 'OK' is no number from 0 up."),
        ("x,0.1,0.1,200,,a,0", "field seq: 'x' is no number from 0 up."),
        ("900,0.1,0.1,200,,a,", "field retried: '' is no number from 0 up."),
        ("900,0.1,0.1,20", "7 fields are expected."),
        ("900,0.1,0.1,200,,a,0,more", "7 fields are expected."),
    ],
)
def test_a_malformed_sample(small, line, message):
    file = next(small.glob("probe-*.csv"))
    count = len(file.read_text().splitlines())
    with file.open("a") as out:
        out.write(line + "\n")
    place = f"{file.name}, line {count + 1}"
    assert refusal(small).startswith(place)
    assert refusal(small).endswith(message)


@pytest.mark.parametrize("text", ["", "seq,start_s\n1,2\n"])
def test_samples_with_other_columns(small, text):
    file = next(small.glob("probe-*.csv"))
    file.write_text(text)
    assert refusal(small).startswith(f"{file.name}, line 1: the columns are not seq,start_s,")


def test_a_handoff_tried_twice_counts_once_with_the_samples_of_the_last_attempt(small):
    lines = (small / "relocations.jsonl").read_text().splitlines()
    (small / "relocations.jsonl").write_text("\n".join([lines[0], *lines]) + "\n")
    change(small / "relocations.jsonl", 1, outcome="aborted", downtime_s=None, error="x")
    first, _ = read(small).relocations
    assert first.completed and first.client is not None


@pytest.mark.parametrize("outcome", ["completed", "aborted"])
def test_what_was_uncertain_counts_once_as_it_has_ended_since(small, outcome):
    file = small / "relocations.jsonl"
    lines = file.read_text().splitlines()
    file.write_text("\n".join([*lines, lines[0]]) + "\n")
    change(file, 1, outcome="uncertain", downtime_s=None, error="The host was lost.")
    change(file, 3, outcome=outcome, downtime_s=None, settled=True, error="It has ended since.")
    folder = read(small)
    assert [found.outcome for found in folder.relocations] == [outcome, "completed"]
    found = summary(folder)
    (series,) = found["series"]
    counted = {"count": 2, "completed": 1, "aborted": 0, "uncertain": 0}
    counted[outcome] += 1
    assert series["outcomes"] == counted
    assert series["figures"]["downtime_s"]["count"] == 1
    assert series["timeline"]["id"] == folder.relocations[1].id
    assert write(small, found)


def test_a_link_has_the_name_of_what_it_leads_to(small):
    link = small.parent / "latest"
    link.symlink_to(small.name)
    assert read(link).name == "run"
    shutil.rmtree(small)
    assert "There is no folder" in refusal(link)
