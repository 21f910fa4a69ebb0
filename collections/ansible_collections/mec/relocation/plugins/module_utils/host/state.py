# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an ME host remembers of an app on disk: declaration, instance state, records."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..ground.app import App, check_name
from ..ground.durable import write_durably
from ..ground.errors import RelocationError

# The states of an app on one host. Only `serving` may write. `relocating` is noted on the source
# before the cutover; where it is found later, the host must not start a writer by itself.
STATES = ("serving", "prepared", "relocating")


class AppState:
    """The folder of one app in the state directory of an ME host."""

    def __init__(self, state_dir: Path, app: str) -> None:
        self.name = check_name(app)
        self.folder = state_dir / "apps" / self.name

    @classmethod
    def all(cls, state_dir: Path) -> Iterator[AppState]:
        """Every app that this host knows, by name."""
        for declaration in sorted(state_dir.glob("apps/*/app.json")):
            yield cls(state_dir, declaration.parent.name)

    def declaration(self) -> App:
        """The app as it was deployed here.

        Raises:
            RelocationError: this host does not know the app.
        """
        data = self._read("app.json")
        if data is None:
            raise RelocationError(
                f"App {self.name!r} is not known on this host.",
                "Declare it in mec_apps and deploy it (playbooks/deploy.yml, or handoff.yml).",
            )
        return App.from_dict(data)

    def declares(self, app: App) -> bool:
        """Whether this is the declaration that was kept."""
        return self._read("app.json") == app.to_dict()

    def declare(self, app: App) -> bool:
        """Keep the declaration; tell whether it differs from the one kept before."""
        if self.declares(app):
            return False
        write_durably(self.folder / "app.json", json.dumps(app.to_dict(), indent=1) + "\n")
        return True

    def instance(self) -> dict[str, Any]:
        """The note about this host's instance: ``state`` and what belongs to it; may be empty."""
        return self._read("instance.json") or {}

    def note(self, state: str, **details: object) -> None:
        """Note durably what this host's instance is now."""
        if state not in STATES:
            raise ValueError(state)
        write_durably(
            self.folder / "instance.json", json.dumps({"state": state, **details}, indent=1) + "\n"
        )

    @contextlib.contextmanager
    def changing(self) -> Iterator[None]:
        """Change the note and what it stands for together; whoever else does waits."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(self.folder / "instance.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def forget_instance(self) -> None:
        """Remove the note; the declaration stays."""
        (self.folder / "instance.json").unlink(missing_ok=True)

    def forget(self) -> None:
        """Remove all that this host remembers of the app."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _read(self, name: str) -> dict[str, Any] | None:
        path = self.folder / name
        try:
            data = json.loads(path.read_text())
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise RelocationError(
                f"{path} is damaged: {error}.", "Remove it and deploy the app again."
            ) from error
        if not isinstance(data, dict):
            raise RelocationError(f"{path} is damaged: not an object.", "Remove it, deploy again.")
        return data


def append_record(state_dir: Path, record: Mapping[str, Any]) -> None:
    """Append a relocation record; one line, written whole."""
    state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    line = json.dumps(record, separators=(",", ":")) + "\n"
    with open(state_dir / "records.jsonl", "ab", buffering=0) as file:
        file.write(line.encode())
        os.fsync(file.fileno())


def last_records(state_dir: Path) -> dict[str, dict[str, Any]]:
    """The newest record of each app on this host."""
    newest: dict[str, dict[str, Any]] = {}
    try:
        lines = (state_dir / "records.jsonl").read_text().splitlines()
    except FileNotFoundError:
        return newest
    for line in lines:
        try:
            record = json.loads(line)
        except ValueError:
            continue  # a line that a crash cut short; the ones around it are whole
        newest[record["app"]] = record
    return newest
