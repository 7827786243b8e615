"""Every sealed online key, for who seals them anew."""

from __future__ import annotations

import builtins
from collections.abc import Sequence

from sqlalchemy import bindparam, select, update

from trustkit.core.names import Gun
from trustkit.core.ports.resealing import SealedRow
from trustkit.store.collections import sealed_key
from trustkit.store.models import coming_keys, former_keys, online_keys, pending_keys
from trustkit.store.statements import Statements

_TABLES = {table.name: table for table in (online_keys, pending_keys, former_keys, coming_keys)}


class SqlSealed:
    """Satisfies ``core.ports.resealing.SealedRows``."""

    def __init__(self, statements: Statements) -> None:
        self._run = statements.run

    async def all(self) -> Sequence[SealedRow]:
        found = builtins.list[SealedRow]()
        for name, table in _TABLES.items():
            columns = (table.c.gun, table.c.role, table.c.key_id, table.c.public, table.c.sealed)
            for row in (await self._run(select(*columns).order_by(table.c.gun, table.c.role), scans=True)).rows:
                gun = Gun.parse(row.gun)
                found.append(SealedRow(name, gun, sealed_key(row, gun)))
        return found

    async def replace(self, row: SealedRow, sealed: bytes) -> None:
        table = _TABLES[row.place]
        statement = (
            update(table)
            .where(table.c.gun == bindparam("at_gun"), table.c.role == bindparam("at_role"))
            .values(sealed=bindparam("new"))
        )
        await self._run(statement, {"at_gun": str(row.gun), "at_role": row.key.role, "new": sealed})
