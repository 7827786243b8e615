"""New online keys that wait for a root, collections that an Owner closed, and jumps after a recovery."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from sqlalchemy import Table, bindparam, delete, exists, insert, select, update

from trustkit.core.names import Gun
from trustkit.core.ports.service import SealedKey
from trustkit.errors import Conflict, NotFound
from trustkit.store.collections import key_values, sealed_key
from trustkit.store.models import arrivals, collections, coming_keys, former_keys, jumps, online_keys, pending_keys
from trustkit.store.statements import Statements

_ID = select(collections.c.id, collections.c.generation).where(collections.c.gun == bindparam("gun"))
_PENDING = select(pending_keys.c.role, pending_keys.c.key_id, pending_keys.c.public, pending_keys.c.sealed).where(
    pending_keys.c.gun == bindparam("gun")
)
_SINCE = select(online_keys.c.role, online_keys.c.created).where(online_keys.c.gun == bindparam("gun"))
_HOLDERS = tuple(
    select(each.c.gun).where(each.c.key_id == bindparam("key_id"))
    for each in (online_keys, pending_keys, coming_keys, former_keys)
)
_JUMPS = (
    select(jumps.c.role, jumps.c.ceiling)
    .join(collections, collections.c.id == jumps.c.collection)
    .where(collections.c.gun == bindparam("gun"))
)
_ARRIVALS = select(arrivals.c.gun, arrivals.c.until).order_by(arrivals.c.gun)
_ARRIVAL = select(arrivals.c.until).where(arrivals.c.gun == bindparam("gun"))


class SqlUpkeep:
    """Satisfies ``core.ports.service.Upkeep``."""

    def __init__(self, statements: Statements) -> None:
        self._run = statements.run

    async def replace_online_keys(self, gun: Gun, keys: Sequence[SealedKey], now: datetime) -> None:
        await self._drop(online_keys, gun, [key.role for key in keys])
        if keys:
            await self._run(insert(online_keys), [key_values(gun, key, now) for key in keys])

    async def online_keys_since(self, gun: Gun) -> Mapping[str, datetime]:
        return {row.role: row.created for row in (await self._run(_SINCE, {"gun": str(gun)})).rows}

    async def aged(self, before: datetime) -> Mapping[Gun, frozenset[str]]:
        waits = exists().where(pending_keys.c.gun == online_keys.c.gun, pending_keys.c.role == online_keys.c.role)
        statement = (
            select(online_keys.c.gun, online_keys.c.role)
            .join(collections, collections.c.gun == online_keys.c.gun)
            .where(online_keys.c.created < before, collections.c.closed.is_(None), ~waits)
        )
        found: dict[Gun, frozenset[str]] = {}
        for row in (await self._run(statement, scans=True)).rows:
            gun = Gun.parse(row.gun)
            found[gun] = found.get(gun, frozenset()) | {row.role}
        return found

    async def pending_keys(self, gun: Gun) -> Mapping[str, SealedKey]:
        return {row.role: sealed_key(row, gun) for row in (await self._run(_PENDING, {"gun": str(gun)})).rows}

    async def add_pending_keys(self, gun: Gun, keys: Sequence[SealedKey], now: datetime) -> None:
        there = await self.pending_keys(gun)
        if taken := sorted(key.role for key in keys if key.role in there):
            raise Conflict(f"A new key waits for {' and '.join(taken)} of {gun} already.", roles=taken)
        if keys:
            await self._run(insert(pending_keys), [key_values(gun, key, now) for key in keys])

    async def drop_pending_keys(self, gun: Gun, roles: Iterable[str]) -> None:
        await self._drop(pending_keys, gun, roles)

    async def online_key_of(self, key_id: str) -> Gun | None:
        for holders in _HOLDERS:
            found = (await self._run(holders, {"key_id": key_id}, scans=True)).first
            if found is not None:
                return Gun.parse(found.gun)
        return None

    async def close(self, gun: Gun, why: str | None) -> None:
        row, generation = await self._collection(gun)
        await self._run(
            update(collections)
            .where(collections.c.id == bindparam("at_id"))
            .values(closed=bindparam("why"), generation=bindparam("to")),
            {"at_id": row, "why": why, "to": generation + 1},
        )

    async def jumps(self, gun: Gun) -> Mapping[str, int]:
        return {row.role: row.ceiling for row in (await self._run(_JUMPS, {"gun": str(gun)})).rows}

    async def set_jumps(self, gun: Gun, ceilings: Mapping[str, int]) -> None:
        row, _ = await self._collection(gun)
        await self._run(delete(jumps).where(jumps.c.collection == bindparam("at_id")), {"at_id": row})
        values = [{"collection": row, "role": role, "ceiling": ceiling} for role, ceiling in ceilings.items()]
        if values:
            await self._run(insert(jumps), values)

    async def arrivals(self) -> Mapping[Gun, datetime]:
        return {Gun.parse(row.gun): row.until for row in (await self._run(_ARRIVALS, scans=True)).rows}

    async def arrival(self, gun: Gun) -> datetime | None:
        found = (await self._run(_ARRIVAL, {"gun": str(gun)})).first
        return found.until if found else None

    async def set_arrival(self, gun: Gun, until: datetime | None) -> None:
        await self._run(delete(arrivals).where(arrivals.c.gun == bindparam("at_gun")), {"at_gun": str(gun)})
        if until is not None:
            await self._run(insert(arrivals), [{"gun": str(gun), "until": until}])

    async def _collection(self, gun: Gun) -> tuple[int, int]:
        found = (await self._run(_ID, {"gun": str(gun)})).first
        if found is None:
            raise NotFound(f"There is no collection {gun}.")
        return int(found.id), int(found.generation)

    async def _drop(self, table: Table, gun: Gun, roles: Iterable[str]) -> None:
        statement = delete(table).where(table.c.gun == bindparam("at_gun"), table.c.role == bindparam("at_role"))
        for role in roles:
            await self._run(statement, {"at_gun": str(gun), "at_role": role})
