# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""This host as one that takes steps, beside others over channels."""

from __future__ import annotations

from typing import Generic

from ..ground.errors import RelocationError
from ..wire.host import Reply
from ..wire.steps import Answer, Handlers, Step, take
from .me_host import MeHost


class LocalHost:
    """This host as a ``Host``: a step that is begun is taken at once."""

    def __init__(self, me_host: MeHost) -> None:
        self.name = me_host.config.name
        self._handlers = me_host.handlers

    def begin(self, step: Step[Answer]) -> Reply[Answer]:
        return _Done(self._handlers, step)


class _Done(Generic[Answer]):
    """The reply of a step that has been taken."""

    def __init__(self, known: Handlers, step: Step[Answer]) -> None:
        self._error: RelocationError | None = None
        self._value: Answer
        try:
            self._value = take(known, step)
        except RelocationError as error:
            self._error = error

    def result(self, _timeout_s: float = 120.0) -> Answer:
        if self._error is not None:
            raise self._error
        return self._value
