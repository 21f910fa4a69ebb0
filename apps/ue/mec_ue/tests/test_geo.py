"""Places on the earth."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mec_ue.geo import EARTH_RADIUS_M, Position, between, distance_m, heading_deg, offset_m

positions = st.builds(Position, st.floats(-89, 89), st.floats(-180, 180))


@pytest.mark.parametrize(
    ("lat", "lon"), [(90.1, 0), (-91, 0), (0, 181), (math.nan, 0), (0, math.nan), (math.inf, 0)]
)
def test_what_is_not_on_the_earth_is_refused(lat: float, lon: float) -> None:
    with pytest.raises(ValueError, match="is not within"):
        Position(lat, lon)


def test_a_quarter_of_the_equator() -> None:
    quarter_m = distance_m(Position(0, 0), Position(0, 90))
    assert quarter_m == pytest.approx(math.pi / 2 * EARTH_RADIUS_M)
    assert between(Position(0, 0), Position(0, 90), 0.5).lon == pytest.approx(45)


@pytest.mark.parametrize(
    ("lat", "lon", "heading"), [(1, 0, 0), (0, 1, 90), (-1, 0, 180), (0, -1, 270)]
)
def test_the_four_headings(lat: float, lon: float, heading: float) -> None:
    assert heading_deg(Position(0, 0), Position(lat, lon)) == pytest.approx(heading)


def test_over_the_date_line_it_is_near() -> None:
    west, east = Position(10, 179.999), Position(10, -179.999)
    assert distance_m(west, east) < 250
    assert 200 < offset_m(west, east)[1] < 250
    assert abs(between(west, east, 0.5).lon) == pytest.approx(180)


@given(positions, positions, st.floats(0, 1))
def test_a_point_between_divides_the_distance(a: Position, b: Position, fraction: float) -> None:
    whole_m = distance_m(a, b)
    if whole_m < math.pi * EARTH_RADIUS_M * 0.99:
        middle = between(a, b, fraction)
        assert distance_m(a, middle) == pytest.approx(fraction * whole_m, abs=0.5)
        assert distance_m(middle, b) == pytest.approx((1 - fraction) * whole_m, abs=0.5)


@given(positions, positions)
def test_a_heading_is_one(a: Position, b: Position) -> None:
    assert 0 <= heading_deg(a, b) < 360


@given(
    st.builds(Position, st.floats(-70, 70), st.floats(-180, 180)),
    st.floats(-0.02, 0.02),
    st.floats(-0.02, 0.02),
)
def test_near_by_the_plane_is_the_earth(origin: Position, north: float, east: float) -> None:
    lon = (origin.lon + east + 180) % 360 - 180
    position = Position(origin.lat + north, lon)
    assert math.hypot(*offset_m(origin, position)) == pytest.approx(
        distance_m(origin, position), rel=0.01, abs=0.1
    )
