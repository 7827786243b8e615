"""Versions of files that others have taken the place of, for whoever prunes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from trustkit.core.names import Gun


@dataclass(frozen=True, slots=True)
class Shelf:
    """Where the files of one collection lie.

    Attributes:
        gun: what it is called; also that of the collection that a frozen side was converted to.
        number: the store's own, which stays when a conversion gives the name to another one.
        frozen: whether it is the side of a converted collection that docker reads.
    """

    gun: Gun
    number: int
    frozen: bool = False


@dataclass(frozen=True, slots=True)
class Held:
    """How much there is: files and their bytes, those of them that are past, and those that may go."""

    files: int = 0
    bytes: int = 0
    past: int = 0
    past_bytes: int = 0
    due: int = 0
    due_bytes: int = 0

    def __add__(self, other: Held) -> Held:
        return Held(
            self.files + other.files,
            self.bytes + other.bytes,
            self.past + other.past,
            self.past_bytes + other.past_bytes,
            self.due + other.due,
            self.due_bytes + other.due_bytes,
        )


@dataclass(frozen=True, slots=True)
class PastFile:
    """A version that a later one has taken the place of."""

    role: str
    series: int
    version: int
    bytes: int


class Past(Protocol):
    """Looks for such versions, and removes them.

    Invariants: a root is never past, nor is the last version of a role, in each series and in each format: heads and
    what they say stay, so no version is ever used twice (TRUST 3.4).  The database itself refuses to remove those.
    """

    async def shelves(self) -> Sequence[Shelf]:
        """Those of all collections, closed ones and frozen sides too, by name."""
        ...

    async def held(self, shelf: Shelf, *, before: datetime | None, versions: int) -> Held:
        """How much there is of one.

        Args:
            before: may go what another version had taken the place of then; None for nothing.
            versions: this many past versions of each role stay, the newest ones.
        """
        ...

    async def due(self, shelf: Shelf, *, before: datetime, versions: int, limit: int) -> Sequence[PastFile]:
        """At most so many of the files that may go, the oldest of each role first."""
        ...

    async def remove(self, shelf: Shelf, files: Sequence[PastFile]) -> Sequence[PastFile]:
        """Removes these; returns those that were still there.

        Raises:
            StateError: verification needs one of them; nothing of the transaction may be kept.
        """
        ...
