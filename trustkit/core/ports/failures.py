"""How often something has failed, counted where all replicas see it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Failure:
    """What a failure costs.

    Attributes:
        key: whose failures are counted together: 32 bytes that name nobody.
        seconds: how long it counts.
        most: how many seconds may be owed at once; what more fails meanwhile counts no longer than that.
    """

    key: bytes
    seconds: float
    most: float


class Failures(Protocol):
    """Adds up seconds that pass by themselves, by one clock for everybody.

    Invariants: what ``add`` has returned for is in every later answer of ``owed``, whoever asks; nothing owed is
    nothing kept.
    """

    async def owed(self, keys: Sequence[bytes]) -> Mapping[bytes, float]:
        """How many seconds are left of what failed, by key; a key with none left may be missing.

        Raises:
            DatabaseUnavailable, StateError: it can't be said.
        """
        ...

    async def add(self, failures: Sequence[Failure]) -> Mapping[bytes, float]:
        """Counts failures, all of them or none; returns what is owed then, by key.

        Args:
            failures: several of one key add up; everybody names their keys in the same order.

        Raises:
            DatabaseUnavailable, OutcomeUnknown, StateError: they may not be counted.
        """
        ...
