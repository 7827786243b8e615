"""Reading the audit log."""

from __future__ import annotations

from trustkit.core.ports.service import AuditRow, Store
from trustkit.errors import InvalidSetting

MAX_ROWS = 100_000


async def newest(store: Store, limit: int) -> list[AuditRow]:
    """The newest rows, newest first; raises InvalidSetting where the number is not from 1 to 100,000."""
    check_limit(limit)
    async with store.read() as tx:
        return await tx.audit.list(limit=limit)


def check_limit(limit: int) -> int:
    """The number itself; raises InvalidSetting where it is not from 1 to 100,000."""
    if not 1 <= limit <= MAX_ROWS:
        raise InvalidSetting(f"The number of audit rows is from 1 to {MAX_ROWS:,}.")
    return limit
