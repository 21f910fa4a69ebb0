"""How strong each cell is at a place: path loss, shadowing, and the report of a measurement.

Path loss is that of 3GPP TR 38.901, Table 7.4.1-1, with line of sight, for an urban micro cell in
a street canyon (UMi) or an urban macro cell (UMa):

    PL1 = A + B log10(d3D) + 20 log10(fc)
    PL2 = A + 40 log10(d3D) + 20 log10(fc) - C log10(dBP^2 + (hBS - hUT)^2)

PL1 holds up to the breakpoint dBP = 4 (hBS - 1) (hUT - 1) fc / c, PL2 beyond it. Distances and
heights are in m, the carrier is in GHz (in Hz for dBP).

Shadowing is normal in dB, with the correlation exp(-d / correlation distance) of equation 7.4-5. It
is a sum of plane waves, which makes it a function of the place: a UE that comes by again finds it
as it was, however often it measures. X. Cai and G. B. Giannakis, "A two-dimensional channel
simulation model for shadowing processes", IEEE Trans. Veh. Technol. 52 (2003), is the idea; the
waves are drawn at random from the spectrum of that correlation.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .geo import Position, distance_m, offset_m

_LIGHT_MPS = 299_792_458.0
# The model is fitted from 10 m on; nearer, a cell is as strong as there.
_NEAREST_M = 10.0
_WAVES = 100


class CellsError(Exception):
    """The description of the cells cannot be used; the message names what is wrong."""


@dataclass(frozen=True)
class Environment:
    """One row of TR 38.901: path loss, height of the base station, and shadowing.

    `sigma_db` is of Table 7.4.1-1, `correlation_m` of Table 7.5-6.
    """

    constant_db: float
    slope_db: float
    breakpoint_db: float
    base_station_m: float
    sigma_db: float
    correlation_m: float


ENVIRONMENTS = {
    "umi": Environment(32.4, 21.0, 9.5, 10.0, 4.0, 10.0),
    "uma": Environment(28.0, 22.0, 9.0, 25.0, 4.0, 37.0),
}


@dataclass(frozen=True)
class Cell:
    """A cell.

    range_m: it is not heard further away. power_dbm: what it radiates in a resource element towards
    the UE, antenna gain included.
    """

    name: str
    position: Position
    range_m: float = 2000.0
    power_dbm: float = 18.0


@dataclass(frozen=True)
class Report:
    """What a UE measured: the serving cell, and the signal (RSRP) of each cell that is heard."""

    time_s: float
    serving: str
    signal_dbm: Mapping[str, float]


def path_loss_db(
    ground_m: float, environment: Environment, carrier_hz: float, ue_height_m: float
) -> float:
    """The path loss at a distance on the ground (equations: see above)."""
    height_m = environment.base_station_m - ue_height_m
    distance = math.hypot(max(ground_m, _NEAREST_M), height_m)
    breakpoint_m = (
        4 * (environment.base_station_m - 1) * (ue_height_m - 1) * carrier_hz / _LIGHT_MPS
    )
    carrier_db = environment.constant_db + 20 * math.log10(carrier_hz / 1e9)
    if ground_m <= breakpoint_m:
        return carrier_db + environment.slope_db * math.log10(distance)
    return (
        carrier_db
        + 40 * math.log10(distance)
        - environment.breakpoint_db * math.log10(breakpoint_m**2 + height_m**2)
    )


class Shadowing:
    """What buildings add to the path loss of a cell, as a function of the place and of the seed."""

    def __init__(self, cell: Position, sigma_db: float, correlation_m: float, seed: str) -> None:
        self._cell = cell
        draw = random.Random(seed)  # noqa: S311 - a simulation is to be repeatable
        self._amplitude_db = sigma_db * math.sqrt(2 / _WAVES)
        self._waves = [_wave(draw, correlation_m) for _ in range(_WAVES)]

    def at(self, position: Position) -> float:
        """What the place adds to the path loss, in dB."""
        if self._amplitude_db == 0:
            return 0.0
        north_m, east_m = offset_m(self._cell, position)
        return self._amplitude_db * math.fsum(
            math.cos(to_north * north_m + to_east * east_m + phase)
            for to_north, to_east, phase in self._waves
        )


def _wave(draw: random.Random, correlation_m: float) -> tuple[float, float, float]:
    # In the plane the spectrum of exp(-d / D) is that of Student's t with one degree of freedom.
    scale = correlation_m * abs(draw.gauss(0, 1))
    return draw.gauss(0, 1) / scale, draw.gauss(0, 1) / scale, draw.uniform(0, 2 * math.pi)


class Radio:
    """The cells as a UE hears them.

    Args:
        cells: those that there are.
        environment: a name of ENVIRONMENTS.
        shadowing_db: standard deviation of the shadowing; None: as the environment has it.
        seed: of the shadowing; every cell has its own.
    """

    def __init__(
        self,
        cells: Mapping[str, Cell],
        environment: str = "umi",
        *,
        carrier_hz: float = 3.5e9,
        ue_height_m: float = 1.5,
        shadowing_db: float | None = 0.0,
        seed: int = 0,
    ) -> None:
        self.cells = cells
        self._environment = ENVIRONMENTS[environment]
        self._carrier_hz = carrier_hz
        self._ue_height_m = ue_height_m
        sigma_db = self._environment.sigma_db if shadowing_db is None else shadowing_db
        self._shadowing = {
            name: Shadowing(
                cell.position, sigma_db, self._environment.correlation_m, f"{seed} {name}"
            )
            for name, cell in cells.items()
        }

    def signal_dbm(self, position: Position) -> dict[str, float]:
        """The signal of each cell that is heard at a place."""
        signals = {}
        for name, cell in self.cells.items():
            ground_m = distance_m(cell.position, position)
            if ground_m <= cell.range_m:
                loss_db = path_loss_db(
                    ground_m, self._environment, self._carrier_hz, self._ue_height_m
                )
                signals[name] = cell.power_dbm - loss_db - self._shadowing[name].at(position)
        return signals

    def strongest(self, position: Position) -> str | None:
        """The cell that a UE attaches to first at a place; None where none is heard."""
        signals = self.signal_dbm(position)
        return max(signals, key=signals.__getitem__, default=None)


def read_cells(file: Path) -> dict[str, Cell]:
    """The cells of a file such as the role ue writes: `cells`, each with `lat` and `lon`.

    Raises:
        CellsError: names the cell that cannot be used.
    """
    try:
        described: dict[str, dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))["cells"]
        return {name: _cell(name, settings) for name, settings in described.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CellsError(f"{file} does not describe cells: {error}") from error


def _cell(name: str, settings: Mapping[str, Any]) -> Cell:
    if "lat" not in settings or "lon" not in settings:
        raise CellsError(f"cell {name!r} has no lat and lon: where it stands has to be known")
    optional = {key: float(settings[key]) for key in ("range_m", "power_dbm") if key in settings}
    return Cell(name, Position(float(settings["lat"]), float(settings["lon"])), **optional)
