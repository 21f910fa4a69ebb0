# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an ME app is: the declaration that users write, checked and typed."""

from __future__ import annotations

import dataclasses
import difflib
import posixpath
import re
import signal
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from .errors import RelocationError

# RFC 1123, 2.1, as Kubernetes uses it for names.
_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
# The grammar of the OCI distribution specification, 1.1, "Pulling manifests".
_IMAGE = re.compile(
    r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*"
    r"(:[A-Za-z0-9_][A-Za-z0-9._-]{0,127}|@sha256:[0-9a-f]{64})"
)
_HTTP_PATH = re.compile(r"/[\x21-\x7e]*")
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MEMORY = re.compile(r"[1-9][0-9]*[kmgKMG]?")
_CAPABILITY = re.compile(r"[A-Z][A-Z_]*")
# A volume over one of these would hide what the container needs to run.
_SYSTEM_PATHS = ("/bin", "/dev", "/etc", "/lib", "/lib64", "/proc", "/run", "/sbin", "/sys", "/usr")

# By this environment variable an instance knows its activation token. Each has one of its own.
ACTIVATION_VARIABLE = "MEC_ACTIVATION_TOKEN"

FIRST_PORT = 20000
PORTS = 10000


def check_name(name: object) -> str:
    """Return the app's name if it is a DNS label (RFC 1123).

    It becomes part of paths, backend names and host names, so nothing else may pass.
    """
    if not isinstance(name, str) or not _DNS_LABEL.fullmatch(name):
        raise RelocationError(
            f"App name {name!r} is not a DNS label.",
            "Use lower-case letters, digits and inner hyphens, at most 63 of them.",
        )
    return name


@dataclasses.dataclass(frozen=True)
class Activate:
    """How a standby instance is asked to serve: one of the three."""

    http: str | None = None
    signal: str | None = None
    exec: tuple[str, ...] | None = None


@dataclasses.dataclass(frozen=True)
class Limits:
    """What an instance may use: CPUs, and memory as ``512M``."""

    cpus: float | None = None
    memory: str | None = None


@dataclasses.dataclass(frozen=True)
class App:
    """An ME app. The fields are those of the app schema in the documentation."""

    name: str
    image: str
    port: int
    volume: str | None = None
    health: str = "/"
    start: str = "cold"
    ready: str | None = None
    activate: Activate | None = None
    env: Mapping[str, str] = dataclasses.field(default_factory=dict)
    secrets: Mapping[str, str] = dataclasses.field(default_factory=dict)
    limits: Limits = Limits()
    capabilities: tuple[str, ...] = ()
    host_port: int = 0
    max_connections: int = 256

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> App:
        """Check a declaration and build the app.

        Raises:
            RelocationError: names the app, the key and what is wrong with its value.
        """
        name = check_name(data.get("name"))
        given = {key: value for key, value in data.items() if value is not None}
        _refuse_unknown(name, given, [field.name for field in dataclasses.fields(cls)])
        reader = _Reader(name, given)
        app = cls(
            name=name,
            image=reader.text("image", _IMAGE, "an image name with a tag or a sha256 digest"),
            port=reader.port("port"),
            volume=reader.volume(),
            health=reader.text("health", _HTTP_PATH, "a path that begins with /", default="/"),
            start=reader.text("start", re.compile("standby|cold"), "standby or cold", "cold"),
            ready=reader.ready(),
            activate=reader.activate(),
            env=reader.environment("env"),
            secrets=reader.environment("secrets"),
            limits=reader.limits(),
            capabilities=reader.capabilities(),
            host_port=reader.port(
                "host_port", default=FIRST_PORT + zlib.crc32(name.encode()) % PORTS
            ),
            max_connections=reader.count("max_connections", default=256),
        )
        for key in ("ready", "activate"):
            if key in given and app.start != "standby":
                raise reader.error(key, "goes with start: standby only")
        return app

    def to_dict(self) -> dict[str, Any]:
        """The declaration again, as JSON can hold it; ``from_dict`` reads it back."""
        data = dataclasses.asdict(self)
        if self.activate is not None:
            chosen = {key: value for key, value in data["activate"].items() if value is not None}
            if "exec" in chosen:
                chosen["exec"] = list(chosen["exec"])
            data["activate"] = chosen
        data["limits"] = {key: value for key, value in data["limits"].items() if value is not None}
        data["capabilities"] = list(self.capabilities)
        data["env"], data["secrets"] = dict(self.env), dict(self.secrets)
        return {key: value for key, value in data.items() if value is not None}

    def public(self) -> dict[str, Any]:
        """The declaration without its secrets, for facts and logs."""
        return {key: value for key, value in self.to_dict().items() if key != "secrets"}


def check_all(declarations: Sequence[Mapping[str, Any]]) -> list[App]:
    """Check declarations together: no name and no port of an ME host stands twice.

    Raises:
        RelocationError: names the app, or both apps.
    """
    apps = [App.from_dict(declaration) for declaration in declarations]
    names: set[str] = set()
    ports: dict[int, str] = {}
    for app in apps:
        if app.name in names:
            raise RelocationError(f"App {app.name!r} is declared twice.", "Rename one of them.")
        names.add(app.name)
        other = ports.setdefault(app.host_port, app.name)
        if other != app.name:
            raise RelocationError(
                f"Apps {other!r} and {app.name!r} both take port {app.host_port} of an ME host.",
                "Give one of them a host_port of its own.",
            )
    return apps


class _Reader:
    """Reads one key of a declaration at a time; every refusal names app, key and value."""

    def __init__(self, app: str, data: Mapping[str, Any]) -> None:
        self.app = app
        self.data = data

    def error(self, key: str, wanted: str) -> RelocationError:
        shown = "" if key == "secrets" else f" {self.data.get(key)!r}"
        return RelocationError(f"App {self.app!r}: {key}{shown} {wanted}.", "Correct it.")

    def text(self, key: str, form: re.Pattern[str], wanted: str, default: str | None = None) -> str:
        value = self.data.get(key, default)
        if not isinstance(value, str) or not form.fullmatch(value):
            raise self.error(key, f"is not {wanted}")
        return value

    def port(self, key: str, default: int | None = None) -> int:
        value = self.data.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 65535:
            raise self.error(key, "is not a TCP port (1 to 65535)")
        return value

    def count(self, key: str, default: int) -> int:
        value = self.data.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise self.error(key, "is not a positive number")
        return value

    def volume(self) -> str | None:
        value = self.data.get("volume")
        if value is None:
            return None
        if not isinstance(value, str) or not _HTTP_PATH.fullmatch(value) or ":" in value:
            raise self.error("volume", "is not an absolute path")
        if value != posixpath.normpath(value) or ".." in value.split("/") or value.startswith("//"):
            raise self.error("volume", "is not a plain path (no .., no double or trailing slash)")
        if value == "/" or any(value == p or value.startswith(p + "/") for p in _SYSTEM_PATHS):
            raise self.error("volume", "would cover a system directory of the container")
        return value

    def environment(self, key: str) -> dict[str, str]:
        value = self.data.get(key, {})
        if not isinstance(value, Mapping):
            raise self.error(key, "is not a mapping of names to values")
        for name, content in value.items():
            if not isinstance(name, str) or not _ENV_NAME.fullmatch(name):
                raise self.error(key, f"has a name that no environment can hold: {name!r}")
            if name == ACTIVATION_VARIABLE:
                raise self.error(key, f"sets {name}, which every instance gets from its ME host")
            if isinstance(content, (dict, list)) or "\0" in str(content):
                raise self.error(key, f"has a value that is not text: {name}")
        return {name: str(content) for name, content in value.items()}

    def ready(self) -> str | None:
        if self.data.get("ready") is None:
            return None
        return self.text("ready", _HTTP_PATH, "a path that begins with /")

    def activate(self) -> Activate | None:
        value = self.data.get("activate")
        if value is None:
            return None
        wanted = "needs exactly one of http (a path), signal (a name), exec (a list of words)"
        if not isinstance(value, Mapping):
            raise self.error("activate", wanted)
        chosen = {key: item for key, item in value.items() if item is not None}
        match chosen:
            case {"http": str(path)} if len(chosen) == 1 and _HTTP_PATH.fullmatch(path):
                return Activate(http=path)
            case {"signal": str(name)} if len(chosen) == 1 and name in signal.Signals.__members__:
                return Activate(signal=name)
            case {"exec": list(words)} if (
                len(chosen) == 1 and words and all(isinstance(word, str) for word in words)
            ):
                return Activate(exec=tuple(words))
        raise self.error("activate", wanted)

    def limits(self) -> Limits:
        value = self.data.get("limits", {})
        if not isinstance(value, Mapping):
            raise self.error("limits", "is not a mapping")
        _refuse_unknown(self.app, value, ["cpus", "memory"])
        cpus, memory = value.get("cpus"), value.get("memory")
        if cpus is not None and (
            isinstance(cpus, bool) or not isinstance(cpus, (int, float)) or not 0 < cpus <= 4096
        ):
            raise self.error("limits", "has a cpus that is not a positive number")
        if memory is not None and not _MEMORY.fullmatch(str(memory)):
            raise self.error("limits", "has a memory that is not like 512M")
        return Limits(
            None if cpus is None else float(cpus), None if memory is None else str(memory)
        )

    def capabilities(self) -> tuple[str, ...]:
        value = self.data.get("capabilities", [])
        if not isinstance(value, (list, tuple)) or not all(
            isinstance(name, str) and _CAPABILITY.fullmatch(name) for name in value
        ):
            raise self.error("capabilities", "is not a list of names like NET_BIND_SERVICE")
        return tuple(value)


def _refuse_unknown(app: str, given: Mapping[str, Any], known: list[str]) -> None:
    for key in given:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else f"Known keys: {', '.join(known)}."
            raise RelocationError(f"App {app!r}: unknown key {key!r}.", hint)
