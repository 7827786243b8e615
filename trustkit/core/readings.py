"""Files that are met more than once, read once.

Only what their bytes say is remembered, never that anybody signed them: thresholds, names, versions and times are
checked each time, under the keys of that time.
"""

from __future__ import annotations

from typing import Any, Protocol, TypeVar, cast

from tuf.api.metadata import Metadata, Root, Snapshot, Targets, Timestamp

from trustkit.core.formats.tuf1 import read

S = TypeVar("S", Root, Targets, Snapshot, Timestamp)

KEPT = 32
"""As many files are remembered, the newest ones."""


class Reader(Protocol):
    """Reads a metadata file as ``formats.tuf1.read`` does, which is one; nobody changes in place what it gives."""

    def __call__(self, data: bytes, kind: type[S], what: str = "") -> Metadata[S]: ...


class Readings:
    """A ``Reader`` that gives the same object for the same bytes; for one command, not for a service that goes on."""

    def __init__(self) -> None:
        self._read: dict[tuple[type[Any], bytes], Metadata[Any]] = {}

    def __call__(self, data: bytes, kind: type[S], what: str = "") -> Metadata[S]:
        """As ``formats.tuf1.read``; what raised is read again."""
        known = self._read.get((kind, data))
        if known is None:
            known = self._read[kind, data] = read(data, kind, what)
            while len(self._read) > KEPT:
                del self._read[next(iter(self._read))]
        return cast("Metadata[S]", known)
