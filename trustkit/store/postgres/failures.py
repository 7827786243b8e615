"""Failed logins of all replicas, in one table that empties itself.

A row says until when a key's failures count, by the server's clock; it is worth nothing afterwards, and whoever adds
one removes some of those.  The table is unlogged: a failure costs no disk, and a crash of the server forgets them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from psycopg import AsyncConnection

from trustkit.core.ports.failures import Failure
from trustkit.store.postgres.foreign import mapped
from trustkit.store.postgres.locks import CLOCK, TO_READ
from trustkit.store.postgres.session import Patience, deadline

Connection = AsyncConnection[Any]
REMOVED = 100
"""Rows that are removed beside each one that comes, at most: more than come, so the table holds what counts."""

_OWED = """
SELECT key, extract(epoch FROM until - clock_timestamp())::float8 FROM failed_logins WHERE key = ANY(%s)
"""
_ADD = """
INSERT INTO failed_logins AS f (key, until) VALUES (%(key)s, clock_timestamp() + %(seconds)s * interval '1 second')
ON CONFLICT (key) DO UPDATE SET until = least(
    greatest(f.until, clock_timestamp()) + %(seconds)s * interval '1 second',
    clock_timestamp() + %(most)s * interval '1 second')
RETURNING extract(epoch FROM until - clock_timestamp())::float8
"""
_REMOVE = f"""
DELETE FROM failed_logins WHERE key IN (
    SELECT key FROM failed_logins WHERE until < clock_timestamp() ORDER BY until LIMIT {REMOVED}
    FOR UPDATE SKIP LOCKED)
"""  # noqa: S608 - a number of ours


class PostgresFailures:
    """Satisfies ``core.ports.failures.Failures``.

    Args:
        begun: gives a connection in a transaction that was begun like this; raises DatabaseUnavailable.
        committed: commits; raises OutcomeUnknown.
    """

    def __init__(
        self,
        begun: Callable[[str], AbstractAsyncContextManager[Connection]],
        committed: Callable[[Connection], Awaitable[None]],
        patience: Patience,
    ) -> None:
        self._begun = begun
        self._committed = committed
        self._patience = patience
        self._to_add = (
            "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; "
            f"SET LOCAL lock_timeout = '{patience.begin * 1000:.0f}ms'; {CLOCK}"
        )

    async def owed(self, keys: Sequence[bytes]) -> Mapping[bytes, float]:
        """As ``Failures``."""
        async with self._begun(TO_READ) as connection:
            with mapped(), deadline(connection, self._patience.answer):
                rows = await (await connection.execute(_OWED, (list(keys),))).fetchall()
        return {bytes(key): float(seconds) for key, seconds in rows}

    async def add(self, failures: Sequence[Failure]) -> Mapping[bytes, float]:
        """As ``Failures``.

        Everybody locks rows in one order and skips locked ones where some are removed, so nobody waits in a circle.
        """
        async with self._begun(self._to_add) as connection:
            owed = {}
            with mapped(), deadline(connection, self._patience.answer):
                for each in failures:
                    values = {"key": each.key, "seconds": each.seconds, "most": each.most}
                    row = await (await connection.execute(_ADD, values)).fetchone()
                    owed[each.key] = float(row[0]) if row else each.most
                await connection.execute(_REMOVE)
            await self._committed(connection)
        return owed
