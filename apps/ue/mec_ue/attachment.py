"""The cell that a UE is in: the one of this host, or one that is only simulated."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Protocol

# Where mec-ue-attach keeps the cell, whoever called it.
_CELL = Path("/var/lib/mec-ue/cell")


class AttachmentError(Exception):
    """The UE's cell is not known or cannot be changed; the message names the next step."""


class Attachment(Protocol):
    """The cell that a UE is in."""

    def cell(self) -> str:
        """Its name."""

    def change(self, cell: str) -> None:
        """Attach to another one."""


class SimulatedAttachment:
    """A cell that is only a name."""

    def __init__(self, cell: str) -> None:
        self._cell = cell

    def cell(self) -> str:
        """Its name."""
        return self._cell

    def change(self, cell: str) -> None:
        """Attach to another one."""
        self._cell = cell


class HostAttachment:
    """The cell of this host, which others may change, too: the handoff playbook does."""

    def __init__(self, file: Path = _CELL) -> None:
        self._file = file

    def cell(self) -> str:
        """Its name."""
        try:
            return self._file.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise AttachmentError(
                f"{self._file}: {error.strerror}; a UE is made by the role ue"
            ) from error

    def change(self, cell: str) -> None:
        """Attach to another one."""
        try:
            subprocess.run(["mec-ue-attach", cell], check=True, capture_output=True, text=True)
        except OSError as error:
            raise AttachmentError(f"mec-ue-attach: {error.strerror}; apply the role ue") from error
        except subprocess.CalledProcessError as error:
            raise AttachmentError(str(error.stderr).strip()) from error
