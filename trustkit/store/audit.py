"""The audit log: rows are added and read, nothing else (TRUST 8.4); triggers in the database hold it too."""

from __future__ import annotations

import builtins
import json

from sqlalchemy import insert, select

from trustkit.core.ports.service import AuditRow
from trustkit.store.models import audit
from trustkit.store.statements import Statements

_INSERT = insert(audit)
_NEWEST = select(audit.c.at, audit.c.actor, audit.c.source, audit.c.action, audit.c.subject, audit.c.detail).order_by(
    audit.c.id.desc()
)


class SqlAudit:
    """Satisfies ``core.ports.service.AuditLog``."""

    def __init__(self, statements: Statements) -> None:
        self._run = statements.run

    async def append(self, row: AuditRow) -> None:
        values = {
            "at": row.at,
            "actor": row.actor,
            "source": row.source,
            "action": row.action,
            "subject": row.subject,
            "detail": json.dumps(dict(row.detail), sort_keys=True),
        }
        await self._run(_INSERT, values)

    async def list(self, *, limit: int = 100) -> builtins.list[AuditRow]:
        rows = (await self._run(_NEWEST.limit(limit), scans=True)).rows
        return [
            AuditRow(row.at, row.actor, row.source, row.action, row.subject, json.loads(row.detail)) for row in rows
        ]
