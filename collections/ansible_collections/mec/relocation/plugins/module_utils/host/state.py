# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an ME host remembers of an app on disk: declaration, its part as a note, records."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..ground.app import App, check_name
from ..ground.durable import Slots, write_durably
from ..ground.errors import RelocationError, settle_command
from ..ground.record import settled
from .owner import Note, State

# Which apps this host knows to be current in, since it began: of this boot, and gone with it.
CURRENT = Path("/run/mec-relocation/current")


class AppState:
    """The folder of one app in the state directory of an ME host."""

    def __init__(self, state_dir: Path, app: str) -> None:
        self.name = check_name(app)
        self.folder = state_dir / "apps" / self.name
        self._slots = Slots(self.folder / "owner.json")

    @classmethod
    def all(cls, state_dir: Path) -> Iterator[AppState]:
        """Every app that this host knows, by name."""
        for folder in sorted(state_dir.glob("apps/*")):
            if (folder / "app.json").exists() or (folder / "owner.json").exists():
                yield cls(state_dir, folder.name)

    @property
    def is_declared(self) -> bool:
        """Whether the app was deployed or prepared here at some time."""
        return (self.folder / "app.json").exists()

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

    def note(self) -> Note:
        """Return the note of this host's part for the app.

        Raises:
            RelocationError: it is damaged.
        """
        try:
            found = self._slots.read()
            if found is None:
                return self._note_without_epoch()
            return Note(
                **{**found, "state": State(found["state"]), "rivals": tuple(found["rivals"])}
            )
        except (ValueError, TypeError, KeyError) as error:
            raise RelocationError(
                f"{self._slots.path} is damaged: {error}.",
                f"Say which copy is to be kept: {settle_command(self.name, '<ME host>')}.",
            ) from error

    def note_or_lost(self) -> Note:
        """Return the note as a person's decision finds it: one that is damaged is ``LOST``."""
        try:
            return self.note()
        except RelocationError:
            return Note(State.LOST)

    def write(self, note: Note) -> None:
        """Write the note durably.

        Raises:
            RelocationError: the disk does not take it; the note is as it was.
        """
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._slots.write(note._asdict())
        except OSError as error:
            raise RelocationError(
                f"The note about app {self.name!r} cannot be written: {error.strerror or error}.",
                f"Look at the disk below {self.folder}.",
            ) from error
        # What a library without epochs has written is no longer so.
        (self.folder / "instance.json").unlink(missing_ok=True)

    def _note_without_epoch(self) -> Note:
        """The note of a library that knew no epochs: its owner is the first one."""
        found = self._read("instance.json") or {}
        note = Note(handoff=str(found.get("handoff", "")), instance=str(found.get("name", "")))
        owned = note._replace(taken=1, known=1, floor=1, copy=1)
        match found.get("state"):
            case "serving":
                return owned._replace(state=State.SERVING)
            case "relocating":
                peer = str(found.get("target", ""))
                return owned._replace(state=State.RELOCATING, attempt=2, peer=peer)
            case "prepared":
                return note._replace(state=State.PREPARED)
        return Note()

    @property
    def lacks_epoch(self) -> bool:
        """Whether the note is one of a library that knew no epochs."""
        names = ("owner.json", "instance.json")
        return [(self.folder / name).exists() for name in names] == [False, True]

    @property
    def current(self) -> bool:
        """Whether this host has learned, since it began, what the others know of the owner."""
        return (CURRENT / self.name).exists()

    def doubt(self) -> None:
        """Note that the others have to be asked again."""
        (CURRENT / self.name).unlink(missing_ok=True)

    def mark_current(self) -> None:
        """Note that it has; this does not outlive the host's end."""
        CURRENT.mkdir(mode=0o700, parents=True, exist_ok=True)
        (CURRENT / self.name).touch()

    @property
    def knows(self) -> bool:
        """Whether this host remembers anything of the app."""
        names = ("app.json", "owner.json", "instance.json")
        return any((self.folder / name).exists() for name in names)

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
    """Append a relocation record; one line, whole, also after one that a crash cut short.

    Raises:
        RelocationError: the disk does not take it.
    """
    line = json.dumps(record, separators=(",", ":")).encode() + b"\n"
    try:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = os.open(
            state_dir / "records.jsonl", os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600
        )
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            size = os.fstat(file).st_size
            if size and os.pread(file, 1, size - 1) != b"\n":
                line = b"\n" + line
            if os.write(file, line) != len(line):
                os.ftruncate(file, size)
                raise OSError(f"{len(line)} bytes do not fit")
            os.fsync(file)
        finally:
            os.close(file)
    except OSError as error:
        raise RelocationError(
            f"The record of {record.get('app')!r} cannot be kept: {error.strerror or error}.",
            f"Look at the disk below {state_dir}.",
        ) from error


def last_records(state_dir: Path) -> dict[str, dict[str, Any]]:
    """Return the newest record of each app on this host."""
    return {record["app"]: record for record in _records(state_dir)}


def last_record(state_dir: Path, app: str, handoff: str) -> dict[str, Any] | None:
    """Return the newest record of a handoff of an app on this host, if there is one."""
    found = None
    for record in _records(state_dir):
        if (record["app"], record.get("id")) == (app, handoff):
            found = record
    return found


def settle_record(state_dir: Path, app: str, here: str, handoff: str | None = None) -> None:
    """Have a record say how the app's last relocation ended, if none does.

    Args:
        state_dir: the state directory of this host.
        app: the app.
        here: this host, which serves it.
        handoff: the one that has made this host the owner, or has left it that; None: whichever was
            recorded last, if that is uncertain.

    Raises:
        RelocationError: the disk does not take it.
    """
    if handoff is None:
        last = last_records(state_dir).get(app, {})
    else:
        last = last_record(state_dir, app, handoff) or {}
    if here not in (last.get("source"), last.get("target")):
        return
    ended = "completed" if here == last["target"] else "aborted"
    # An earlier try of the same handoff may have ended otherwise.
    if last["outcome"] == "uncertain" or (handoff is not None and last["outcome"] != ended):
        append_record(state_dir, settled(last, completed=ended == "completed"))


def _records(state_dir: Path) -> Iterator[dict[str, Any]]:
    """The records, the newest last; what is none is passed over."""
    try:
        lines = (state_dir / "records.jsonl").read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return
    for line in lines:
        try:
            record = json.loads(line)
        except ValueError:
            continue  # a line that a crash cut short; the ones around it are whole
        if isinstance(record, dict) and isinstance(record.get("app"), str):
            yield record
