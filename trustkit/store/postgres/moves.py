"""What other replicas have changed: asked for, not told.

Triggers note each change in a table, with the number of its transaction.  Who asks is told all notes of transactions
that weren't over when it asked before, so that none is missed, however late it commits.  The answer itself shows that
the database is there: silence on a line that is half-open is no answer.  NOTIFY would tell sooner, and has all
commits of the database wait for one lock.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from psycopg import AsyncConnection

from trustkit.core.names import Gun
from trustkit.core.ports.changes import Changed
from trustkit.errors import TrustkitError
from trustkit.store.models import is_hidden
from trustkit.store.postgres.foreign import mapped
from trustkit.store.postgres.pool import close
from trustkit.store.postgres.session import deadline, require_same_time

ANSWER_SECONDS = 0.5
"""After half a second without an answer, what was read before counts no more: it is asked of the database."""
KEEP_SECONDS = 300
"""How long notes are kept; whoever hasn't asked for as long is told that anything may have changed."""

_ASK = """
SELECT extract(epoch FROM clock_timestamp())::float8, pg_snapshot_xmin(pg_current_snapshot())::text::bigint,
    array(SELECT xid::text || ' ' || coalesce(gun, '') FROM moves WHERE xid >= %s::text::xid8)
"""
_CLEAR = f"DELETE FROM moves WHERE at < clock_timestamp() - interval '{KEEP_SECONDS} seconds'"  # noqa: S608 - ours


class Moves:
    """Satisfies ``core.ports.changes.Changes``, on a connection of its own.

    A mark is of this object and of its connection: after another one, anything may have changed.

    Args:
        connect: opens a connection; raises DatabaseUnavailable.
    """

    def __init__(self, connect: Callable[[], Awaitable[AsyncConnection[Any]]]) -> None:
        self._connect = connect
        self._turn = asyncio.Lock()
        self._connection: AsyncConnection[Any] | None = None
        self._opened, self._mark = 0, ""
        self._told: set[str] = set()
        self._asked = self._cleared = time.monotonic()

    async def changed_since(self, mark: str) -> Changed:
        """As ``Changes``; raises DatabaseUnavailable where no answer comes within half a second."""
        async with self._turn:
            if self._connection is None or self._connection.closed:
                self._connection, self._mark = await self._connect(), ""
                self._opened += 1
            try:
                return await self._ask(self._connection, mark)
            except (TrustkitError, asyncio.CancelledError):
                await self.close()
                raise

    async def close(self) -> None:
        """Closes the connection."""
        if self._connection is not None:
            await close(self._connection)
            self._connection = None

    async def _ask(self, connection: AsyncConnection[Any], mark: str) -> Changed:
        asked = time.monotonic()
        known = bool(mark) and mark == self._mark and asked - self._asked < KEEP_SECONDS / 2
        with mapped(), deadline(connection, ANSWER_SECONDS):
            cursor = await connection.execute(_ASK, (mark.partition(":")[2] if known else "0",))
            clock, lowest, notes = await cursor.fetchone() or (0.0, 0, [])
            require_same_time(clock)
            if asked - self._cleared > KEEP_SECONDS / 10:
                self._cleared = asked
                await connection.execute(_CLEAR)
        self._asked = asked
        new = set(notes) - self._told
        self._told = {note for note in notes if int(note.partition(" ")[0]) >= lowest}
        self._mark = f"{self._opened}:{lowest}"
        guns = {gun for note in new if not is_hidden(gun := note.partition(" ")[2])}
        if not known or "" in guns:
            return Changed(self._mark, None)
        return Changed(self._mark, frozenset(map(Gun.parse, guns)))
