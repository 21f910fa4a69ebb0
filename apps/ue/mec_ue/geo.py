"""Places on the earth, taken as a sphere: distances are wrong by 0.5 % at most.

Formulas: R. W. Sinnott, "Virtues of the Haversine", Sky and Telescope 68 (1984), for the distance;
the point between two others lies on their great circle (spherical linear interpolation).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

# The mean radius (IUGG).
EARTH_RADIUS_M = 6_371_008.8


@dataclass(frozen=True)
class Position:
    """A place in degrees (WGS 84); raises ValueError for one that is not on the earth."""

    lat: float
    lon: float

    def __post_init__(self) -> None:
        # Comparisons with NaN are false, so it is refused, too.
        if not -90 <= self.lat <= 90:
            raise ValueError(f"latitude {self.lat} is not within -90 to 90")
        if not -180 <= self.lon <= 180:
            raise ValueError(f"longitude {self.lon} is not within -180 to 180")


def distance_m(a: Position, b: Position) -> float:
    """The distance along the great circle."""
    return EARTH_RADIUS_M * _angle(a, b)


def heading_deg(a: Position, b: Position) -> float:
    """The course in `a` towards `b`: 0 is north, 90 east; below 360."""
    lat_a, lat_b = math.radians(a.lat), math.radians(b.lat)
    delta = math.radians(b.lon - a.lon)
    east = math.sin(delta) * math.cos(lat_b)
    north = math.cos(lat_a) * math.sin(lat_b) - math.sin(lat_a) * math.cos(lat_b) * math.cos(delta)
    # The second remainder: that of a tiny negative angle is 360.0.
    return math.degrees(math.atan2(east, north)) % 360.0 % 360.0


def between(a: Position, b: Position, fraction: float) -> Position:
    """The place on the great circle from `a` (fraction 0) to `b` (fraction 1).

    Between opposite points of the earth every great circle would do; one of them is taken.
    """
    angle = _angle(a, b)
    if fraction <= 0 or math.sin(angle) == 0:
        return a
    if fraction >= 1:
        return b
    from_a = math.sin((1 - fraction) * angle) / math.sin(angle)
    from_b = math.sin(fraction * angle) / math.sin(angle)
    (ax, ay, az), (bx, by, bz) = _vector(a), _vector(b)
    x, y, z = from_a * ax + from_b * bx, from_a * ay + from_b * by, from_a * az + from_b * bz
    return Position(
        math.degrees(math.atan2(z, math.hypot(x, y))),
        math.degrees(math.atan2(y, x)),
    )


def offset_m(origin: Position, position: Position) -> tuple[float, float]:
    """How far north and how far east of `origin` a place is, on the plane that touches it there.

    Good for the few kilometres of a cell.
    """
    east_deg = (position.lon - origin.lon + 180.0) % 360.0 - 180.0
    parallel_m = EARTH_RADIUS_M * math.cos(math.radians(origin.lat))
    return (
        EARTH_RADIUS_M * math.radians(position.lat - origin.lat),
        parallel_m * math.radians(east_deg),
    )


def _angle(a: Position, b: Position) -> float:
    lat_a, lat_b = math.radians(a.lat), math.radians(b.lat)
    half_lat = (lat_b - lat_a) / 2
    half_lon = math.radians(b.lon - a.lon) / 2
    h = math.sin(half_lat) ** 2 + math.cos(lat_a) * math.cos(lat_b) * math.sin(half_lon) ** 2
    return 2 * math.asin(math.sqrt(min(1.0, h)))


def _vector(position: Position) -> tuple[float, float, float]:
    lat, lon = math.radians(position.lat), math.radians(position.lon)
    return math.cos(lat) * math.cos(lon), math.cos(lat) * math.sin(lon), math.sin(lat)
