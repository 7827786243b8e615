"""What the service keeps of proposals: changes that wait for the signatures of others (TRUST 3.10)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from trustkit.core.names import Gun, PrincipalName


@dataclass(frozen=True, slots=True)
class ProposedFile:
    """One file of a proposal, with the signatures that it has so far."""

    role: str
    version: int
    data: bytes


@dataclass(frozen=True, slots=True)
class OpenProposal:
    """A proposal that is neither complete nor dropped; ``files`` are by role."""

    id: str
    opened: datetime
    by: PrincipalName
    files: Mapping[str, ProposedFile]


@dataclass(frozen=True, slots=True)
class DroppedPayload:
    """What signatures covered in a dropped proposal: the SHA-256, in hex, of one role's payload."""

    role: str
    version: int
    digest: str


@dataclass(frozen=True, slots=True)
class Standing:
    """What a publish has to reckon with, beside the files.

    Attributes:
        holders, consumed: as ``Proposals`` has them.
        dropped: the digests of all dropped payloads.
        ceilings: as ``Upkeep.jumps``.
    """

    holders: Mapping[str, str] = field(default_factory=dict)
    consumed: Mapping[str, int] = field(default_factory=dict)
    dropped: frozenset[str] = frozenset()
    ceilings: Mapping[str, int] = field(default_factory=dict)


class Proposals(Protocol):
    """The proposals of each GUN, and what dropped ones have used up.

    Invariants: a role stands in at most one open proposal of a GUN; a consumed version never goes back.
    """

    async def list(self, gun: Gun) -> Sequence[OpenProposal]:
        """Every open one, the oldest first."""
        ...

    async def get(self, gun: Gun, identifier: str) -> OpenProposal | None: ...

    async def holders(self, gun: Gun) -> Mapping[str, str]:
        """By role the id of the open proposal that has it."""
        ...

    async def standing(self, gun: Gun) -> Standing:
        """All of it at once."""
        ...

    async def add(self, gun: Gun, proposal: OpenProposal) -> None:
        """Raises Conflict where one of its roles stands in another."""
        ...

    async def put_files(self, gun: Gun, identifier: str, files: Mapping[str, ProposedFile]) -> None:
        """Puts these files in the place of those that the proposal has, by role."""
        ...

    async def remove(self, gun: Gun, identifier: str) -> None:
        """Forgets a proposal with its files; what it used up is for ``consume`` and ``drop``."""
        ...

    async def consumed(self, gun: Gun) -> Mapping[str, int]:
        """By role the highest version that a dropped proposal has used up."""
        ...

    async def consume(self, gun: Gun, role: str, version: int) -> None:
        """Uses a version up; a lower one than is used up already changes nothing."""
        ...

    async def dropped(self, gun: Gun) -> Sequence[DroppedPayload]:
        """What must not come back."""
        ...

    async def drop(self, gun: Gun, payload: DroppedPayload) -> None:
        """Remembers a payload, and forgets those of its role that have a lower version than ``payload``'s."""
        ...
