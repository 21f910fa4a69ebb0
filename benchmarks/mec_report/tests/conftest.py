# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Folders that tests read, and do not change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from mec_report.folder import read
from mec_report.summary import summary
from mec_report.tests import synthetic


@pytest.fixture(scope="session")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with everything in it."""
    return synthetic.full(tmp_path_factory.mktemp("results") / "evaluate-1", repetitions=4)


@pytest.fixture(scope="session")
def found(full: Path) -> dict[str, Any]:
    """What the report says of it."""
    return summary(read(full))
