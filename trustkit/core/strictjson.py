"""JSON read so that one text has one meaning, with limits that hold before and while parsing (TRUST 3.2)."""

from __future__ import annotations

import json
import re
from typing import Any

from trustkit.errors import Malformed, TooLarge

MAX_DEPTH = 32
_STRING = re.compile(rb'"(?:[^"\\]++|\\.?)*+"?', re.DOTALL)  # never fails, so never starts again: linear
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_OPENING = frozenset(b"[{")


def parse(data: bytes, *, max_bytes: int, what: str, repeated: bool = False, utf8: bool = False) -> dict[str, Any]:
    """Reads one JSON object.

    Args:
        data: ASCII bytes; everything else has an escape.
        max_bytes: the longest that ``data`` may be.
        what: names the file in errors.
        repeated: a member may stand twice, and the last one counts: for who holds ``data`` to the one spelling of
            what it says, which refuses that as well.
        utf8: ``data`` is UTF-8, and the caller refuses halves of surrogate pairs, which escapes can still make.

    Raises:
        TooLarge: longer than ``max_bytes`` or deeper than 32 levels.
        Malformed: no JSON object, a duplicate member, a float, NaN or Infinity, a number over 15 digits, a byte
            outside ASCII, or a surrogate escape.
    """
    if len(data) > max_bytes:
        raise TooLarge(f"{what} has {len(data)} bytes; the limit is {max_bytes}.")
    if not utf8 and (not data.isascii() or _SURROGATE.search(data)):
        raise Malformed(f"{what} has a character outside the basic set.")
    check_depth(data, what)
    try:
        value = json.loads(
            data.decode("utf-8"),  # bytes would be guessed to be UTF-16 where every second one is NUL
            object_pairs_hook=None if repeated else unique,
            parse_float=_refuse,
            parse_constant=_refuse,
            parse_int=_integer,
        )
    except (ValueError, RecursionError) as error:
        raise Malformed(f"{what} is not strict JSON: {_cause(error)}.") from error
    if not isinstance(value, dict):
        raise Malformed(f"{what} is not a JSON object.")
    return value


def serialise(value: object) -> bytes:
    """The one compact spelling: sorted members, no spaces, ASCII (as python-tuf's compact JSONSerializer)."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def check_depth(data: bytes, what: str, most: int = MAX_DEPTH) -> None:
    """Raises TooLarge for JSON that is nested deeper than this, before anything reads it; linear, whatever it is."""
    depth = 0
    outside = _STRING.sub(b"", data) if b"\\" in data else b"".join(data.split(b'"')[::2])
    brackets = outside.translate(None, _NOT_BRACKETS)
    if _closes_within(brackets, most):
        return
    for byte in brackets:
        depth += 1 if byte in _OPENING else -1
        if depth > most:
            raise TooLarge(f"{what} is nested deeper than {most} levels.")


def _closes_within(brackets: bytes, most: int) -> bool:
    """Whether all pairs are gone once what is innermost was taken away so often: then none is nested deeper.

    False may be said of what isn't, but takes turns, or isn't closed.
    """
    for _ in range(most // 2):
        if not brackets:
            return True
        brackets = brackets.replace(b"{}", b"").replace(b"[]", b"")
    return not brackets


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON in which no member stands twice; ValueError for another."""
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member stands twice")
    return members


def _refuse(text: str) -> Any:
    raise ValueError(f"{text[:20]} is not an integer")


def _integer(text: str) -> int:
    if len(text) > 15:
        raise ValueError("a number has more than 15 digits")
    return int(text)


def _cause(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at byte {error.pos}"
    return str(error)
