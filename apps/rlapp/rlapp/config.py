"""What RLapp knows from its configuration: one YAML file, read once."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from mec_ue.geo import Position
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
Latitude = Annotated[float, Field(ge=-90, le=90, allow_inf_nan=False)]
Longitude = Annotated[float, Field(ge=-180, le=180, allow_inf_nan=False)]
# {s} stands for one of several servers below a domain.
_TILE = r"^https?://(\{s\}\.)?[A-Za-z0-9.:-]+/[^\s;,']*$"
ConnectionType = Literal[
    "Femto",
    "LTE-femto",
    "Smallcell",
    "LTE-smallcell",
    "Wifi",
    "Pico",
    "Micro",
    "Macro",
    "Wimax",
    "Unknown",
]


class ConfigError(Exception):
    """The configuration does not describe a service; the message says what to correct."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Placed(_Strict):
    lat: Latitude
    lon: Longitude

    @property
    def position(self) -> Position:
        """Where it is."""
        return Position(self.lat, self.lon)


class AccessPoint(_Placed):
    """Where a UE attaches within a cell."""

    connection: ConnectionType = "Macro"
    interest_realm: str | None = None


class Cell(_Placed):
    """A cell, its place in the world, and the ME host that serves it.

    ecgi: its identity in the radio network; `cell_id` are the 28 bits of the E-UTRAN cell identity.
    access_points: left out, there is one, with the cell's own name and position.
    """

    me_host: Name
    zone: Name
    range_m: Annotated[float, Field(gt=0, le=100_000)]
    cell_id: Annotated[str, StringConstraints(pattern=r"^[01]{28}$")]
    mcc: Annotated[str, StringConstraints(pattern=r"^\d{3}$")] = "001"
    mnc: Annotated[str, StringConstraints(pattern=r"^\d{2,3}$")] = "01"
    access_points: dict[Name, AccessPoint] = Field(default_factory=dict)


class Ue(_Strict):
    """A UE. `address` is its name in the Location API, `ipv4` all that it may have as an address.

    apps: those that follow it; left out, all of them.
    """

    address: Annotated[str, StringConstraints(pattern=r"^(acr|sip|tel):\S+$", max_length=200)]
    ipv4: list[str] = []
    apps: list[Name] | None = None


class App(_Strict):
    """An ME app. `port` is where its instances listen."""

    port: Annotated[int, Field(gt=0, lt=65536)]


class Token(_Strict):
    """A machine that may use the APIs. With `ue`, it may report that UE and do nothing else."""

    file: Path
    ue: Name | None = None


class Handoffs(_Strict):
    """How handoffs are run: by the playbooks of `project`, so many at a time.

    variables: a file of Ansible variables that goes before the inventory's.
    """

    project: Path
    variables: Path | None = None
    results: Path | None = None
    parallel: Annotated[int, Field(gt=0, le=64)] = 4
    timeout_s: Annotated[int, Field(gt=0)] = 180
    queued_max: Annotated[int, Field(gt=0)] = 1000

    @property
    def results_dir(self) -> Path:
        """Where the records are."""
        return self.results or self.project / "results"


class Prediction(_Strict):
    """How handoffs are predicted; `rlapp.prediction.Settings` explains it."""

    lead_s: Annotated[float, Field(gt=0, le=60)] = 5.0
    announce_only: bool = False


class Tiles(_Strict):
    """A source of map tiles. Browsers ask it themselves, and the page's policy allows it alone."""

    url: Annotated[str, StringConstraints(pattern=_TILE)]
    attribution: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    zoom_max: Annotated[int, Field(ge=1, le=24)] = 19

    @model_validator(mode="after")
    def _names_a_tile(self) -> Self:
        missing = [part for part in ("{z}", "{x}", "{y}") if part not in self.url]
        if missing:
            raise ValueError(f"the url of a tile has {', '.join(missing)} in it, too")
        return self

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return "/".join(self.url.split("/", 3)[:3])


class Callbacks(_Strict):
    """Where notifications may be sent, and how hard that is tried. No network: nowhere."""

    networks: list[IPv4Network | IPv6Network] = []
    ca: Path | None = None
    attempts: Annotated[int, Field(gt=0, le=20)] = 6
    first_wait_s: Annotated[float, Field(gt=0)] = 1.0
    timeout_s: Annotated[float, Field(gt=0)] = 5.0
    queued_max: Annotated[int, Field(gt=0)] = 10_000


class Limits(_Strict):
    """Bounds on what clients can make the service keep."""

    subscriptions: Annotated[int, Field(gt=0)] = 500
    duration_default_s: Annotated[int, Field(gt=0)] = 3600
    duration_max_s: Annotated[int, Field(gt=0)] = 86_400
    body_bytes: Annotated[int, Field(gt=0)] = 65_536
    streams: Annotated[int, Field(gt=0)] = 50
    events: Annotated[int, Field(gt=0)] = 10_000


class Config(_Strict):
    """The whole file.

    page: the folder that `prepare` has put the page into; left out, there is none.
    tiles: left out, the map is drawn from cells and paths alone.
    prediction: null: handoffs come as messages.
    """

    url: Annotated[str, StringConstraints(pattern=r"^https?://[^/\s]+$")]
    state_dir: Path
    password_file: Path
    tokens: dict[Name, Token] = Field(default_factory=dict)
    cells: dict[Name, Cell] = Field(min_length=1)
    ues: dict[Name, Ue] = Field(default_factory=dict)
    apps: dict[Name, App] = Field(default_factory=dict)
    handoffs: Handoffs
    page: Path | None = None
    tiles: Tiles | None = None
    prediction: Prediction | None = Prediction()
    callbacks: Callbacks = Callbacks()
    limits: Limits = Limits()

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        for name, ue in self.ues.items():
            unknown = set(ue.apps or ()) - set(self.apps)
            if unknown:
                raise ValueError(f"ues.{name}.apps names no app: {', '.join(sorted(unknown))}")
        for name, token in self.tokens.items():
            if token.ue is not None and token.ue not in self.ues:
                raise ValueError(f"tokens.{name}.ue names no UE: {token.ue}")
        named: dict[str, list[object]] = {
            "address": [ue.address for ue in self.ues.values()],
            "ipv4 address": [address for ue in self.ues.values() for address in ue.ipv4],
            "ecgi": [(cell.mcc, cell.mnc, cell.cell_id) for cell in self.cells.values()],
            "access point": [name for cell in self.cells for name in self.access_points(cell)],
        }
        for what, given in named.items():
            if len(set(given)) < len(given):
                raise ValueError(f"the same {what} is given twice")
        return self

    @property
    def database(self) -> Path:
        """Where all state is kept."""
        return self.state_dir / "rlapp.db"

    def apps_of(self, ue: str) -> list[str]:
        """The apps that follow a UE."""
        own = self.ues[ue].apps
        return list(self.apps) if own is None else own

    def access_points(self, cell: str) -> dict[str, AccessPoint]:
        """The access points of a cell by name."""
        place = self.cells[cell]
        return place.access_points or {cell: AccessPoint(lat=place.lat, lon=place.lon)}

    @property
    def zones(self) -> dict[str, list[str]]:
        """The cells of each zone."""
        zones: dict[str, list[str]] = {}
        for name, cell in self.cells.items():
            zones.setdefault(cell.zone, []).append(name)
        return zones


def read_config(file: Path) -> Config:
    """Read the configuration; raises ConfigError, which names every field that is wrong."""
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{file}: {error}") from error
    try:
        return Config.model_validate(content)
    except ValidationError as error:
        wrong = [
            f"{'.'.join(str(part) for part in item['loc']) or 'the file'}: {item['msg']}"
            for item in error.errors()
        ]
        raise ConfigError(f"{file}:\n  " + "\n  ".join(wrong)) from error
