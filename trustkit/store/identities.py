"""Principals, their roles and their refresh tokens."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, bindparam, delete, insert, select, update

from trustkit.core.access import Assignment, Role
from trustkit.core.names import PrincipalName
from trustkit.core.patterns import RepositoryPattern
from trustkit.core.ports.service import PrincipalRecord, RefreshRecord
from trustkit.errors import Conflict, NotFound
from trustkit.store.models import assignments, principals, refresh_tokens
from trustkit.store.statements import Statements

_PRINCIPAL = select(
    principals.c.name,
    principals.c.password_hash,
    principals.c.disabled,
    principals.c.epoch,
    principals.c.created,
)
_BY_NAME = _PRINCIPAL.where(principals.c.name == bindparam("name"))
_ID = select(principals.c.id).where(principals.c.name == bindparam("name"))
_ASSIGNED = (
    select(assignments.c.role, assignments.c.pattern)
    .join(principals, principals.c.id == assignments.c.principal)
    .where(principals.c.name == bindparam("name"))
    .order_by(assignments.c.role, assignments.c.pattern)
)
HELD = _ASSIGNED.where(~principals.c.disabled)
_REFRESH = (
    select(
        refresh_tokens.c.token_hash,
        principals.c.name,
        refresh_tokens.c.service,
        refresh_tokens.c.epoch,
        refresh_tokens.c.expires,
    )
    .join(principals, principals.c.id == refresh_tokens.c.principal)
    .where(refresh_tokens.c.token_hash == bindparam("token_hash"))
)
_ADD_REFRESH = insert(refresh_tokens)


class SqlIdentities:
    """Satisfies ``core.ports.service.Identities``."""

    def __init__(self, statements: Statements) -> None:
        self._run = statements.run

    async def add(self, name: PrincipalName, password_hash: str, now: datetime) -> None:
        if await self.get(name) is not None:
            raise Conflict(
                f"There is a principal {name} already.",
                hint="Give it a new password with: trustkit admin principal passwd",
                principal=str(name),
            )
        values = {"name": str(name), "password_hash": password_hash, "disabled": False, "epoch": 1, "created": now}
        await self._run(insert(principals), values)

    async def get(self, name: PrincipalName) -> PrincipalRecord | None:
        row = (await self._run(_BY_NAME, {"name": str(name)})).first
        return _principal(row) if row else None

    async def list(self) -> builtins.list[PrincipalRecord]:
        return [_principal(row) for row in (await self._run(_PRINCIPAL.order_by(principals.c.name), scans=True)).rows]

    async def set_password(self, name: PrincipalName, password_hash: str) -> None:
        await self._change(name, password_hash=password_hash)

    async def set_disabled(self, name: PrincipalName) -> None:
        await self._change(name, disabled=True)

    async def remove(self, name: PrincipalName) -> None:
        await self._run(delete(principals).where(principals.c.id == await self._id(name)))

    async def assign(self, name: PrincipalName, assignment: Assignment) -> None:
        principal = await self._id(name)
        if assignment not in await self.assignments(name):
            role, pattern = assignment.role.value, str(assignment.pattern)
            await self._run(insert(assignments), {"principal": principal, "role": role, "pattern": pattern})

    async def revoke(self, name: PrincipalName, assignment: Assignment) -> None:
        statement = delete(assignments).where(
            assignments.c.principal == await self._id(name),
            assignments.c.role == assignment.role.value,
            assignments.c.pattern == str(assignment.pattern),
        )
        if (await self._run(statement)).changed == 0:
            raise NotFound(f"{name} doesn't have {assignment.role.value} on {assignment.pattern}.")

    async def assignments(self, name: PrincipalName) -> tuple[Assignment, ...]:
        return _assignments((await self._run(_ASSIGNED, {"name": str(name)})).rows)

    async def held(self, name: PrincipalName) -> tuple[Assignment, ...]:
        return _assignments((await self._run(HELD, {"name": str(name)})).rows)

    async def add_refresh(self, record: RefreshRecord) -> None:
        values = {
            "token_hash": record.token_hash,
            "principal": await self._id(record.principal),
            "service": record.service,
            "epoch": record.epoch,
            "expires": record.expires,
        }
        await self._run(_ADD_REFRESH, values)

    async def refresh(self, token_hash: bytes) -> RefreshRecord | None:
        row = (await self._run(_REFRESH, {"token_hash": token_hash})).first
        if row is None:
            return None
        return RefreshRecord(row.token_hash, PrincipalName.parse(row.name), row.service, row.epoch, row.expires)

    async def drop_refresh_expired(self, now: datetime) -> int:
        return (await self._run(delete(refresh_tokens).where(refresh_tokens.c.expires <= now), scans=True)).changed

    async def _id(self, name: PrincipalName) -> int:
        row = (await self._run(_ID, {"name": str(name)})).first
        if row is None:
            raise NotFound(
                f"There is no principal {name}.", hint="See: trustkit admin principal list", principal=str(name)
            )
        return int(row.id)

    async def _change(self, name: PrincipalName, **values: object) -> None:
        principal = await self._id(name)
        statement = update(principals).where(principals.c.id == principal)
        await self._run(statement.values(epoch=principals.c.epoch + 1, **values))
        await self._run(delete(refresh_tokens).where(refresh_tokens.c.principal == principal))


def _assignments(rows: Sequence[Any]) -> tuple[Assignment, ...]:
    return tuple(Assignment(Role(row.role), RepositoryPattern.parse(row.pattern)) for row in rows)


def _principal(row: Row[Any]) -> PrincipalRecord:
    return PrincipalRecord(PrincipalName.parse(row.name), row.password_hash, row.disabled, row.epoch, row.created)
