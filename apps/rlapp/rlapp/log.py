"""The log: one JSON object a line on standard error, and the same as events for the page."""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Any

from .events import Events

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


class JsonFormatter(logging.Formatter):
    """Also what libraries log becomes one object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """One line; what was given as `extra={"fields": ...}` becomes fields."""
        line: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class Log:
    """What the service says of itself; the page shows it, too."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self._logger = logging.getLogger("rlapp")

    def info(self, message: str, **fields: Any) -> None:
        """Something that was meant to happen."""
        self._write("info", message, fields)

    def warning(self, message: str, **fields: Any) -> None:
        """Something that a reader should look at."""
        self._write("warning", message, fields)

    def error(self, message: str, **fields: Any) -> None:
        """Something that failed here."""
        self._write("error", message, fields)

    def _write(self, level: str, message: str, fields: dict[str, Any]) -> None:
        self._logger.log(_LEVELS[level], message, extra={"fields": fields})
        self._events.publish("log", level=level, message=message, **fields)


def set_up() -> None:
    """Write the log of this process as JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(handlers=[handler], level=logging.INFO, force=True)
    # One line a request is no news, and neither is one a callback.
    logging.getLogger("httpx").setLevel(logging.WARNING)
