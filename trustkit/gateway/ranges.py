"""Byte ranges: of a download (RFC 9110, section 14), and of a chunk of an upload (distribution specification)."""

from __future__ import annotations

import re

from trustkit.gateway.problems import Code, Refused

_ONE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})\Z")
_CHUNK = re.compile(r"(?:bytes[ =])?([0-9]{1,18})-([0-9]{1,18})(?:/(?:\*|[0-9]{1,18}))?\Z")


def download(header: str, size: int) -> tuple[int, int] | None:
    """The first byte and the byte after the last; None for the whole: no range, several, or another unit.

    Raises:
        Refused: a range that this size can't meet (416).
    """
    found = _ONE.match(header.strip().lower())
    if not found or not (found[1] or found[2]):
        return None
    if found[1]:
        start, end = int(found[1]), min(int(found[2]) + 1, size) if found[2] else size
        if found[2] and int(found[2]) < start:
            return None
    else:
        start, end = max(size - int(found[2]), 0), size
    if start >= end:
        raise Refused(
            Code.RANGE_INVALID, "The range is outside the blob.", headers=[("content-range", f"bytes */{size}")]
        )
    return start, end


def chunk(header: str) -> tuple[int, int] | None:
    """First and last byte of a chunk by its Content-Range; None where there is none.

    Raises:
        Refused: it can't be read.
    """
    if not header:
        return None
    found = _CHUNK.match(header.strip())
    if not found or int(found[2]) < int(found[1]):
        raise Refused(Code.BLOB_UPLOAD_INVALID, "The Content-Range of the chunk can't be read.")
    return int(found[1]), int(found[2])
