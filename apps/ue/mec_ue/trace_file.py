"""Traces in files: GPX, GeoJSON, and CSV with `time,lat,lon`.

A file may come from anywhere. It is refused when it is too large, when a place is not on the
earth, and, as XML, when it has a document type: without one there are no entities to expand, and
nothing outside of the file is read.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn
from xml.etree import ElementTree

from .geo import Position
from .trace import Trace, TraceError

MAX_FILE_BYTES = 16 * 2**20
MAX_POINTS = 200_000

# A point as it is read; the time is None in a file that has none.
_Point = tuple[Position, float | None]


def read_trace(file: Path, speed_mps: float | None = None) -> Trace:
    """Read a trace.

    Args:
        file: a `.gpx`, `.geojson`, `.json` or `.csv` file.
        speed_mps: moves with this speed; None: as the file's times say.

    Raises:
        TraceError: names the file, and what is wrong with it.
    """
    reader = _READERS.get(file.suffix.lower())
    if reader is None:
        known = ", ".join(_READERS)
        raise TraceError(f"{file}: a trace is one of {known}, and not {file.suffix or 'nameless'}")
    try:
        return _trace(reader(_text(file)), speed_mps)
    except OSError as error:
        raise TraceError(f"{file}: {error.strerror}") from error
    except (TraceError, ValueError) as error:
        raise TraceError(f"{file}: {error}") from error


def _text(file: Path) -> str:
    with file.open("rb") as opened:
        content = opened.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise TraceError(f"it is larger than {MAX_FILE_BYTES // 2**20} MiB")
    return content.decode("utf-8-sig")


def _trace(points: Sequence[_Point], speed_mps: float | None) -> Trace:
    if len(points) > MAX_POINTS:
        raise TraceError(f"it has more than {MAX_POINTS} points")
    positions = [position for position, _ in points]
    if speed_mps is not None:
        return Trace.at_speed(positions, speed_mps)
    times_s = [time_s for _, time_s in points if time_s is not None]
    if len(times_s) < len(points):
        some = "not at every point" if times_s else "at no point"
        raise TraceError(f"it has a time {some}; give a speed")
    return Trace(positions, times_s)


class _Builder(ElementTree.TreeBuilder):
    """Builds the tree of an XML document, unless that declares a document type."""

    def doctype(self, _name: str, _public: str | None, _system: str | None) -> NoReturn:
        """Called by the parser before it has read any entity of the document type."""
        raise TraceError("it declares a document type, which no GPX file needs")


def _read_gpx(text: str) -> list[_Point]:
    parser = ElementTree.XMLParser(target=_Builder())  # noqa: S314 - see _Builder
    try:
        parser.feed(text)
        root = parser.close()
    except ElementTree.ParseError as error:
        raise TraceError(f"it is not XML: {error}") from error
    if _local(root) != "gpx":
        raise TraceError(f"it is not GPX: its root is <{_local(root)}>")
    # A track, in however many segments; without one, a route.
    for kind in ("trkpt", "rtept"):
        elements = [element for element in root.iter() if _local(element) == kind]
        if elements:
            return [_gpx_point(number, element) for number, element in enumerate(elements, 1)]
    raise TraceError("it has neither a track nor a route")


def _gpx_point(number: int, element: ElementTree.Element) -> _Point:
    time = next((child.text for child in element if _local(child) == "time"), None)
    return _point(number, element.get("lat"), element.get("lon"), time)


def _local(element: ElementTree.Element) -> str:
    # GPX 1.0 and 1.1 have namespaces of their own.
    return element.tag.rpartition("}")[2]


def _read_geojson(text: str) -> list[_Point]:
    try:
        document = json.loads(text, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise TraceError("it is nested too deeply") from error
    lines = _line_strings(document)
    if len(lines) != 1:
        raise TraceError(f"it has {len(lines)} LineStrings, and not one")
    coordinates, times = lines[0]
    if not isinstance(coordinates, list):
        raise TraceError("its LineString has no list of coordinates")
    if not isinstance(times, list):
        times = [None] * len(coordinates)
    if len(times) != len(coordinates):
        raise TraceError(f"it has {len(times)} times for {len(coordinates)} points")
    points = []
    for number, (place, time) in enumerate(zip(coordinates, times, strict=True), 1):
        if not isinstance(place, list) or len(place) < 2:
            raise TraceError(f"point {number}: {place!r:.40} is not [lon, lat]")
        points.append(_point(number, place[1], place[0], time))
    return points


def _line_strings(document: Any) -> list[tuple[Any, Any]]:
    """Coordinates and times of each LineString; GeoJSON has no times, tools put them beside it."""
    if not isinstance(document, dict):
        raise TraceError("it is not GeoJSON: not an object")
    if document.get("type") == "FeatureCollection":
        features = document.get("features")
        if not isinstance(features, list):
            raise TraceError("its FeatureCollection has no list of features")
        return [line for feature in features for line in _line_strings(feature)]
    if document.get("type") == "LineString":
        return [(document.get("coordinates"), None)]
    geometry, properties = document.get("geometry"), document.get("properties")
    if not isinstance(geometry, dict) or geometry.get("type") != "LineString":
        return []
    times = properties.get("coordTimes") if isinstance(properties, dict) else None
    return [(geometry.get("coordinates"), times)]


def _refuse_constant(name: str) -> NoReturn:
    raise TraceError(f"{name} is no number of JSON")


def _read_csv(text: str) -> list[_Point]:
    rows = csv.DictReader(text.splitlines(), strict=True)
    try:
        missing = {"time", "lat", "lon"} - set(rows.fieldnames or ())
        if missing:
            raise TraceError(f"its header lacks {', '.join(sorted(missing))}")
        return [
            _point(number, row["lat"], row["lon"], row["time"] or None)
            for number, row in enumerate(rows, 1)
        ]
    except csv.Error as error:
        raise TraceError(f"it is not CSV: {error}") from error


def _point(number: int, lat: object, lon: object, time: object) -> _Point:
    try:
        return Position(_number(lat), _number(lon)), None if time is None else _time_s(time)
    except ValueError as error:
        raise TraceError(f"point {number}: {error}") from error


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"{value!r:.40} is not a number")
    try:
        return float(value)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{value!r:.40} is not a number") from error


def _time_s(value: object) -> float:
    """A time: RFC 3339 (UTC where it names no zone), or a number of seconds."""
    try:
        seconds = _number(value)
    except ValueError:
        return _timestamp_s(value)
    if not math.isfinite(seconds):
        raise ValueError(f"{value!r:.40} is not a time")
    return seconds


def _timestamp_s(value: object) -> float:
    try:
        time = datetime.fromisoformat(str(value).strip())
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{value!r:.40} is not a time") from error


_READERS: dict[str, Callable[[str], list[_Point]]] = {
    ".gpx": _read_gpx,
    ".geojson": _read_geojson,
    ".json": _read_geojson,
    ".csv": _read_csv,
}
# How the name of a file ends whose format is known.
SUFFIXES = frozenset(_READERS)
