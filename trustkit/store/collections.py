"""Collections, their files and their online keys."""

from __future__ import annotations

import builtins
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, bindparam, case, func, insert, select, update

from trustkit.core.names import Gun, Repository
from trustkit.core.ports.service import (
    DOCKER,
    DOCKER_SNAPSHOT,
    TUF,
    CollectionRecord,
    Head,
    RoleExpiry,
    SealedKey,
    StoredFile,
)
from trustkit.errors import Conflict, NotFound, StateError
from trustkit.store.files import Owned, SqlFiles
from trustkit.store.models import collections, former, heads, online_keys
from trustkit.store.statements import Statements

_ID = select(collections.c.id, collections.c.generation).where(collections.c.gun == bindparam("gun"))
_RECORD = select(
    collections.c.gun,
    collections.c.generation,
    collections.c.created,
    collections.c.closed,
    collections.c.format,
    former.c.gun.is_not(None).label("converted"),
).outerjoin(former, former.c.gun == collections.c.gun)
_BY_GUN = _RECORD.where(collections.c.gun == bindparam("gun"))
BY_REPOSITORY = _RECORD.where(collections.c.repository == bindparam("repository"))
_FILES = Owned(collections, collections.c.id)
_SET_FORMAT = update(collections).where(collections.c.gun == bindparam("at_gun")).values(format=bindparam("to"))
_BUMP = (
    update(collections)
    .where(
        collections.c.id == bindparam("at_id"),
        collections.c.gun == bindparam("at_gun"),
        collections.c.generation == bindparam("at"),
    )
    .values(generation=bindparam("to"))
)
KEYS = select(online_keys.c.role, online_keys.c.key_id, online_keys.c.public, online_keys.c.sealed).where(
    online_keys.c.gun == bindparam("gun")
)


class SqlCollections(SqlFiles):
    """Satisfies ``core.ports.service.Collections``."""

    def __init__(self, statements: Statements) -> None:
        super().__init__(statements, _FILES)
        self._record: CollectionRecord | None = None

    async def get(self, gun: Gun) -> CollectionRecord | None:
        return await self._one(_BY_GUN, gun=str(gun))

    async def of_repository(self, repository: Repository) -> CollectionRecord | None:
        return await self._one(BY_REPOSITORY, repository=str(repository))

    async def list(self) -> builtins.list[CollectionRecord]:
        frozen = former.alias()
        real = _RECORD.outerjoin(frozen, frozen.c.collection == collections.c.id).where(frozen.c.gun.is_(None))
        rows = (await self._run(real.order_by(collections.c.gun), scans=True)).rows
        return [_record(row) for row in rows]

    async def found(self, gun: Gun, now: datetime, format: str = TUF) -> CollectionRecord:  # noqa: A002 - the word
        there = await self.of_repository(gun.repository)
        if there is not None:
            raise Conflict(f"Repository {gun.repository} has a collection already: {there.gun}.", gun=str(there.gun))
        values = {"gun": str(gun), "repository": str(gun.repository), "generation": 0, "created": now}
        await self._run(insert(collections), values | {"format": format})
        return CollectionRecord(gun, 0, now, format=format)

    async def set_format(self, gun: Gun, format: str) -> None:  # noqa: A002 - the word
        record = await self.get(gun)
        if record is None:
            raise NotFound(f"There is no collection {gun}.")
        if record.closed is None:
            raise StateError(f"{gun} is in format {record.format}, and open.")
        await self._run(_SET_FORMAT, {"at_gun": str(gun), "to": format})

    async def add_files(self, gun: Gun, files: Sequence[StoredFile], now: datetime) -> int:
        seen, record = self.take_seen(gun, files), self._record
        if seen is not None and record is not None and await self._bump(gun, seen.collection, record.generation):
            await self.insert(gun, seen.collection, files, now, seen.heads)
            return record.generation + 1
        found = (await self._run(_ID, {"gun": str(gun)})).first
        if found is None:
            raise NotFound(f"There is no collection {gun}.")
        await self._bump(gun, found.id, found.generation)
        await self.insert(gun, found.id, files, now)
        return int(found.generation) + 1

    async def _bump(self, gun: Gun, collection: int, generation: int) -> int:
        """Raises the generation, where this row is the GUN's, and at this one; how many were."""
        values = {"at_id": collection, "at_gun": str(gun), "at": generation, "to": generation + 1}
        return (await self._run(_BUMP, values)).changed

    async def online_keys(self, gun: Gun) -> Mapping[str, SealedKey]:
        rows = (await self._run(KEYS, {"gun": str(gun)})).rows
        return {row.role: sealed_key(row, gun) for row in rows}

    async def add_online_keys(self, gun: Gun, keys: Sequence[SealedKey], now: datetime) -> None:
        there = await self.online_keys(gun)
        taken = sorted(key.role for key in keys if key.role in there)
        if taken:
            raise Conflict(f"{gun} has online keys for {', '.join(taken)} already.", roles=taken)
        if keys:
            await self._run(insert(online_keys), [key_values(gun, key, now) for key in keys])

    async def expiring(
        self, *, role: str, before: datetime, beyond: datetime | None = None, gun: Gun | None = None
    ) -> Sequence[Gun]:
        due: ColumnElement[bool] = heads.c.expires < before
        if beyond is not None:
            ours = (heads.c.role != "snapshot") | (collections.c.format == TUF)
            due = due | ((heads.c.expires > beyond) & ours)
        statement = (
            select(collections.c.gun)
            .join(heads, heads.c.collection == collections.c.id)
            .where(heads.c.role == role, due)
            .where(collections.c.closed.is_(None))
            .order_by(heads.c.expires, collections.c.gun)
        )
        if gun is not None:
            statement = statement.where(collections.c.gun == str(gun))
        return [Gun.parse(row.gun) for row in (await self._run(statement, scans=True)).rows]

    async def expiry(self, roles: Iterable[str], *, now: datetime, due: datetime) -> Mapping[str, RoleExpiry]:
        docker = (heads.c.role == "snapshot") & (collections.c.format == DOCKER)
        role = case((docker, DOCKER_SNAPSHOT), else_=heads.c.role).label("role")
        statement = (
            select(
                role,
                func.count().label("files"),
                _count_until(now).label("expired"),
                _count_until(due).label("due"),
                func.min(heads.c.expires).label("soonest"),
            )
            .join(collections, collections.c.id == heads.c.collection)
            .where(heads.c.role.in_(list(roles)), collections.c.closed.is_(None))
            .group_by(role)
        )
        rows = (await self._run(statement, scans=True)).rows
        return {row.role: RoleExpiry(row.files, row.expired, row.due, row.soonest) for row in rows}

    async def other_heads(self, roles: Iterable[str]) -> Sequence[Head]:
        top, snap = heads.alias(), heads.alias()
        versions = (top.c.version.label("targets"), snap.c.version.label("snapshot"))
        statement = (
            select(collections.c.gun, heads.c.role, heads.c.expires, *versions, collections.c.format)
            .join(heads, heads.c.collection == collections.c.id)
            .join(top, (top.c.collection == collections.c.id) & (top.c.role == "targets"))
            .join(snap, (snap.c.collection == collections.c.id) & (snap.c.role == "snapshot"), isouter=True)
            .where(heads.c.role.not_in(list(roles)), collections.c.closed.is_(None))
            .order_by(heads.c.expires, collections.c.gun, heads.c.role)
        )
        rows = (await self._run(statement, scans=True)).rows
        return [
            Head(Gun.parse(row.gun), row.role, row.expires, row.targets, row.snapshot or 0, row.format)
            for row in rows
        ]

    async def _one(self, statement: Select[Any], **values: str) -> CollectionRecord | None:
        row = (await self._run(statement, values)).first
        self._record = _record(row) if row else None
        return self._record


def _count_until(moment: datetime) -> ColumnElement[int]:
    return func.sum(case((heads.c.expires <= moment, 1), else_=0))


def _record(row: Row[Any]) -> CollectionRecord:
    return CollectionRecord(
        Gun.parse(row.gun), row.generation, row.created, row.closed, row.format, converted=row.converted
    )


def sealed_key(row: Row[Any], gun: Gun) -> SealedKey:
    """A key as it lies in a row; raises StateError where its public half can't be read."""
    try:
        public: Mapping[str, Any] = json.loads(row.public)
    except ValueError as error:
        raise StateError(f"The database holds an online key of {gun} that can't be read.") from error
    return SealedKey(row.role, row.key_id, public, row.sealed)


def key_values(gun: Gun, key: SealedKey, now: datetime) -> dict[str, Any]:
    """A key as the values of a row."""
    return {
        "gun": str(gun),
        "role": key.role,
        "key_id": key.key_id,
        "public": json.dumps(dict(key.public), sort_keys=True),
        "sealed": key.sealed,
        "created": now,
    }
