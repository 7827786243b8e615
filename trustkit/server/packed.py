"""Metadata files that are sent packed to whoever asks: of a snapshot with a thousand names a seventh is left.

Files of format ``tuf`` are held to their one spelling once they are unpacked, so packing changes no byte that counts.
"""

from __future__ import annotations

import gzip
from functools import lru_cache

from trustkit.core.bins import prefix_of
from trustkit.core.ports.service import StoredFile
from trustkit.gateway.exchange import Exchange

LEAST, MOST = 4096, 256 * 1024
"""Bytes: below, nothing is won; above, it would take the time of others."""
PACKED = ("content-encoding", "gzip")
VARIES = ("vary", "accept-encoding")


def packable(file: StoredFile) -> bool:
    """Whether a file may be sent packed: a snapshot or a hash bin, neither small nor huge."""
    return (file.role == "snapshot" or prefix_of(file.role) is not None) and LEAST < len(file.data) <= MOST


def takes_packed(exchange: Exchange) -> bool:
    """Whether whoever asks says so, in the one way that our client does; anybody else gets the bytes as they are."""
    return exchange.headers.get("accept-encoding", "").strip().lower() == "gzip"


@lru_cache(maxsize=64)
def packed(data: bytes) -> bytes:
    """The same bytes for the same file."""
    return gzip.compress(data, 6, mtime=0)
