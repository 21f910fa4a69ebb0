# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""This host as one that takes steps, beside others over channels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..ground.errors import RelocationError
from ..wire.host import Reply
from .me_host import MeHost


class _Done:
    """The reply of a step that has been taken."""

    def __init__(self, step: Callable[[], Any]) -> None:
        self._error: RelocationError | None = None
        self._value: Any = None
        try:
            self._value = step()
        except RelocationError as error:
            self._error = error

    def result(self, _timeout_s: float = 120.0) -> Any:
        if self._error is not None:
            raise self._error
        return self._value


class LocalHost:
    """This host as a ``Host``: a step that is begun is taken at once."""

    def __init__(self, me_host: MeHost) -> None:
        self.me_host = me_host
        self.name = me_host.config.name

    def begin(self, step: str, **arguments: object) -> Reply:
        method = getattr(self.me_host, step)
        return _Done(lambda: method(**arguments))
