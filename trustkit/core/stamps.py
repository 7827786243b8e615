"""When something was read, for who hands it out later and has to know whether it still counts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from trustkit.core.names import Repository

_NEVER = -1


@dataclass(frozen=True, slots=True)
class Stamp:
    """When a read began, and how many changes were known then.

    Attributes:
        epoch: changes of anything.
        repository: whose collection was read, or that it has none; None for anything else.
        moves: changes of its collection since the last one of anything.
    """

    at: datetime
    epoch: int
    repository: Repository | None = None
    moves: int = 0


def both(collection: Stamp, other: Stamp) -> Stamp:
    """A stamp that counts only while these two do, the second of which is of no collection."""
    epoch = collection.epoch if collection.epoch == other.epoch else _NEVER
    return Stamp(min(collection.at, other.at), epoch, collection.repository, collection.moves)
