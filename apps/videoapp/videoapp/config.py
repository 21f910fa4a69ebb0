"""Where an instance finds its things, read once from the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


class ConfigError(Exception):
    """The environment does not describe an instance; the message says what to set."""


@dataclass(frozen=True)
class Settings:
    """The folders of an instance, its port, and the user that an empty PV begins with.

    data_dir: the PV. Nothing reads or writes it before the activation.
    state_dir: in the container layer; remembers that this instance was activated.
    share_dir: page, videos and catalog of the image, read-only.
    run_dir: socket, nginx's own files; need not outlive the container.
    activation_token: what is to be said by whoever activates; without one, nobody may.
    """

    data_dir: Path = Path("/data")
    state_dir: Path = Path("/var/lib/videoapp")
    share_dir: Path = Path("/usr/share/videoapp")
    run_dir: Path = Path("/tmp/videoapp")  # noqa: S108 the container's own
    port: int = 8080
    first_user: str | None = None
    first_password: str | None = None
    activation_token: str | None = None

    @property
    def database(self) -> Path:
        """The database on the PV."""
        return self.data_dir / "videoapp.db"

    @property
    def marker(self) -> Path:
        """A file that is there once this instance has been activated; nginx looks at it, too."""
        return self.state_dir / "active"

    @property
    def socket(self) -> Path:
        """Where nginx reaches the service."""
        return self.run_dir / "service.sock"


def read_settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read `VIDEOAPP_*`, and the token that the platform gives every instance.

    Raises:
        ConfigError: half a user is given, or no usable port.
    """
    default = Settings()
    user, password = environ.get("VIDEOAPP_USER"), environ.get("VIDEOAPP_PASSWORD")
    if bool(user) != bool(password):
        raise ConfigError("set both VIDEOAPP_USER and VIDEOAPP_PASSWORD, or neither of them")
    port = environ.get("VIDEOAPP_PORT", str(default.port))
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise ConfigError(f"VIDEOAPP_PORT is {port!r}: set a port between 1 and 65535")
    return Settings(
        data_dir=Path(environ.get("VIDEOAPP_DATA_DIR", default.data_dir)),
        state_dir=Path(environ.get("VIDEOAPP_STATE_DIR", default.state_dir)),
        share_dir=Path(environ.get("VIDEOAPP_SHARE_DIR", default.share_dir)),
        run_dir=Path(environ.get("VIDEOAPP_RUN_DIR", default.run_dir)),
        port=int(port),
        first_user=user or None,
        first_password=password or None,
        activation_token=environ.get("MEC_ACTIVATION_TOKEN") or None,
    )
