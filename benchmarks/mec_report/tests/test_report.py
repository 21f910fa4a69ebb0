# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report as files: well-formed, complete in itself, and the same again."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import pytest
from mec_report import __main__ as command
from mec_report import units
from mec_report.folder import read
from mec_report.plots import plots
from mec_report.render import html, markdown, write
from mec_report.summary import summary
from mec_report.tests import synthetic

VOID = {"meta", "br", "hr", "img", "link", "input"}


class Page(HTMLParser):
    """Checks that what is opened is closed, and gathers what tests look at."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.links, self.text = [], [], [], []
        self.tags = set()
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.handle_startendtag(tag, attributes)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.add(tag)
        found = dict(attributes)
        self.ids += [found["id"]] if "id" in found else []
        self.links += [found[name] for name in ("href", "src", "xlink:href") if name in found]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def drawn(found):
    return plots(found)


@pytest.fixture(scope="module")
def page(found, drawn):
    return html(found, drawn)


def test_html_is_well_formed(page):
    parsed = Page(page)
    assert len(parsed.ids) == len(set(parsed.ids))
    assert {"header", "nav", "main", "section", "figure", "table", "caption"} <= parsed.tags
    assert "script" not in parsed.tags


def test_html_needs_nothing_else(page):
    parsed = Page(page)
    assert all(link.startswith("#") for link in parsed.links)
    assert {link[1:] for link in parsed.links} <= set(parsed.ids)
    assert not re.search(r"@import|url\((?!#)", page)
    # Names of XML namespaces are no addresses.
    assert "http" not in re.sub(r'xmlns(:\w+)?="[^"]*"', "", page)


def test_what_folders_say_stays_text(page, found, drawn):
    assert "A CPU &amp; &lt;more&gt;" in page
    assert "worker2: &lt;no answer&gt; | 503 &amp; more" in page
    assert "worker2: \\<no answer\\> \\| 503 \\& more" in markdown(found, drawn)


def test_environment_has_units(page):
    section = page[page.index('<section id="environment">') :]
    assert re.findall(r">(memory|hosts, haproxy|hold|cells|cold)</th><td[^>]*>(.*?)<", section) == [
        *(("memory", "8.0 GB"), ("hosts, haproxy", "2.6"), ("hold", "5 s")),
        *(("cells", "cell1, cell2"), ("cold", "yes")),
    ]


def test_all_plots(drawn):
    assert [plot.name for plot in drawn] == [
        *("downtime", "gaps", "timeline-proactive", "timeline-reactive"),
        *("timeline-reactive-paper", "bytes", "replay-downtime", "replay-bytes"),
    ]
    for plot in drawn:
        root = ET.fromstring(plot.svg)  # noqa: S314, own SVG
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert "<metadata" not in plot.svg


def test_every_relocation_is_listed(page, found):
    for relocation in found["relocations"]:
        assert relocation["id"] in page


def test_files_are_written_and_the_same_again(full, tmp_path):
    first = summary(read(full))
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots" / "timeline-gone.svg").write_text("")
    files = write(tmp_path, first)
    contents = {file: file.read_bytes() for file in files}
    assert {str(file.relative_to(tmp_path)) for file in files} >= {
        *("summary.json", "report.md", "report.html", "plots/gaps.svg"),
    }
    assert not (tmp_path / "plots" / "timeline-gone.svg").exists()
    write(tmp_path, summary(read(full)))
    assert {file: file.read_bytes() for file in files} == contents


def test_links_of_the_markdown_lead_to_files(found, drawn):
    text = markdown(found, drawn)
    links = re.findall(r"\]\((.*?)\)", text)
    assert links == [f"plots/{plot.name}.svg" for plot in drawn]
    assert "\n\n\n" not in text


def test_tables_of_the_markdown_are_even(found, drawn):
    for block in markdown(found, drawn).split("\n\n"):
        rows = [line for line in block.splitlines() if line.startswith("|")]
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) <= 1


@pytest.mark.parametrize("outcome", ["completed", "aborted"])
def test_a_folder_with_little_in_it(tmp_path, outcome, capsys):
    builder = synthetic.Builder(tmp_path / "little")
    builder.relocate("proactive", outcome=outcome, probed=False)
    builder.relocations[0]["phases"] = []
    folder = builder.write()
    assert command.main([str(folder)]) == 0
    Page((folder / "report.html").read_text())
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == str(folder / "summary.json")
    assert printed[-1] == str(folder / "report.html")
    assert sorted(folder.glob("plots/*")) == sorted(map(Path, printed[1:-2]))


def test_table_4(full, capsys):
    assert command.main(["--table4", str(full)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Table 4. Downtime of each repetition"
    assert lines[5].split() == [
        *("1", "0.503", "videoapp-1-c44cb848b-q4mf6", "172.18.233.255"),
        *("videoapp-2-7476c95669-62lgb", "172.18.182.75", "-", "-"),
    ]
    assert lines[10].split() == ["mean", "0.514"]
    assert "Pro-active" in lines
    assert "Re-active, the paper's order" in lines
    assert any(line.split()[:2] == ["3", "aborted"] for line in lines)
    assert not (full / "report.html").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "There is no folder"),
        ("", "has no relocations"),
        ("{}", "relocations.jsonl, line 1, field id: it is missing."),
    ],
)
def test_errors_are_one_line(tmp_path, capsys, content, message):
    folder = tmp_path / "run"
    if content is not None:
        folder.mkdir()
        (folder / "relocations.jsonl").write_text(content)
    assert command.main([str(folder)]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert message in printed.err
    assert printed.err.startswith("mec_report: ")
    assert printed.err.count("\n") == 1


def test_a_folder_that_cannot_be_written(tmp_path, capsys):
    builder = synthetic.Builder(tmp_path)
    builder.relocate("proactive")
    builder.write()
    (tmp_path / "plots").write_text("")
    assert command.main([str(tmp_path)]) == 1
    assert capsys.readouterr().err.endswith("plots: File exists.\n")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0, "0.0 ms"),
        (0.10417, "104.2 ms"),
        (0.99994, "999.9 ms"),
        (0.99996, "1.000 s"),
        (5.280428, "5.280 s"),
        (1234.5, "1,234.500 s"),
    ],
)
def test_seconds(value, text):
    assert units.seconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0, "0 B"),
        (999, "999 B"),
        (999.6, "1.0 kB"),
        (46_545, "46.5 kB"),
        (999_960, "1.0 MB"),
        (57_063_477, "57.1 MB"),
        (2.5e12, "2,500.0 GB"),
    ],
)
def test_size(value, text):
    assert units.size(value) == text


def test_other_units():
    assert [units.number(value) for value in (None, 3.0, 0.205, 12345)] == [
        *("-", "3", "0.20", "12,345"),
    ]
    assert [units.kept(value) for value in (None, True, False)] == ["-", "kept", "lost"]
    assert units.share({"failed": 0, "sent": 0}) == "-"
    assert units.share({"failed": 3, "sent": 12345}) == "3 of 12,345"
    assert units.kept_of({"kept": 4, "of": 5}) == "4 of 5"
    assert units.paper_seconds(0.0214) == "0.021"
