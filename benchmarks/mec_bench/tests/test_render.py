# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report as files."""

from __future__ import annotations

from pathlib import Path

from mec_bench.render import write
from mec_bench.summary import summary
from mec_bench.sweeps import SWEEPS
from mec_bench.tests.synthetic import KNOWN, rounds, sample


def _samples():
    found = [
        *rounds("standby-proactive", [0.02, 0.03, 0.022]),
        *rounds("script", [1.5, 1.4, 1.6]),
        sample("script", 4, error="<b>status 1</b>"),
    ]
    for name in ("files", "return", "apps"):
        found += [
            sample("standby-proactive", sweep=name, row=row, downtime_s=0.01)
            for row in SWEEPS[name].rows
        ]
    return found


def test_a_report_has_every_sweep_and_plot(tmp_path: Path):
    files = write(tmp_path, summary(_samples(), KNOWN))
    assert {file.name for file in files if file.suffix == ".svg"} == {
        "schemes-gaps.svg",
        "files-longest-gap.svg",
        "return-backbone.svg",
        "apps-downtime.svg",
        "apps-longest-gap.svg",
    }
    html = (tmp_path / "report.html").read_text()
    for name in ("schemes", "files", "return", "apps"):
        assert f'id="sweep-{name}"' in html
    assert html.count("<svg") == 5


def test_what_a_scheme_printed_is_text(tmp_path: Path):
    write(tmp_path, summary(_samples(), KNOWN))
    assert "<b>status 1</b>" not in (tmp_path / "report.html").read_text()
    assert "&lt;b&gt;status 1" in (tmp_path / "report.html").read_text()


def test_the_same_samples_give_the_same_report(tmp_path: Path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write(tmp_path / name, summary(_samples(), KNOWN))
    one, two = (sorted((tmp_path / name).rglob("*.*")) for name in ("one", "two"))
    assert [file.read_bytes() for file in one] == [file.read_bytes() for file in two]
