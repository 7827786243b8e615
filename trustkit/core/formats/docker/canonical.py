"""Canonical JSON as Go's Notary writes it, and what becomes of it in a file.

Signatures cover the canonical form: members sorted by their bytes, no spaces, raw UTF-8, nothing escaped but the
quote and the backslash.  In a file the same text stands with five characters escaped for HTML, as Go's ``Marshal``
compacts what it embeds.  Both directions are one to one, so what is covered is found in the received bytes.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from typing import Any

from trustkit.core.strictjson import parse as parse_strictly
from trustkit.errors import Malformed

LARGEST = 10**15 - 1
"""Notary reads numbers as floating point: what is larger may come back as another one."""
SMALLEST = -(10**14 - 1)
"""Numbers are read up to 15 characters, the sign among them."""

_HTML: Mapping[bytes, bytes] = {
    b"<": rb"\u003c",
    b">": rb"\u003e",
    b"&": rb"\u0026",
    "\u2028".encode(): rb"\u2028",
    "\u2029".encode(): rb"\u2029",
}
_CHARACTERS: Mapping[bytes, bytes] = {escape: character for character, escape in _HTML.items()}
_ESCAPE = re.compile(rb"\\(?:u003c|u003e|u0026|u2028|u2029|.)", re.DOTALL)
_FOR_HTML = re.compile(b"|".join(_HTML))


def parse(data: bytes, *, max_bytes: int, what: str, repeated: bool = False) -> dict[str, Any]:
    """As ``strictjson.parse``, of UTF-8."""
    return parse_strictly(data, max_bytes=max_bytes, what=what, repeated=repeated, utf8=True)


def canonical(value: object, what: str) -> bytes:
    """The bytes that signatures cover.

    Args:
        value: of strings, whole numbers, booleans, None, lists and dicts only: see ``values.check_custom``.
        what: names the file in errors.

    Raises:
        Malformed: a string has a control character, which the canonical form leaves raw and JSON forbids, or a half
            of a surrogate pair.
    """
    try:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        data = text.encode("utf-8")
    except (ValueError, TypeError, RecursionError) as error:
        raise Malformed(f"{what} can't be written as canonical JSON.") from error
    if b"\\" in data and b"\\" in data.replace(rb"\\", b"").replace(rb"\"", b""):
        raise Malformed(f"{what} has a control character in a text.")
    return data


def escaped(covered: bytes) -> bytes:
    """How the canonical form stands in a file."""
    if not any(character in covered for character in _HTML):  # as almost always
        return covered
    return _FOR_HTML.sub(lambda found: _HTML[found[0]], covered)


def unescaped(part: bytes) -> bytes:
    """The inverse of ``escaped``: what stood in a file, as signatures cover it."""
    if b"\\u" not in part:
        return part
    return _ESCAPE.sub(lambda found: _CHARACTERS.get(found[0], found[0]), part)


def base64_text(data: bytes) -> str:
    """Standard base64 with padding."""
    return base64.b64encode(data).decode("ascii")


def from_base64(text: object, what: str, *, longest: int) -> bytes:
    """Reads standard base64 in its one spelling; raises Malformed.

    Args:
        longest: the most bytes that may come out.
    """
    if not isinstance(text, str) or not text.isascii() or len(text) > longest * 4 // 3 + 4:
        raise Malformed(f"{what} is not base64 of at most {longest} bytes.")
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Malformed(f"{what} is not base64.") from error
    if len(data) > longest or base64_text(data) != text:
        raise Malformed(f"{what} is not base64 of at most {longest} bytes, in its one spelling.")
    return data
