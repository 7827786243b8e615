"""What is remembered for a while and within a bound: whatever clients make up, it takes no more than it may."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Bounded(Generic[K, V]):
    """Values by key, each with a size; those that were used longest ago make room for the newest.

    The newest itself is kept however large it is, so that one that doesn't fit isn't made anew each time.

    Args:
        limit: what the sizes may add up to, in the unit that they have.

    Attributes:
        size: what they add up to.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self.size = 0

    def get(self, key: K) -> V | None:
        """The value of this key, which counts as used now; None where it isn't kept."""
        found = self._kept.get(key)
        if found is None:
            return None
        self._kept.move_to_end(key)
        return found[0]

    def keep(self, key: K, value: V, size: int = 1) -> None:
        """Keeps a value in the place of the one that the key had."""
        self.drop(key)
        self._kept[key] = value, size
        self.size += size
        while self.size > self._limit and len(self._kept) > 1:
            _, (_, dropped) = self._kept.popitem(last=False)
            self.size -= dropped

    def drop(self, key: K) -> None:
        """Forgets it, if it is there."""
        found = self._kept.pop(key, None)
        if found is not None:
            self.size -= found[1]

    def __len__(self) -> int:
        return len(self._kept)
