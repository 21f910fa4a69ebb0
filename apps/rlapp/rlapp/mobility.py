"""Where UEs are."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, replace
from typing import Any

from mec_ue.geo import distance_m

from .config import Config
from .events import Events
from .messages import HandoffMessage, Listener, Location, Predictor
from .store import Store, dumps

# A report that is older than the last by less than this came late; by more, the UE's clock or
# trace has begun anew.
_LATE_S = 30.0
OPERATION_STATUS = ("Serviceable", "Unserviceable", "Unknown")


class Silent:
    """Predicts nothing: handoffs come as messages."""

    def observe(self, location: Location) -> list[HandoffMessage]:
        """Nothing follows."""
        del location
        return []

    def expect(self, ue: str, cell: str) -> None:
        """Nothing is expected."""

    def learn(self, duration_s: float) -> None:
        """Nothing is announced early."""

    def summary(self) -> dict[str, Any]:
        """Nothing to tell."""
        return {}


class Mobility:
    """Keeps the last location of each UE, and the status of access points."""

    def __init__(
        self,
        config: Config,
        store: Store,
        events: Events,
        listener: Listener,
        predictor: Predictor | None = None,
    ) -> None:
        self._config = config
        self._store = store
        self._events = events
        self._listener = listener
        self._predictor = predictor or Silent()

    def report(self, location: Location) -> list[HandoffMessage]:
        """Take a UE's report; returns the handoffs that are to be expected.

        A report without a cell is given the nearest one within its range.
        """
        before = self.location(location.ue)
        if before is not None and 0 < before.time_s - location.time_s < _LATE_S:
            return []
        cell = location.cell or self._nearest_cell(location)
        self._keep(before, self._attached(location, cell))
        messages = self._predictor.observe(replace(location, cell=cell))
        if messages:
            self._events.publish("prediction", **self.prediction())
        return messages

    def move(self, ue: str, cell: str) -> None:
        """A UE was attached to a cell; where it stands has not changed with that."""
        before = self.location(ue)
        place = self._config.cells[cell]
        known = before or Location(ue, time.time(), place.lat, place.lon)
        if known.cell != cell:
            self._keep(before, self._attached(known, cell))

    def moving(self, ue: str, cell: str) -> None:
        """A UE is about to be attached to a cell."""
        self._predictor.expect(ue, cell)

    def prepared(self, duration_s: float) -> None:
        """It took so long from the announcement until everything was prepared."""
        self._predictor.learn(duration_s)

    def prediction(self) -> dict[str, Any]:
        """How well handoffs are predicted; empty where they are not."""
        return self._predictor.summary()

    def location(self, ue: str) -> Location | None:
        """The last that a UE has told."""
        row = self._store.row("SELECT * FROM ues WHERE name = ?", (ue,))
        return None if row is None else _location(row)

    def locations(self) -> list[Location]:
        """The last of all UEs that have told any, and that are still declared."""
        rows = self._store.rows("SELECT * FROM ues ORDER BY name")
        return [_location(row) for row in rows if row["name"] in self._config.ues]

    def status(self, access_point: str) -> str:
        """The operation status of an access point; it serves unless told otherwise."""
        row = self._store.row("SELECT status FROM access_points WHERE name = ?", (access_point,))
        return "Serviceable" if row is None else str(row["status"])

    def set_status(self, access_point: str, status: str) -> None:
        """An access point can be used, or cannot any more."""
        if status == self.status(access_point):
            return
        with self._store.transaction():
            self._store.execute(
                "INSERT INTO access_points VALUES (?, ?)"
                " ON CONFLICT (name) DO UPDATE SET status = excluded.status",
                (access_point, status),
            )
            self._events.publish("access_point", name=access_point, status=status)
            self._listener.access_point_changed(access_point, status)

    def _keep(self, before: Location | None, after: Location) -> None:
        fields = asdict(after)
        with self._store.transaction():
            self._store.execute(
                "INSERT INTO ues VALUES (:ue, :time_s, :lat, :lon, :speed_mps, :heading_deg, :cell,"
                " :access_point, :signal_dbm) ON CONFLICT (name) DO UPDATE SET"
                " time_s = excluded.time_s, lat = excluded.lat, lon = excluded.lon,"
                " speed_mps = excluded.speed_mps, heading_deg = excluded.heading_deg,"
                " cell = excluded.cell, access_point = excluded.access_point,"
                " signal_dbm = excluded.signal_dbm",
                {**fields, "signal_dbm": dumps(fields["signal_dbm"])},
            )
            # An event's own time is when it was heard of here: the UE's clock may be another.
            self._events.publish("location", reported_s=fields.pop("time_s"), **fields)
            self._listener.located(before, after)

    def _attached(self, location: Location, cell: str | None) -> Location:
        points = {} if cell is None else self._config.access_points(cell)
        nearest = min(
            points,
            key=lambda name: distance_m(location.position, points[name].position),
            default=None,
        )
        return replace(location, cell=cell, access_point=nearest)

    def _nearest_cell(self, location: Location) -> str | None:
        away = {
            name: distance_m(location.position, cell.position)
            for name, cell in self._config.cells.items()
        }
        near = [name for name in away if away[name] <= self._config.cells[name].range_m]
        return min(near, key=lambda name: away[name], default=None)


def _location(row: dict[str, Any]) -> Location:
    fields = {key: row[key] for key in row if key not in ("name", "signal_dbm")}
    return Location(ue=row["name"], signal_dbm=json.loads(row["signal_dbm"]), **fields)
