"""What changed since: how a process learns that another one has written to the database."""

from __future__ import annotations

from collections.abc import Callable, Set
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from trustkit.core.names import Gun


@dataclass(frozen=True, slots=True)
class Changed:
    """What was committed since a mark.

    Attributes:
        mark: says where the database is now; of no use but to ask again with it.
        guns: the collections that changed, where nothing else did; None where anything may have.
    """

    mark: str
    guns: Set[Gun] | None = frozenset()


Listener: TypeAlias = Callable[[Set[Gun] | None], None]
"""Is told the collections that were changed, where nothing else was; None where anything may have been."""


class Changes(Protocol):
    """Tells of commits, whoever made them.

    Invariants: an answer without ``guns`` means that whatever was read after the mark was taken is what a new read
    would find at the moment of asking.  Nobody is told less than happened; to be told more is allowed.
    """

    async def changed_since(self, mark: str) -> Changed:
        """What was committed since the mark; everything, for a mark that isn't one of this store's.

        Raises:
            StateError: the database can't be asked; nothing is known then.
        """
        ...

    def tell_own(self, listener: Listener) -> bool:
        """Has this process's own commits told to a listener, before whoever committed goes on.

        Returns:
            True: and ``changed_since`` leaves them out.  False: it doesn't; they are told with everybody's.
        """
        ...
