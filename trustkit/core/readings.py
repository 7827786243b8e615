"""Files that are met more than once, read once.

Only what their bytes say is remembered, never that anybody signed them: thresholds, names, versions and times are
checked each time, under the keys of that time.
"""

from __future__ import annotations

from functools import cached_property
from threading import Lock
from typing import Any, Protocol, TypeVar, cast

from tuf.api.metadata import Metadata, Root, Snapshot, Targets, Timestamp

from trustkit.core.formats.tuf1 import read

S = TypeVar("S", Root, Targets, Snapshot, Timestamp)

KEPT_BYTES = 8_000_000
"""Files of so many bytes together are remembered, the newest ones: parsed, they take ten times as much."""


class Reader(Protocol):
    """Reads a metadata file as ``formats.tuf1.read`` does, which is one, as ``formats.docker.files.read`` is.

    Nobody changes in place what it gives.
    """

    def __call__(self, data: bytes, kind: type[S], what: str = "") -> Metadata[S]: ...


class Readings:
    """A ``Reader`` that gives the same object for the same bytes; what goes on for days has one that keeps less.

    Args:
        reader: of the collection's format; that of ``tuf`` unless given.
        kept: bytes of files together that are remembered; a file that is larger isn't.
    """

    def __init__(self, reader: Reader = read, *, kept: int = KEPT_BYTES) -> None:
        self._reader = reader
        self._kept = kept
        self._read: dict[tuple[type[Any], bytes], Metadata[Any]] = {}
        self._size = 0
        self._changing = Lock()

    def __call__(self, data: bytes, kind: type[S], what: str = "") -> Metadata[S]:
        """As the reader that it was given; what raised is read again."""
        known = self._read.get((kind, data))
        if known is None:
            known = self._reader(data, kind, what)
            self._keep((kind, data), known)
        return cast("Metadata[S]", known)

    @cached_property
    def docker(self) -> Readings:
        """What is read beside these files of collections in format ``docker``."""
        from trustkit.core.formats.docker.files import read as read_docker  # here, for who meets such a collection

        return Readings(read_docker)

    def __len__(self) -> int:
        """How many files are remembered."""
        return len(self._read)

    def _keep(self, key: tuple[type[Any], bytes], metadata: Metadata[Any]) -> None:
        if len(key[1]) > self._kept:
            return
        with self._changing:
            self._size += 0 if key in self._read else len(key[1])
            self._read[key] = metadata
            while self._size > self._kept:
                oldest = next(iter(self._read))
                del self._read[oldest]
                self._size -= len(oldest[1])
