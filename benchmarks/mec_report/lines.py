# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Objects of JSON files, read field by field; what is wrong is said with file, line and field."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, NoReturn


class FolderError(Exception):
    """The results folder cannot be reported; the message says where and why."""


class Line:
    """One JSON object and where it stands.

    The getters raise FolderError where the field is missing or of another kind. `None` is an
    answer only of those that say so.
    """

    def __init__(self, value: object, place: str) -> None:
        self._place = place
        if not isinstance(value, dict):
            raise FolderError(f"{place}: an object is expected, not {_kind(value)}.")
        self._value: dict[str, Any] = value

    def has(self, field: str) -> bool:
        """Whether there is such a field: older files do not have all of them."""
        return field in self._value

    def text(self, field: str) -> str:
        value = self._get(field)
        if not isinstance(value, str) or not value:
            self._refuse(field, "a text that is not empty", value)
        return value

    def optional_text(self, field: str) -> str | None:
        return None if self._get(field) is None else self.text(field)

    def choice(self, field: str, choices: tuple[str, ...]) -> str:
        value = self.text(field)
        if value not in choices:
            self.fail(field, f"{value!r} is none of {', '.join(choices)}")
        return value

    def number(self, field: str) -> float:
        """A finite number that is not negative."""
        value = self._get(field)
        if isinstance(value, bool) or not isinstance(value, int | float):
            self._refuse(field, "a number", value)
        if not math.isfinite(value) or value < 0:
            self.fail(field, f"{value} is not a number from 0 up")
        return float(value)

    def optional_number(self, field: str) -> float | None:
        return None if self._get(field) is None else self.number(field)

    def count(self, field: str) -> int:
        value = self.number(field)
        if not value.is_integer():
            self.fail(field, f"{value} is not a whole number")
        return int(value)

    def flag(self, field: str) -> bool:
        value = self._get(field)
        if not isinstance(value, bool):
            self._refuse(field, "true or false", value)
        return value

    def optional_flag(self, field: str) -> bool | None:
        return None if self._get(field) is None else self.flag(field)

    def part(self, field: str) -> Line:
        return Line(self._get(field), f"{self._place}, field {field}")

    def optional_part(self, field: str) -> Line | None:
        return None if self._get(field) is None else self.part(field)

    def parts(self, field: str) -> list[Line]:
        place = f"{self._place}, field {field}"
        return [Line(value, f"{place}[{n}]") for n, value in enumerate(self._list(field))]

    def texts(self, field: str) -> list[str]:
        values = self._list(field)
        if not all(isinstance(value, str) for value in values):
            self.fail(field, "a list of texts is expected")
        return values

    def fail(self, field: str, reason: str) -> NoReturn:
        """Refuse a field; raises FolderError."""
        raise FolderError(f"{self._place}, field {field}: {reason}.")

    def _get(self, field: str) -> Any:
        if field not in self._value:
            self.fail(field, "it is missing")
        return self._value[field]

    def _list(self, field: str) -> list[Any]:
        value = self._get(field)
        if not isinstance(value, list):
            self._refuse(field, "a list", value)
        return value

    def _refuse(self, field: str, expected: str, value: object) -> NoReturn:
        self.fail(field, f"{expected} is expected, not {_kind(value)}")


def read_lines(file: Path) -> list[Line]:
    """The objects of a JSON lines file; empty lines are passed over.

    Raises:
        FolderError: the file cannot be read, or a line is not one JSON object.
    """
    found = []
    for number, text in enumerate(read_text(file).split("\n"), start=1):
        if text.strip():
            place = f"{file.name}, line {number}"
            try:
                found.append(Line(json.loads(text), place))
            except json.JSONDecodeError as error:
                raise FolderError(f"{place}: not JSON: {error.msg}.") from error
    return found


def read_object(file: Path) -> dict[str, Any]:
    """The one object of a JSON file; raises FolderError."""
    try:
        value = json.loads(read_text(file))
    except json.JSONDecodeError as error:
        raise FolderError(f"{file.name}, line {error.lineno}: not JSON: {error.msg}.") from error
    if not isinstance(value, dict):
        raise FolderError(f"{file.name}: an object is expected, not {_kind(value)}.")
    return value


def read_text(file: Path) -> str:
    """The text of a file; raises FolderError."""
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise FolderError(f"{file.name} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise FolderError(f"{file.name} is not UTF-8 at byte {error.start}.") from error


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "true or false"}
    return "null" if value is None else names.get(type(value), "a number")
