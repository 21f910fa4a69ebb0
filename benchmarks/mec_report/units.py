# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Figures as readers see them."""

from __future__ import annotations

NOTHING = "-"


def seconds(value_s: float | None) -> str:
    """Below 1 s in ms, from there on in s."""
    if value_s is None:
        return NOTHING
    milliseconds = round(value_s * 1000, 1)
    return f"{milliseconds:.1f} ms" if milliseconds < 1000 else f"{value_s:,.3f} s"


def size(value_bytes: float | None) -> str:
    """In decimal units, as transfer rates are."""
    if value_bytes is None:
        return NOTHING
    if round(value_bytes) < 1000:
        return f"{value_bytes:.0f} B"
    scaled = value_bytes
    for unit in ("kB", "MB", "GB"):
        scaled /= 1000
        if round(scaled, 1) < 1000 or unit == "GB":
            break
    return f"{scaled:,.1f} {unit}"


def number(value: float | None) -> str:
    """A count, or the mean of counts."""
    if value is None:
        return NOTHING
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.2f}"


def paper_seconds(value_s: float | None) -> str:
    """As in the paper's Table 4: seconds with three digits."""
    return NOTHING if value_s is None else f"{value_s:.3f}"


def kept(answer: bool | None) -> str:
    """Whether something was kept; nobody may have looked."""
    return NOTHING if answer is None else "kept" if answer else "lost"


def kept_of(answers: dict[str, int]) -> str:
    """How often something was kept or verified."""
    return f"{answers['kept']} of {answers['of']}" if answers["of"] else NOTHING


def share(part: dict[str, int]) -> str:
    """Failed requests of all."""
    return f"{part['failed']:,} of {part['sent']:,}" if part["sent"] else NOTHING
