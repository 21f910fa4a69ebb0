# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files that are whole after a crash at any instant."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# Each slot is a block of the file system: a torn write damages one of them alone.
_SLOT_BYTES = 4096


def write_durably(path: Path, content: str, mode: int = 0o600) -> None:
    """Replace a file so that a crash at any instant leaves the old content or the new one."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(fresh, path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


class Slots:
    """A small JSON object that is replaced in place, with one fdatasync(2).

    The file has two slots. A change is written to the one that is older, so that a crash at any
    instant leaves the other; which is newer tells a number, and whether it is whole a checksum.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> dict[str, Any] | None:
        """Return what was written last; None where nothing was.

        Raises:
            ValueError: neither slot is whole.
        """
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return None
        found = self._newest(content)
        if found is None:
            raise ValueError("neither of its two slots is whole")
        value: dict[str, Any] = found["value"]
        return value

    def write(self, value: Mapping[str, Any]) -> None:
        """Write the object; it outlives a crash when this returns.

        Raises:
            OSError: the disk does not take it; what was there before still is.
            ValueError: it does not fit into a slot.
        """
        try:
            file = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            # Both slots have their place on the disk from here on: a full disk takes a change.
            write_durably(self.path, (self._slot(1, value) + self._slot(0, value)).decode())
            return
        try:
            found = self._newest(os.pread(file, 2 * _SLOT_BYTES, 0))
            number = 1 + (found["number"] if found else 0)
            os.pwrite(file, self._slot(number, value), (number + 1) % 2 * _SLOT_BYTES)
            os.fdatasync(file)
        finally:
            os.close(file)

    def _newest(self, content: bytes) -> dict[str, Any] | None:
        slots = [self._whole(content[at : at + _SLOT_BYTES]) for at in (0, _SLOT_BYTES)]
        return max(filter(None, slots), key=lambda slot: int(slot["number"]), default=None)

    @staticmethod
    def _whole(slot: bytes) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = json.loads(slot)
            return found if found.pop("sum") == _sum(found) else None
        except (ValueError, KeyError, TypeError, AttributeError):
            return None

    @staticmethod
    def _slot(number: int, value: Mapping[str, Any]) -> bytes:
        content = {"number": number, "value": dict(value)}
        line = json.dumps({**content, "sum": _sum(content)}).encode()
        if len(line) >= _SLOT_BYTES:
            raise ValueError(f"{len(line)} bytes do not fit into a slot of {_SLOT_BYTES}")
        return line.ljust(_SLOT_BYTES - 1) + b"\n"


def _sum(content: Mapping[str, Any]) -> int:
    return zlib.crc32(json.dumps(content, sort_keys=True).encode())
