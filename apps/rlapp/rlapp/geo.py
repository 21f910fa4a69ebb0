"""Distances on the Earth."""

from __future__ import annotations

from math import asin, cos, radians, sin, sqrt

_EARTH_M = 6_371_008.8


def distance_m(lat: float, lon: float, other_lat: float, other_lon: float) -> float:
    """The great-circle distance (haversine), right to 0.5 % of what an ellipsoid gives."""
    phi, other_phi = radians(lat), radians(other_lat)
    across, along = (other_phi - phi) / 2, radians(other_lon - lon) / 2
    chord = sin(across) ** 2 + cos(phi) * cos(other_phi) * sin(along) ** 2
    return 2 * _EARTH_M * asin(min(1.0, sqrt(chord)))
