"""How a program that runs in the background and its starter tell each other by files.

The starter makes the file `goes_on` and removes it when the program is to end. The program makes
`ready` when it has begun and removes it when it has ended.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Background:
    """The files that a program and its starter tell each other by; None: not told."""

    ready: Path | None = None
    goes_on: Path | None = None

    def wanted(self) -> bool:
        """Whether the program is to go on."""
        return self.goes_on is None or self.goes_on.exists()

    def begun(self) -> None:
        """Tell that the program has begun."""
        if self.ready is not None:
            self.ready.touch()

    @contextmanager
    def told(self) -> Iterator[None]:
        """Tell, however the block ends, that the program has ended."""
        try:
            yield
        finally:
            if self.ready is not None:
                self.ready.unlink(missing_ok=True)
