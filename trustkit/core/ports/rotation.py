"""What a rotation that was interrupted leaves behind, so that the next one ends it."""

from __future__ import annotations

from typing import Protocol

from trustkit.core.names import Gun
from trustkit.core.records import dataclass


@dataclass(frozen=True, slots=True)
class Begun:
    """A rotation that was begun: the ids of the key that goes and of the one that comes.

    ``role`` is ``root`` or ``repository``; ``version`` that of the root that it was begun on.  Once there is another
    root the new key may have been in use, and have been replaced as a stolen one: then it isn't used again.
    """

    gun: Gun
    role: str
    old: str
    new: str
    version: int


class Rotations(Protocol):
    """The rotations that were begun in one TRUSTKIT_HOME and not seen to end.

    Invariants: what was begun is on disk before anything is published; at most one for each GUN and role.
    """

    def begun(self, gun: Gun, role: str) -> Begun | None:
        """The rotation of a role that was begun and not ended."""
        ...

    def begin(self, rotation: Begun, *, seen: Begun | None) -> Begun:
        """Notes a rotation in the place of ``seen``; returns what counts: another's, where that came in between."""
        ...

    def end(self, gun: Gun, role: str) -> None:
        """Forgets it; no error where there is none."""
        ...
