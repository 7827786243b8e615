"""What is left of a collection in format ``docker`` beside the one in format ``tuf`` that it became (TRUST 5.4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from trustkit.core.names import Digest, Gun
from trustkit.core.ports.stored import SealedKey, StoredFile


@dataclass(frozen=True, slots=True)
class FormerRecord:
    """The frozen side of a converted collection.

    Attributes:
        until: its final expiry, which every file of its publisher has.
        ended: when the service ended it before that; None while it is read as it stands.
        reason: why.
    """

    gun: Gun
    converted: datetime
    until: datetime
    ended: datetime | None = None
    reason: str = ""

    def over(self, now: datetime) -> bool:
        """Whether nothing of it counts any more."""
        return self.ended is not None or self.until <= now


class Former(Protocol):
    """The frozen sides.

    Invariants: a collection is converted once; what was stored of it stays, as everything stored does; its keys are
    never those of the collection that it became.
    """

    async def get(self, gun: Gun) -> FormerRecord | None: ...
    async def list(self) -> Sequence[FormerRecord]: ...

    async def due(self, *, before: datetime, now: datetime) -> Sequence[FormerRecord]:
        """Those that are read still, and whose timestamp expires before this moment and before they end."""
        ...

    async def begin(self, gun: Gun, until: datetime, now: datetime) -> None:
        """Makes the open collection the frozen side, and an empty one in format ``tuf`` in its place.

        That one has the keys of ``coming_keys``, and the frozen side the ones that it had.  What the collection was
        in format ``tuf`` before it was in the other one stays with the new one, so that no version is used twice.

        Raises:
            NotFound: there is none.
            Conflict: it was converted before.
        """
        ...

    async def end(self, gun: Gun, reason: str, now: datetime) -> None:
        """Says that the frozen side ended, and forgets its keys; where it has ended, it stays as it was."""
        ...

    async def versions(self, gun: Gun) -> Mapping[str, int]:
        """By role the last version in format ``tuf`` of a collection that is in the other one now."""
        ...

    async def coming_keys(self, gun: Gun) -> Mapping[str, SealedKey]:
        """The keys by role that wait for the conversion; empty before they were made."""
        ...

    async def add_coming_keys(self, gun: Gun, keys: Sequence[SealedKey], now: datetime) -> None:
        """Raises Conflict where there are keys for one of these roles."""
        ...

    async def keys(self, gun: Gun) -> Mapping[str, SealedKey]:
        """The frozen side's by role."""
        ...

    async def current(self, gun: Gun) -> Mapping[str, StoredFile]:
        """As ``Collections.current``, and the next three likewise."""
        ...

    async def file(self, gun: Gun, role: str, version: int) -> StoredFile | None: ...
    async def newest(self, gun: Gun, role: str) -> StoredFile | None: ...
    async def file_by_digest(self, gun: Gun, role: str, digest: Digest) -> StoredFile | None: ...

    async def add_files(self, gun: Gun, files: Sequence[StoredFile], now: datetime) -> None:
        """As ``Collections.add_files``; the generation of the collection in format ``tuf`` rises."""
        ...
