# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Relocation schemes side by side, under the same load: `python -m mec_bench`."""

import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]

# The probe's library is used from the collection in this tree, whether or not it is installed.
sys.path.append(str(PROJECT / "collections"))
