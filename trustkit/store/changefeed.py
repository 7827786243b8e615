"""The changefeed of collections in format ``docker``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, Select, insert, select

from trustkit.core.names import Gun
from trustkit.core.ports.changefeed import Change
from trustkit.store.models import changefeed
from trustkit.store.statements import Statements

_COLUMNS = (
    changefeed.c.at,
    changefeed.c.gun,
    changefeed.c.version,
    changefeed.c.sha256,
    changefeed.c.category,
    changefeed.c.id,
)
_ADD = insert(changefeed)


class SqlChangefeed:
    """Satisfies ``core.ports.changefeed.Changefeed``."""

    def __init__(self, statements: Statements) -> None:
        self._run = statements.run

    async def append(self, change: Change) -> None:
        values = {"at": change.at, "gun": str(change.gun), "version": change.version}
        await self._run(_ADD, values | {"sha256": change.sha256, "category": change.category})

    async def after(self, change_id: int, limit: int, gun: Gun | None = None) -> Sequence[Change]:
        statement = _of(gun).where(changefeed.c.id > change_id).order_by(changefeed.c.id)
        return await self._changes(statement.limit(limit))

    async def before(self, change_id: int | None, limit: int, gun: Gun | None = None) -> Sequence[Change]:
        statement = _of(gun).order_by(changefeed.c.id.desc())
        if change_id is not None:
            statement = statement.where(changefeed.c.id < change_id)
        return list(reversed(await self._changes(statement.limit(limit))))

    async def _changes(self, statement: Select[Any]) -> Sequence[Change]:
        return [_change(row) for row in (await self._run(statement, scans=True)).rows]


def _of(gun: Gun | None) -> Select[Any]:
    statement = select(*_COLUMNS)
    return statement if gun is None else statement.where(changefeed.c.gun == str(gun))


def _change(row: Row[Any]) -> Change:
    return Change(row.at, Gun.parse(row.gun), row.version, row.sha256, row.category, row.id)
