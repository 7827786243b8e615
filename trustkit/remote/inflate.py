"""Answers that were asked for packed, unpacked piece by piece: whoever reads stops where it has read enough."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

from trustkit.errors import Garbage

GZIP = {"Accept-Encoding": "gzip"}
"""What a request sends that takes a packed answer; nothing else does."""
_PIECE = 65536
_WRAPPED = 16 + zlib.MAX_WBITS


def unpacked(chunks: Iterable[bytes], where: str) -> Iterator[bytes]:
    """The bytes of one gzip member, at most 64 KiB at once, however much it would become.

    Raises:
        Garbage: it isn't one, ends early, or something follows it.
    """
    inflating = zlib.decompressobj(_WRAPPED)
    try:
        for chunk in chunks:
            left = chunk
            while left and not inflating.eof:
                if piece := inflating.decompress(left, _PIECE):
                    yield piece
                left = inflating.unconsumed_tail
            if inflating.eof and inflating.unused_data + left:
                raise Garbage(f"{where} sends more after the end of a packed answer.")
        while not inflating.eof and (piece := inflating.decompress(b"", _PIECE)):
            yield piece
    except zlib.error as error:
        raise Garbage(f"{where} sends an answer that can't be unpacked.") from error
    if not inflating.eof:
        raise Garbage(f"{where} sends a packed answer that ends early.")
