"""The videos of the image."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Video:
    """A video as the library shows it; `id` names its folder below /media/."""

    id: str
    title: str
    description: str
    duration_s: float


def read_catalog(file: Path) -> dict[str, Video]:
    """The videos of `file` (media/videos.json) by id, in the order in which they are shown."""
    entries = json.loads(file.read_text(encoding="utf-8"))
    return {
        entry["id"]: Video(
            entry["id"], entry["title"], entry["description"], float(entry["duration_s"])
        )
        for entry in entries
    }
