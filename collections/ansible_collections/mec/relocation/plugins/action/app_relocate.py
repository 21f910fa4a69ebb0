# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How `app_relocate` is run: see `plugin_utils.installed`."""

from __future__ import annotations

from ansible_collections.mec.relocation.plugins.plugin_utils.installed import ActionModule

__all__ = ["ActionModule"]
