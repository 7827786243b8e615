"""Frozen sides of converted collections: rows of ``collections`` that no name leads to but this one's (TRUST 5.4).

Files are never moved: the row that they belong to is renamed, and a new one takes its name.
"""

from __future__ import annotations

import builtins
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Table, bindparam, delete, func, insert, select, update

from trustkit.core.names import Gun
from trustkit.core.ports.former import FormerRecord
from trustkit.core.ports.service import TUF, SealedKey, StoredFile
from trustkit.errors import Conflict, NotFound
from trustkit.store.collections import key_values, sealed_key
from trustkit.store.files import Owned, SqlFiles
from trustkit.store.models import (
    HIDDEN,
    collections,
    coming_keys,
    former,
    former_keys,
    heads,
    online_keys,
    pending_keys,
)
from trustkit.store.models import files as stored_files
from trustkit.store.statements import Statements

CONVERTED = "converted"
"""Why such a row is closed: whatever looks at open collections passes it by."""

DOCKER_BEGINS = b'{"signed":'
"""How every file of format ``docker`` begins, and none of format ``tuf``."""

_RECORD = select(former.c.gun, former.c.converted, former.c.until, former.c.ended, former.c.reason)
_BY_GUN = _RECORD.where(former.c.gun == bindparam("gun"))
_ROW = select(former.c.collection).where(former.c.gun == bindparam("gun"))
_COLLECTION = select(
    collections.c.id, collections.c.generation, collections.c.created, collections.c.repository
).where(collections.c.gun == bindparam("gun"))
_TOUCH = (
    update(collections).where(collections.c.gun == bindparam("at")).values(generation=collections.c.generation + 1)
)
_FILES = Owned(former, former.c.collection)
IN_TUF = func.substr(stored_files.c.data, 1, len(DOCKER_BEGINS)) != DOCKER_BEGINS


class SqlFormer(SqlFiles):
    """Satisfies ``core.ports.former.Former``."""

    def __init__(self, statements: Statements) -> None:
        super().__init__(statements, _FILES)

    async def get(self, gun: Gun) -> FormerRecord | None:
        row = (await self._run(_BY_GUN, {"gun": str(gun)})).first
        return _record(row) if row else None

    async def list(self) -> builtins.list[FormerRecord]:
        return [_record(row) for row in (await self._run(_RECORD.order_by(former.c.gun), scans=True)).rows]

    async def due(self, *, before: datetime, now: datetime) -> Sequence[FormerRecord]:
        statement = (
            _RECORD.join(heads, heads.c.collection == former.c.collection)
            .where(heads.c.role == "timestamp", heads.c.expires < before, heads.c.expires < former.c.until)
            .where(former.c.ended.is_(None), former.c.until > now)
            .order_by(heads.c.expires, former.c.gun)
        )
        return [_record(row) for row in (await self._run(statement, scans=True)).rows]

    async def begin(self, gun: Gun, until: datetime, now: datetime) -> None:
        found = (await self._run(_COLLECTION, {"gun": str(gun)})).first
        if found is None:
            raise NotFound(f"There is no collection {gun}.")
        if await self.get(gun) is not None:
            raise Conflict(f"{gun} was converted before.")
        old = found.id
        name = f"{HIDDEN}{old}"
        hidden = {"gun": name, "repository": name, "closed": CONVERTED, "generation": found.generation + 1}
        await self._run(update(collections).where(collections.c.id == bindparam("at")).values(hidden), {"at": old})
        values = {"gun": str(gun), "repository": found.repository, "created": found.created, "format": TUF}
        await self._run(insert(collections), {**values, "generation": found.generation + 1})
        made = (await self._run(_COLLECTION, {"gun": str(gun)})).first
        assert made is not None  # noqa: S101 - it was inserted just now
        frozen = {"gun": str(gun), "collection": old, "converted": now, "until": until, "reason": ""}
        await self._run(insert(former), frozen)
        await self._keep_tuf(old, made.id)
        await self._exchange_keys(gun, now)

    async def _keep_tuf(self, old: int, new: int) -> None:
        """What stands there in format ``tuf`` from before is the new collection's."""
        columns = [column for column in stored_files.c if column.name != "collection"]
        theirs = select(*columns).where(stored_files.c.collection == bindparam("old"), IN_TUF)
        rows = (await self._run(theirs, {"old": old})).rows
        if not rows:
            return
        names = [column.name for column in columns]
        await self._run(
            insert(stored_files), [{**dict(zip(names, row, strict=True)), "collection": new} for row in rows]
        )
        last = {row.role: row for row in sorted(rows, key=lambda row: (row.series, row.version))}
        named = ("role", "series", "version", "expires")
        values = [{**{name: getattr(row, name) for name in named}, "collection": new} for row in last.values()]
        await self._run(insert(heads), values)

    async def _exchange_keys(self, gun: Gun, now: datetime) -> None:
        had, coming = await self._sealed(online_keys, gun), await self._sealed(coming_keys, gun)
        for table in (online_keys, coming_keys, pending_keys):
            await self._run(delete(table).where(table.c.gun == bindparam("at")), {"at": str(gun)})
        for table, keys in ((former_keys, had), (online_keys, coming)):
            if keys:
                await self._run(insert(table), [key_values(gun, key, now) for key in keys.values()])

    async def end(self, gun: Gun, reason: str, now: datetime) -> None:
        statement = update(former).where(former.c.gun == bindparam("at"), former.c.ended.is_(None))
        values = {"at": str(gun), "now": now, "why": reason}
        await self._run(statement.values(ended=bindparam("now"), reason=bindparam("why")), values)
        await self._run(delete(former_keys).where(former_keys.c.gun == bindparam("at")), {"at": str(gun)})

    async def versions(self, gun: Gun) -> Mapping[str, int]:
        statement = (
            select(stored_files.c.role, func.max(stored_files.c.version).label("version"))
            .join(collections, collections.c.id == stored_files.c.collection)
            .where(collections.c.gun == bindparam("gun"), IN_TUF)
            .group_by(stored_files.c.role)
        )
        return {row.role: row.version for row in (await self._run(statement, {"gun": str(gun)}, scans=True)).rows}

    async def coming_keys(self, gun: Gun) -> Mapping[str, SealedKey]:
        return await self._sealed(coming_keys, gun)

    async def add_coming_keys(self, gun: Gun, keys: Sequence[SealedKey], now: datetime) -> None:
        there = await self.coming_keys(gun)
        if taken := sorted(key.role for key in keys if key.role in there):
            raise Conflict(f"A key waits for {' and '.join(taken)} of {gun} already.", roles=taken)
        if keys:
            await self._run(insert(coming_keys), [key_values(gun, key, now) for key in keys])

    async def keys(self, gun: Gun) -> Mapping[str, SealedKey]:
        return await self._sealed(former_keys, gun)

    async def add_files(self, gun: Gun, files: Sequence[StoredFile], now: datetime) -> None:
        row = (await self._run(_ROW, {"gun": str(gun)})).first
        if row is None:
            raise NotFound(f"{gun} was never converted.")
        await self.insert(gun, row.collection, files, now)
        await self._run(_TOUCH, {"at": str(gun)})

    async def _sealed(self, table: Table, gun: Gun) -> dict[str, SealedKey]:
        statement = select(table.c.role, table.c.key_id, table.c.public, table.c.sealed)
        rows = (await self._run(statement.where(table.c.gun == bindparam("gun")), {"gun": str(gun)})).rows
        return {row.role: sealed_key(row, gun) for row in rows}


def _record(row: Row[Any]) -> FormerRecord:
    return FormerRecord(Gun.parse(row.gun), row.converted, row.until, row.ended, row.reason)
