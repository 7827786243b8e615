"""JSON values held to their type, one error for each way to be another."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from trustkit.core.formats.docker.canonical import LARGEST, SMALLEST
from trustkit.core.names import shown
from trustkit.errors import Malformed

KEY_ID = re.compile(r"[0-9a-f]{64}\Z")
MAX_NAME = 512
NULL = "null"
"""In ``unrecognized_fields``: the members that the file spelt as null where they are empty."""

_FOR_HTML = re.compile("[<>&\u2028\u2029]")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}\Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def members(value: object, what: str, names: Collection[str], optional: Collection[str] = ()) -> dict[str, Any]:
    """The value as an object with exactly these members; raises Malformed."""
    found = mapping(value, what)
    if missing := set(names) - set(found):
        raise Malformed(f"{what} lacks {', '.join(sorted(missing))}.")
    if unknown := set(found) - set(names) - set(optional):
        raise Malformed(f"{what} has members that are not known here: {shown(', '.join(sorted(unknown)))}.")
    return found


def mapping(value: object, what: str, most: int | None = None) -> dict[str, Any]:
    """The value as an object of at most ``most`` members; raises Malformed."""
    if not isinstance(value, dict):
        raise Malformed(f"{what} is not an object.")
    if most is not None and len(value) > most:
        raise Malformed(f"{what} has more than {most} members.")
    return value


def listed(value: object, what: str, most: int) -> list[Any]:
    """The value as a list of at most ``most``; raises Malformed."""
    if not isinstance(value, list):
        raise Malformed(f"{what} is not a list.")
    if len(value) > most:
        raise Malformed(f"{what} has more than {most} entries.")
    return value


def text(value: object, what: str) -> str:
    """The value as a string; raises Malformed."""
    if not isinstance(value, str):
        raise Malformed(f"{what} is not a text.")
    return value


def number(value: object, what: str, low: int, high: int = LARGEST) -> int:
    """The value as a whole number between these; raises Malformed.  ``true`` is none."""
    if type(value) is not int or not low <= value <= high:
        raise Malformed(f"{what} is not a whole number between {low} and {high}.")
    return value


def key_ids(value: object, what: str, most: int) -> list[str]:
    """The value as a list of key ids, each once; raises Malformed."""
    found = listed(value, what, most)
    if not all(isinstance(key_id, str) and KEY_ID.match(key_id) for key_id in found):
        raise Malformed(f"{what} has a key id that is not 64 lower-case hex digits.")
    if len(set(found)) != len(found):
        raise Malformed(f"{what} has a key id twice.")
    return found


def name(value: object, what: str) -> str:
    """The value as the name of a target; raises Malformed.

    No name can leave a folder, should anybody ever take one for a path (TRUST 1.2): no ``..`` or ``.`` between
    slashes, no empty part, no control character, no backslash.
    """
    found = text(value, what)
    if _TAG.match(found):
        return found
    if not 0 < len(found) <= MAX_NAME or any(part in ("", ".", "..") for part in found.split("/")):
        raise Malformed(f"{what} {shown(found)} is not a name of 1 to {MAX_NAME} characters without empty parts.")
    return _plain(found, what)


def prefix(value: object, what: str) -> str:
    """The value as a prefix of names, the empty one included; raises Malformed."""
    found = text(value, what)
    parts = found.split("/")
    if len(found) > MAX_NAME or any(part in ("", ".", "..") for part in parts[:-1]) or parts[-1] == "..":
        raise Malformed(f"{what} {shown(found)} can't be the prefix of a name.")
    return _plain(found, what)


def _plain(found: str, what: str) -> str:
    if _CONTROL.search(found) or "\\" in found:
        raise Malformed(f"{what} {shown(found)} has a control character or a backslash.")
    return found


def check_custom(value: object, what: str) -> None:
    """Holds custom data to what survives Notary: strings, whole numbers, booleans, null, lists, objects of them.

    Notary keeps custom data as the bytes of the file, signs those, and verifies the canonical form: where a text has
    a character that Go escapes for HTML, the two differ, and nobody could publish the file again.

    Raises:
        Malformed: a floating number, a number over 15 digits, a type that JSON doesn't have, a text with ``<``,
            ``>``, ``&``, U+2028 or U+2029.
    """
    if isinstance(value, str):
        if _FOR_HTML.search(value):
            raise Malformed(f"{what} has <, >, & or a line separator in a text, which Notary can't sign again.")
    elif isinstance(value, dict):
        for member, entry in value.items():
            check_custom(text(member, what), what)
            check_custom(entry, what)
    elif isinstance(value, list):
        for entry in value:
            check_custom(entry, what)
    elif value is not None and not isinstance(value, bool):
        number(value, what, SMALLEST)
