"""When something was read, for who hands it out later and has to know whether it still counts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from trustkit.core.names import Repository


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
