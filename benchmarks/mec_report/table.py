# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A table, before it is text, Markdown or HTML."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

Row = tuple[str, ...]


@dataclass(frozen=True)
class Group:
    """Rows that belong together. `last` is a row that sums them up."""

    heading: str
    rows: tuple[Row, ...]
    last: Row | None = None

    @property
    def all_rows(self) -> tuple[Row, ...]:
        return self.rows if self.last is None else (*self.rows, self.last)


@dataclass(frozen=True)
class Table:
    """Columns and groups of rows; the first cell of a row names it.

    texts: the columns that are text; all others are figures, and aligned as such.
    """

    caption: str
    columns: Row
    groups: tuple[Group, ...]
    texts: frozenset[int] = frozenset({0})


def plain(
    caption: str, columns: Sequence[str], rows: Iterable[Sequence[str]], texts: Iterable[int] = (0,)
) -> Table:
    """A table whose rows are one group without a heading."""
    group = Group("", tuple(tuple(row) for row in rows))
    return Table(caption, tuple(columns), (group,), frozenset(texts))


def as_text(table: Table) -> str:
    """A table for a terminal."""
    rows = [table.columns, *(row for group in table.groups for row in group.all_rows)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(table.columns))]

    def line(row: Row) -> str:
        cells = (
            cell.ljust(width) if column in table.texts else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        return "  ".join(cells).rstrip()

    lines = [table.caption, "", line(table.columns)]
    for group in table.groups:
        lines += ["", group.heading] if group.heading else []
        lines += [line(row) for row in group.all_rows]
    return "\n".join(lines) + "\n"
