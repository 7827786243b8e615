"""A large publish, judged and signed before its transaction begins, so that others wait for its writing only.

Signing all hash bins of a collection anew takes the service ten seconds, and with SQLite one write transaction goes
on at a time.  Nothing is stored before it, so that a crash leaves what there was.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from trustkit.core.judge import State
from trustkit.core.ports.service import CollectionRecord, StoredFile

AHEAD_BYTES, AHEAD_FILES = 256 * 1024, 64
"""An upload of more bytes, or of more files than these is judged ahead."""
AHEAD_TRIES = 3
"""So often, where the collection moves meanwhile; then it is judged in the transaction, and nothing moves."""

M = TypeVar("M")


def is_large(upload: Mapping[str, bytes]) -> bool:
    """Whether an upload is judged ahead."""
    return len(upload) > AHEAD_FILES or sum(map(len, upload.values())) > AHEAD_BYTES


class Moved(Exception):
    """What a publish was judged against is no more what is stored."""


@dataclass(frozen=True, slots=True)
class Ahead(Generic[M]):
    """What was judged, against what, and what came of it.

    Attributes:
        record: the collection's, whose generation moves with each change of its files.
        current: its files.
    """

    record: CollectionRecord
    current: Mapping[str, StoredFile]
    state: State
    made: M

    def files_of(self, record: CollectionRecord | None) -> Mapping[str, StoredFile]:
        """The files, where the collection has not moved; raises Moved where it has."""
        if record != self.record:
            raise Moved
        return self.current

    def made_of(self, state: State) -> M:
        """What came of it, under the same keys, and with no proposal dropped since; raises Moved otherwise."""
        if state != self.state:
            raise Moved
        return self.made
