"""Where a member stands in a TOML document: the parser says no places, and a person needs them."""

from __future__ import annotations

import tomllib
from typing import Any, TypeAlias

Place: TypeAlias = tuple[str | int, ...]
"""Names and, for arrays of tables, numbers, from the outside in."""


def locate(text: str, place: Place) -> tuple[int, int]:
    """Line and column, from 1, of a member of a TOML document that can be parsed.

    The parser says no places.  So it is given the first lines, one more each time: the member stands in the lines
    with which it appears.

    Args:
        place: names and, for arrays of tables, numbers, from the outside in.
    """
    lines = text.splitlines(keepends=True)
    began = 0
    for end in range(1, len(lines) + 1):
        try:
            document: Any = tomllib.loads("".join(lines[:end]))
        except (tomllib.TOMLDecodeError, RecursionError):
            continue  # in the middle of a statement
        if _has(document, place):
            return began + 1, _column(lines[began], place)
        began = end
    return 1, 1


def _has(document: Any, place: Place) -> bool:
    for step in place:
        if isinstance(step, int):
            if not isinstance(document, list) or len(document) <= step:
                return False
        elif not isinstance(document, dict) or step not in document:
            return False
        document = document[step]
    return True


def _column(line: str, place: Place) -> int:
    name = next((step for step in reversed(place) if isinstance(step, str)), "")
    return max(line.find(name), 0) + 1


def position(text: str) -> tuple[int, int]:
    """Line and column where a text ends."""
    return text.count("\n") + 1, len(text) - (text.rfind("\n") + 1) + 1
