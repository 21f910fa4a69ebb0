"""Traces in files, good and hostile."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mec_ue import trace_file
from mec_ue.geo import Position
from mec_ue.trace import Trace, TraceError
from mec_ue.trace_file import read_trace

TRACES = Path(__file__).parents[2] / "traces"
GPX = """<?xml version="1.0" encoding="UTF-8"?>
<gpx version="1.1" xmlns="http://www.topografix.com/GPX/1/1"><trk>
<trkseg><trkpt lat="37.5" lon="127.0"><ele>1</ele><time>2026-01-01T00:00:00Z</time></trkpt></trkseg>
<trkseg><trkpt lat="37.501" lon="127.0"><time>2026-01-01T09:00:10+09:00</time></trkpt></trkseg>
</trk></gpx>"""
ROUTE = '<gpx><rte><rtept lat="37.5" lon="127"/><rtept lat="37.501" lon="127"/></rte></gpx>'
LINE = '{"type": "LineString", "coordinates": [[127.0, 37.5], [127.0, 37.501, 20]]}'
FEATURE = (
    f'{{"type": "Feature", "geometry": {LINE}, "properties": '
    '{"coordTimes": ["2026-01-01T00:00:00Z", "2026-01-01T00:00:10.000Z"]}}'
)
COLLECTION = f'{{"type": "FeatureCollection", "features": [{FEATURE}]}}'
STAMPED_CSV = (
    "\ufefflon,lat,time\r\n127,37.5,2026-01-01T00:00:00\r\n127,37.501,2026-01-01T00:00:10Z\r\n"
)
CSV = "time,lat,lon\n0,37.5,127.0\n10,37.501,127.0\n"


def read(folder: Path, suffix: str, text: str, speed_mps: float | None = None) -> Trace:
    """Read a trace from a file with this text."""
    file = folder / f"trace{suffix}"
    file.write_text(text, encoding="utf-8")
    return read_trace(file, speed_mps)


@pytest.mark.parametrize(
    ("suffix", "text"),
    [
        (".gpx", GPX),
        (".geojson", FEATURE),
        (".json", COLLECTION),
        (".csv", CSV),
        (".csv", STAMPED_CSV),
    ],
)
def test_each_format_says_the_same(tmp_path: Path, suffix: str, text: str) -> None:
    trace = read(tmp_path, suffix, text)
    assert trace.points == (Position(37.5, 127), Position(37.501, 127))
    assert trace.duration_s == 10


@pytest.mark.parametrize(
    ("suffix", "text"),
    [
        (".geojson", LINE),
        (".csv", "time,lat,lon\n,37.5,127.0\n,37.501,127.0\n"),
        (".gpx", ROUTE),
    ],
)
def test_without_times_it_needs_a_speed(tmp_path: Path, suffix: str, text: str) -> None:
    with pytest.raises(TraceError, match="time at no point; give a speed"):
        read(tmp_path, suffix, text)
    assert read(tmp_path, suffix, text, speed_mps=11.1).duration_s == pytest.approx(10, rel=0.01)


def test_a_speed_comes_before_the_times(tmp_path: Path) -> None:
    assert read(tmp_path, ".gpx", GPX, speed_mps=1.11).duration_s == pytest.approx(100, rel=0.01)


LAUGHS = (
    '<!DOCTYPE gpx [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    '<gpx><trk><trkseg><trkpt lat="&b;" lon="1"/></trkseg></trk></gpx>'
)
OUTSIDE = '<!DOCTYPE gpx SYSTEM "file:///etc/passwd"><gpx/>'


@pytest.mark.parametrize(
    ("suffix", "text", "message"),
    [
        (".kml", "<kml/>", "a trace is one of .gpx"),
        (".gpx", LAUGHS, "it declares a document type"),
        (".gpx", OUTSIDE, "it declares a document type"),
        (".gpx", "<gpx>", "it is not XML"),
        (".gpx", "<html/>", "its root is <html>"),
        (".gpx", "<gpx/>", "neither a track nor a route"),
        (".gpx", GPX.replace('lat="37.5"', 'lat="137.5"'), "point 1: latitude 137.5"),
        (".gpx", GPX.replace('lat="37.5"', ""), "point 1: None is not a number"),
        (".gpx", GPX.replace("09:00:10", "08:00:10"), "point 2: its time is not after"),
        (".gpx", GPX.replace("2026-01-01T00:00:00Z", "noon"), "point 1: 'noon' is not a time"),
        (".geojson", "[" * 100_000, "it is nested too deeply"),
        (".geojson", "[]", "not an object"),
        (".geojson", '{"type": "Point"}', "it has 0 LineStrings"),
        (".geojson", LINE.replace("37.5]", "NaN]"), "NaN is no number of JSON"),
        (".geojson", LINE.replace("37.5]", "true]"), "point 1: True is not a number"),
        (".geojson", LINE.replace("[127.0, 37.5]", "7"), r"point 1: 7 is not \[lon, lat\]"),
        (".geojson", FEATURE.replace('"2026-01-01T00:00:00Z", ', ""), "1 times for 2 points"),
        (".csv", "lat,lon\n1,2\n", "its header lacks time"),
        (".csv", "", "its header lacks lat, lon, time"),
        (".csv", CSV.replace("37.501", "nan"), "point 2: latitude nan"),
        (".csv", CSV.replace("10,", "inf,"), "point 2: 'inf' is not a time"),
        (".csv", CSV.replace("0,37.5,", ",37.5,"), "time not at every point"),
        (".csv", "time,lat,lon\n1\n", "point 1: None is not a number"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, suffix: str, text: str, message: str) -> None:
    with pytest.raises(TraceError, match=message) as raised:
        read(tmp_path, suffix, text)
    assert str(raised.value).startswith(str(tmp_path))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="No such file"):
        read_trace(tmp_path / "none.csv")


def test_what_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace_file, "MAX_FILE_BYTES", 2**20)
    with pytest.raises(TraceError, match="larger than 1 MiB"):
        read(tmp_path, ".csv", CSV + "\n" * 2**20)
    monkeypatch.setattr(trace_file, "MAX_POINTS", 1)
    with pytest.raises(TraceError, match="more than 1 points"):
        read(tmp_path, ".csv", CSV)


@given(st.sampled_from([".gpx", ".geojson", ".csv"]), st.binary(max_size=300))
def test_whatever_is_in_a_file_it_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, content: bytes
) -> None:
    file = tmp_path_factory.getbasetemp() / f"any{suffix}"
    file.write_bytes(content)
    with pytest.raises(TraceError):
        read_trace(file)


@pytest.mark.parametrize("file", sorted(TRACES.iterdir()), ids=lambda file: file.name)
def test_the_traces_that_come_along_can_be_read(file: Path) -> None:
    assert read_trace(file, speed_mps=10).duration_s > 30
