"""The testbed in ETSI's words: users, zones, access points, instances, and what names them."""

from __future__ import annotations

from typing import Any

from ..config import Config
from ..messages import Location
from ..store import Store
from .types import timestamp

# ETSI TS 123 032: a point.
_ELLIPSOID_POINT = 2
_HORIZONTAL = 1
# AssociateId's type of an IPv4 address, in MEC 012 and in MEC 021.
IPV4_RADIO, IPV4 = 1, "UE_IPv4_ADDRESS"


class World:
    """Reads what is configured and kept, and writes it as ETSI does."""

    def __init__(self, config: Config, store: Store) -> None:
        self._config = config
        self._store = store
        self._by_address = {ue.address: name for name, ue in config.ues.items()}
        self._by_ecgi = {
            (cell.mcc, cell.mnc, cell.cell_id): name for name, cell in config.cells.items()
        }
        self._by_ipv4 = {ipv4: name for name, ue in config.ues.items() for ipv4 in ue.ipv4}

    def ue(self, address: str) -> str | None:
        """The UE of an address of the Location API."""
        return self._by_address.get(address)

    def ue_of_ipv4(self, ipv4: str) -> str | None:
        """The UE of an address of its traffic."""
        return self._by_ipv4.get(ipv4)

    def address(self, ue: str) -> str:
        """A UE's address in the Location API."""
        return self._config.ues[ue].address

    def ipv4(self, ue: str) -> list[str]:
        """The addresses of a UE's traffic."""
        return self._config.ues[ue].ipv4

    def zone(self, cell: str | None) -> str | None:
        """The zone of a cell."""
        return None if cell is None else self._config.cells[cell].zone

    def interest_realm(self, access_point: str) -> str | None:
        """The interest realm of an access point."""
        for cell in self._config.cells:
            point = self._config.access_points(cell).get(access_point)
            if point:
                return point.interest_realm
        return None

    def zone_of_access_point(self, access_point: str) -> str | None:
        """The zone in which an access point is."""
        for name, cell in self._config.cells.items():
            if access_point in self._config.access_points(name):
                return cell.zone
        return None

    def ecgi(self, cell: str) -> dict[str, Any]:
        """A cell's identity in the radio network."""
        place = self._config.cells[cell]
        return {"plmn": {"mcc": place.mcc, "mnc": place.mnc}, "cellId": place.cell_id}

    def cell(self, ecgi: dict[str, Any]) -> str | None:
        """The cell of an identity."""
        plmn = ecgi["plmn"]
        return self._by_ecgi.get((plmn["mcc"], plmn["mnc"], ecgi["cellId"]))

    def users_in_zone(self, zone: str) -> int:
        """How many UEs are in a zone."""
        cells = self._config.zones.get(zone, [])
        marks = ", ".join("?" * len(cells))
        return self._store.count(
            f"SELECT count(*) FROM ues WHERE cell IN ({marks})",  # noqa: S608 question marks
            tuple(cells),
        )

    def users_at(self, access_point: str) -> int:
        """How many UEs are at an access point."""
        return self._store.count("SELECT count(*) FROM ues WHERE access_point = ?", (access_point,))

    def instances(self, app: str | None = None) -> list[dict[str, Any]]:
        """The instances of an app, or of all."""
        return [
            row
            for row in self._store.rows("SELECT * FROM instances ORDER BY app, me_host")
            if app in (None, row["app"])
        ]

    def interface(self, app: str, address: str) -> dict[str, Any]:
        """Where an instance can be reached."""
        declared = self._config.apps.get(app)
        port = declared.port if declared else 0
        return {"ipAddresses": [{"host": address, "port": port}]}


def location_info(location: Location) -> dict[str, Any]:
    """A place, as MEC 013 writes it."""
    info: dict[str, Any] = {
        "latitude": [location.lat],
        "longitude": [location.lon],
        "shape": _ELLIPSOID_POINT,
        "timestamp": timestamp(location.time_s),
    }
    if location.speed_mps is not None and location.heading_deg is not None:
        info["velocity"] = {
            "velocityType": _HORIZONTAL,
            "bearing": round(location.heading_deg),
            "horizontalSpeed": round(location.speed_mps * 3.6),
        }
    return info
