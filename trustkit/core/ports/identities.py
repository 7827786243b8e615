"""Who can log in, as the service keeps it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from trustkit.core.access import Assignment
from trustkit.core.names import PrincipalName

_BEGAN = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class PrincipalRecord:
    """Somebody who can log in.  ``epoch`` rises with a new password or a disable: older refresh tokens are dead."""

    name: PrincipalName
    password_hash: str
    disabled: bool
    epoch: int
    created: datetime

    @property
    def holder(self) -> str:
        """Who has the name, with which password: another text for whoever has it later, and for a new password."""
        return f"{(self.created - _BEGAN) // timedelta(microseconds=1):x}-{self.epoch}"


@dataclass(frozen=True, slots=True)
class RefreshRecord:
    """A refresh token, by its SHA-256; bound to principal and service."""

    token_hash: bytes
    principal: PrincipalName
    service: str
    epoch: int
    expires: datetime


class Identities(Protocol):
    """Principals, their roles and refresh tokens.  Removing a principal removes the rest with it."""

    async def add(self, name: PrincipalName, password_hash: str, now: datetime) -> None:
        """Raises Conflict where the name is taken."""
        ...

    async def get(self, name: PrincipalName) -> PrincipalRecord | None: ...
    async def list(self) -> list[PrincipalRecord]: ...

    async def set_password(self, name: PrincipalName, password_hash: str) -> None:
        """Raises NotFound; the epoch rises."""
        ...

    async def set_disabled(self, name: PrincipalName) -> None:
        """Raises NotFound; the epoch rises."""
        ...

    async def remove(self, name: PrincipalName) -> None:
        """Raises NotFound."""
        ...

    async def assign(self, name: PrincipalName, assignment: Assignment) -> None:
        """Assigns once; a second time changes nothing.  Raises NotFound."""
        ...

    async def revoke(self, name: PrincipalName, assignment: Assignment) -> None:
        """Raises NotFound where there is no such assignment."""
        ...

    async def assignments(self, name: PrincipalName) -> tuple[Assignment, ...]: ...

    async def held(self, name: PrincipalName) -> tuple[Assignment, ...]:
        """The assignments that count: none of a disabled principal."""
        ...

    async def add_refresh(self, record: RefreshRecord) -> None: ...
    async def refresh(self, token_hash: bytes) -> RefreshRecord | None: ...
    async def drop_refresh_expired(self, now: datetime) -> int: ...
