"""What happened to collections in format ``docker``, as Notary's changefeed tells it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from trustkit.core.names import Gun

UPDATE, DELETION = "update", "deletion"


@dataclass(frozen=True, slots=True)
class Change:
    """One entry of the changefeed: a new timestamp, or a deletion (version 0, no hash).  ``id`` is 0 before it is in.

    ``sha256`` is the timestamp's, in hex; ``category`` is ``update`` or ``deletion``.
    """

    at: datetime
    gun: Gun
    version: int
    sha256: str
    category: str
    id: int = 0


class Changefeed(Protocol):
    """What happened to collections in format ``docker``, append-only, oldest first; ids rise."""

    async def append(self, change: Change) -> None: ...

    async def after(self, change_id: int, limit: int, gun: Gun | None = None) -> Sequence[Change]:
        """The first ``limit`` entries after this one, of all collections or of one."""
        ...

    async def before(self, change_id: int | None, limit: int, gun: Gun | None = None) -> Sequence[Change]:
        """The last ``limit`` entries before this one, or of all for None; oldest first, too."""
        ...
