"""Principals and their roles: every change with its audit row, in one transaction (TRUST 8.4)."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from trustkit.authority.passwords import Passwords, generate_password
from trustkit.core.access import Assignment
from trustkit.core.names import PrincipalName
from trustkit.core.ports.service import AuditRow, PrincipalRecord, Store, Transaction


@dataclass(frozen=True, slots=True)
class Operator:
    """Who administers, and from where; what the audit rows say."""

    name: str
    source: str


class Principals:
    """The operator's use cases for principals.

    Args:
        operator: who does it.
        clock: gives the moment of a change.
    """

    def __init__(
        self, store: Store, passwords: Passwords, *, operator: Operator, clock: Callable[[], datetime]
    ) -> None:
        self._store = store
        self._passwords = passwords
        self._operator = operator
        self._clock = clock

    async def add(self, name: PrincipalName, password: str | None = None) -> str | None:
        """Adds a principal without roles.

        Args:
            password: None generates one.

        Returns:
            The generated password, which is nowhere else; None where one was given.

        Raises:
            Conflict: the name is taken.
            InvalidSetting: the password is too short or too long.
        """
        chosen = generate_password() if password is None else password
        hashed = await self._passwords.hash(chosen)
        async with self._store.write() as tx:
            now = self._clock()
            await tx.identities.add(name, hashed, now)
            await self._note(tx, now, "principal-added", name)
        return chosen if password is None else None

    async def set_password(self, name: PrincipalName, password: str | None = None) -> str | None:
        """Gives a new password, generated where none is given and then returned; refresh tokens die.

        Raises:
            NotFound, InvalidSetting.
        """
        chosen = generate_password() if password is None else password
        hashed = await self._passwords.hash(chosen)
        async with self._store.write() as tx:
            await tx.identities.set_password(name, hashed)
            await self._note(tx, self._clock(), "password-set", name)
        return chosen if password is None else None

    async def disable(self, name: PrincipalName) -> None:
        """No login any more, no rights, refresh tokens dead; the name stays taken.  Raises NotFound."""
        async with self._store.write() as tx:
            await tx.identities.set_disabled(name)
            await self._note(tx, self._clock(), "principal-disabled", name)

    async def remove(self, name: PrincipalName) -> None:
        """Removes the principal with roles and refresh tokens; the audit log keeps the name.  Raises NotFound."""
        async with self._store.write() as tx:
            held = [_words(assignment) for assignment in await tx.identities.assignments(name)]
            await tx.identities.remove(name)
            await self._note(tx, self._clock(), "principal-removed", name, {"roles": held})

    async def list(self) -> builtins.list[PrincipalRecord]:
        """All principals by name."""
        async with self._store.read() as tx:
            return await tx.identities.list()

    async def assign(self, name: PrincipalName, assignment: Assignment) -> None:
        """Assigns a role on a pattern of repositories.  Raises NotFound."""
        async with self._store.write() as tx:
            await tx.identities.assign(name, assignment)
            await self._note(tx, self._clock(), "role-assigned", name, _detail(assignment))

    async def revoke(self, name: PrincipalName, assignment: Assignment) -> None:
        """Takes a role away again, of exactly this pattern.  Raises NotFound."""
        async with self._store.write() as tx:
            await tx.identities.revoke(name, assignment)
            await self._note(tx, self._clock(), "role-revoked", name, _detail(assignment))

    async def assignments(self) -> Mapping[PrincipalName, tuple[Assignment, ...]]:
        """The roles of every principal, also of those who have none."""
        async with self._store.read() as tx:
            names = [record.name for record in await tx.identities.list()]
            return {name: await tx.identities.assignments(name) for name in names}

    async def _note(
        self,
        tx: Transaction,
        now: datetime,
        action: str,
        name: PrincipalName,
        detail: Mapping[str, object] | None = None,
    ) -> None:
        operator = self._operator
        await tx.audit.append(AuditRow(now, operator.name, operator.source, action, str(name), detail or {}))


def _detail(assignment: Assignment) -> dict[str, object]:
    return {"role": assignment.role.value, "repository": str(assignment.pattern)}


def _words(assignment: Assignment) -> str:
    return f"{assignment.role.value} on {assignment.pattern}"
