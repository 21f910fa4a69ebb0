# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What lies on an app's volume, and what changes on it."""

from __future__ import annotations

from .remote import PROGRAMS
from .site import Place

# The user that videoapp's image runs as.
OWNER = "10231:10231"


def begin(place: Place, volume: str) -> None:
    """Make an empty volume for an instance whose state folder is the volume, too.

    The marker lets it serve as soon as it starts: nobody has to activate it.
    """
    place.run("install", "-d", "-m", "0700", volume)
    place.run("touch", f"{volume}/active")
    place.run("chown", "-R", OWNER, volume)


def fill(place: Place, volume: str, files: int, size_bytes: int) -> None:
    """Have so many files of one size on the volume, and no others beside those of the app."""
    _on_volume("fill", place, volume, files, size_bytes)


def change(place: Place, volume: str, size_bytes: int) -> None:
    """Write new content over so many bytes of the files that `fill` made."""
    _on_volume("change", place, volume, size_bytes)


def remove(place: Place, volume: str) -> None:
    """Remove the volume, whether or not it is there."""
    place.run("rm", "-rf", volume)


def _on_volume(program: str, place: Place, volume: str, *numbers: int) -> None:
    source = (PROGRAMS / f"{program}.py").read_text(encoding="utf-8")
    place.run("python3", "-", volume, *map(str, numbers), given=source)
