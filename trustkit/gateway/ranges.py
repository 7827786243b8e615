"""Byte ranges: of a download (RFC 9110, section 14), and of a chunk of an upload (distribution specification)."""

from __future__ import annotations

import re

from trustkit.gateway.exchange import HeaderPairs
from trustkit.gateway.problems import Code, Refused

_ONE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})\Z")
_CHUNK = re.compile(r"(?:bytes[ =])?([0-9]{1,18})-([0-9]{1,18})(?:/(?:\*|[0-9]{1,18}))?\Z")


def download(header: str, size: int) -> tuple[int, int] | None:
    """The first byte and the byte after the last; None for the whole: no range, several, or another unit.

    Raises:
        Refused: a range that this size can't meet, or that ends before it starts (416).
    """
    found = _ONE.match(header.strip().lower())
    if not found or not (found[1] or found[2]):
        return None
    if found[1]:
        start, end = int(found[1]), min(int(found[2]) + 1, size) if found[2] else size
    else:
        start, end = max(size - int(found[2]), 0), size
    if start >= end:
        headers = [("content-range", f"bytes */{size}")]
        raise Refused(Code.UNSUPPORTED, "The range is outside the blob.", status=416, headers=headers)
    return start, end


def chunk(header: str, offset: int, progress: HeaderPairs) -> int | None:
    """How many bytes a chunk has by its Content-Range; None where it has no such header.

    Args:
        offset: how far the upload has come, which is where the chunk has to start.
        progress: the headers that tell the client so.

    Raises:
        Refused: it can't be read, or starts elsewhere (416).
    """
    if not header:
        return None
    found = _CHUNK.match(header.strip())
    if not found or int(found[2]) < int(found[1]):
        message = "The Content-Range of the chunk can't be read."
    elif int(found[1]) != offset:
        message = f"The upload has come to byte {offset}; the chunk starts at {int(found[1])}."
    else:
        return int(found[2]) - offset + 1
    raise Refused(Code.BLOB_UPLOAD_INVALID, message, status=416, headers=progress)
