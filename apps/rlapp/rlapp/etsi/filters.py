"""Attribute filters and selectors of queries (ETSI GS MEC 009, 6.18 and 6.19)."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import Any

from ..problem import Problem

_MAX_CHARACTERS = 2000
_TERM = re.compile(r"\((\w+),([^,()]+),((?:'[^']*'|[^,()'])(?:'[^']*'|[^()'])*)\)")
_VALUE = re.compile(r"'((?:[^']|'')*)'|([^,']+)")

_COMPARE: dict[str, Callable[[Any, list[str]], bool]] = {
    "eq": lambda found, wanted: _text(found) == wanted[0],
    "neq": lambda found, wanted: _text(found) != wanted[0],
    "in": lambda found, wanted: _text(found) in wanted,
    "nin": lambda found, wanted: _text(found) not in wanted,
    "gt": lambda found, wanted: _order(found, wanted[0]) > 0,
    "gte": lambda found, wanted: _order(found, wanted[0]) >= 0,
    "lt": lambda found, wanted: _order(found, wanted[0]) < 0,
    "lte": lambda found, wanted: _order(found, wanted[0]) <= 0,
    "cont": lambda found, wanted: any(value in _text(found) for value in wanted),
    "ncont": lambda found, wanted: all(value not in _text(found) for value in wanted),
}
_MANY = ("in", "nin", "cont", "ncont")


def matching(items: list[dict[str, Any]], written: str | None) -> list[dict[str, Any]]:
    """The items for which all terms of a filter hold: `(eq,name,value);(gt,a/b,3)` (400).

    Where an attribute is a list, a term holds when it does for one of its members.
    """
    if written is None:
        return items
    if len(written) > _MAX_CHARACTERS:
        raise Problem(400, "the filter is too long")
    terms = []
    for part in re.split(r"(?<=\));", written):
        match = _TERM.fullmatch(part)
        if match is None or match[1] not in _COMPARE:
            raise Problem(400, "a filter is (operator,attribute,value), more of them after ;")
        values = [quoted.replace("''", "'") or plain for quoted, plain in _VALUE.findall(match[3])]
        if not values or (len(values) > 1 and match[1] not in _MANY):
            raise Problem(400, f"{match[1]} takes one value")
        terms.append((_COMPARE[match[1]], match[2].split("/"), values))
    return [
        item
        for item in items
        if all(
            any(compare(found, values) for found in _reach(item, path))
            for compare, path, values in terms
        )
    ]


def selected(
    item: dict[str, Any],
    optional: Collection[str],
    fields: str | None,
    exclude_fields: str | None,
) -> dict[str, Any]:
    """An item with those of its optional complex attributes that are asked for (400)."""
    if fields is not None and exclude_fields is not None:
        raise Problem(400, "give fields or exclude_fields, not both")
    left_out: set[str] = set()
    if fields is not None:
        left_out = set(optional) - {name.split("/")[0] for name in fields.split(",")}
    elif exclude_fields is not None:
        left_out = set(optional) & set(exclude_fields.split(","))
    return {name: value for name, value in item.items() if name not in left_out}


def _reach(value: Any, path: list[str]) -> list[Any]:
    if isinstance(value, list):
        return [found for member in value for found in _reach(member, path)]
    if not path:
        return [] if isinstance(value, dict) else [value]
    return _reach(value[path[0]], path[1:]) if isinstance(value, dict) and path[0] in value else []


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _order(found: Any, wanted: str) -> int:
    """-1, 0, 1: numbers as numbers, all else as text."""
    if isinstance(found, int | float):
        try:
            number = float(wanted)
        except ValueError as error:
            raise Problem(400, f"{wanted[:40]!a} is no number") from error
        return (found > number) - (found < number)
    return (_text(found) > wanted) - (_text(found) < wanted)
