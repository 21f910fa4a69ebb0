"""The files of the page, read once."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from fastapi import Request, Response

from .config import ConfigError
from .problem import Problem

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
CONSOLE, SIGN_IN = "console.html", "sign-in.html"
# What a stranger's browser needs to sign in.
_PUBLIC = frozenset({SIGN_IN, "sign-in.js", "api.js", "base.css", "icon.svg"})
# What `prepare` brings from npm.
_LIBRARIES = ("leaflet.js", "leaflet.css", "uplot.js", "uplot.css")


@dataclass(frozen=True)
class _File:
    content: bytes
    media_type: str
    tag: str


class Files:
    """The files of one folder, by name: nothing that is asked for becomes a path.

    Raises:
        ConfigError: the folder is none that `prepare` has made.
    """

    def __init__(self, folder: Path) -> None:
        try:
            found = sorted(file for file in folder.iterdir() if file.suffix in _TYPES)
            self._files = {file.name: _file(file) for file in found}
        except OSError as error:
            raise ConfigError(f"page: {folder}: {error.strerror}") from error
        missing = {CONSOLE, *_PUBLIC, *_LIBRARIES} - set(self._files)
        if missing:
            raise ConfigError(
                f"page: {folder} lacks {', '.join(sorted(missing))};"
                " apps/rlapp/prepare FOLDER makes FOLDER/page"
            )

    def answer(self, name: str, request: Request, *, public: bool = False) -> Response:
        """A file, or 304 where the browser has it; 404 for one that is not there, or not public."""
        file = self._files.get(name)
        if file is None or (public and name not in _PUBLIC):
            raise Problem(404, "there is no such file")
        headers = {"ETag": file.tag, "Cache-Control": "private, no-cache"}
        if request.headers.get("if-none-match") == file.tag:
            return Response(status_code=304, headers=headers)
        return Response(file.content, media_type=file.media_type, headers=headers)


def _file(path: Path) -> _File:
    content = path.read_bytes()
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    return _File(content, _TYPES[path.suffix], tag)
