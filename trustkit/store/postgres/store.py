"""The Store port on PostgreSQL."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self
from weakref import WeakValueDictionary

import psycopg
from psycopg import AsyncConnection, AsyncCursor, errors
from psycopg.pq import TransactionStatus

from trustkit.core.ports.changes import Changed, Listener
from trustkit.core.ports.service import Scope
from trustkit.errors import DatabaseUnavailable, OutcomeUnknown, StateError
from trustkit.store.postgres.address import Address
from trustkit.store.postgres.failures import PostgresFailures
from trustkit.store.postgres.foreign import AGAIN, mapped
from trustkit.store.postgres.locks import TO_READ, TURN_SECONDS, name_of, to_write
from trustkit.store.postgres.moves import Moves
from trustkit.store.postgres.pool import Pool, close
from trustkit.store.postgres.session import Patience, Unconnected, connect, deadline, require_same_time
from trustkit.store.postgres.statements import PostgresStatements, compiler
from trustkit.store.postgres.tables import prepare
from trustkit.store.transaction import SqlTransaction

log = logging.getLogger("trustkit.database")

CONNECTIONS = 10
WRITERS = 6
"""At most so many connections are held by writers, who may wait for locks: reads go on meanwhile."""


class PostgresStore:
    """A database that several replicas of the service share; satisfies ``core.ports.service.Store``.

    Holds by construction: a write transaction has the locks of its scope before its first statement (``locks``), a
    read sees one moment and changes nothing, a commit is on the server's disk before it returns.  Nothing waits
    without an end: not for a connection, a lock or an answer.
    """

    def __init__(self, address: Address, patience: Patience = Patience()) -> None:  # noqa: B008 - frozen
        self._address = address
        self._patience = patience
        self._serving = self._trouble = False
        self._compiler = compiler()
        self._pool = Pool(self._connect, CONNECTIONS, patience.connection)
        self._moves = Moves(self._connect)
        self.failures = PostgresFailures(self._in_transaction, self._commit, patience)
        self._writers = asyncio.Semaphore(WRITERS)
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def __repr__(self) -> str:
        return f"PostgresStore({self._address.shown!r})"

    @classmethod
    async def open(cls, address: Address, patience: Patience = Patience()) -> Self:  # noqa: B008 - frozen
        """Opens the database; makes the tables where it is empty.

        Raises:
            DatabaseUnavailable: it can't be reached.
            StateError: its tables are of another version or another program's, or its server's settings would lose
                what was acknowledged.
            InvalidSetting: its encoding isn't UTF-8.
        """
        store = cls(address, patience)
        try:
            async with store._connected() as connection:
                await prepare(connection, address)
        except BaseException:
            await store.close()
            raise
        store._serving = True
        return store

    async def close(self) -> None:
        """Closes the connections; the store can't be used afterwards."""
        await self._moves.close()
        await self._pool.close()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[SqlTransaction]:
        """A consistent view of one moment, in which nothing can be changed."""
        async with self._in_transaction(TO_READ) as connection:
            yield SqlTransaction(PostgresStatements(connection, self._compiler, self._patience))

    @asynccontextmanager
    async def _in_transaction(self, begin: str) -> AsyncIterator[AsyncConnection[Any]]:
        connection = await self._begun(begin, self._patience.begin)
        try:
            yield connection
        finally:
            await self._end(connection)

    @asynccontextmanager
    async def write(self, of: Scope = None) -> AsyncIterator[SqlTransaction]:
        """Holds the locks of its scope from before its first statement; commits at the end, or rolls back."""
        name = name_of(of)
        turn = self._turns.get(name)
        if turn is None:
            turn = self._turns[name] = asyncio.Lock()
        async with turn, self._writers:
            connection = await self._locked(of)
            try:
                yield SqlTransaction(PostgresStatements(connection, self._compiler, self._patience))
                await self._commit(connection)
            finally:
                await self._end(connection)

    async def changed_since(self, mark: str) -> Changed:
        """As ``core.ports.changes.Changes``."""
        return await self._moves.changed_since(mark)

    def tell_own(self, listener: Listener) -> bool:  # noqa: ARG002 - triggers note everybody's changes alike
        """As ``core.ports.changes.Changes``."""
        return False

    async def _connect(self) -> AsyncConnection[Any]:
        """Once the service runs, why not is for its log alone: what is refused is told to anybody who asks."""
        try:
            connection = await connect(self._address)
        except Unconnected as error:
            if not self._serving:
                raise
            if not self._trouble:
                log.error("%s", error.message)
            self._trouble = True
            raise Unconnected("The database can't be reached.", hint=AGAIN) from error
        if self._trouble:
            log.warning("the database can be reached again")
        self._trouble = False
        return connection

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[AsyncConnection[Any]]:
        connection = await self._pool.take()
        try:
            yield connection
        finally:
            await self._pool.give(connection)

    async def _locked(self, of: Scope) -> AsyncConnection[Any]:
        """A transaction that has the locks; one without a scope asks again and again, lest all queue up behind it."""
        patience = self._patience
        until = time.monotonic() + patience.locks
        begin = to_write(of, min(TURN_SECONDS, patience.locks) if of is None else patience.locks)
        while True:
            try:
                return await self._begun(begin, patience.locks + patience.begin)
            except DatabaseUnavailable as error:
                waited = isinstance(error.__cause__, errors.LockNotAvailable)
                if of is not None or not waited or time.monotonic() >= until:
                    raise

    async def _begun(self, begin: str, seconds: float) -> AsyncConnection[Any]:
        """A connection in a transaction.

        One that was idle may have broken meanwhile, which shows here, before anything was done: then the others are
        given up, too, and a new one is opened, once.
        """
        for again in (False, True):
            connection = await self._pool.take()
            try:
                with mapped(), deadline(connection, seconds):
                    require_same_time(await _last(await connection.execute(begin)))
            except DatabaseUnavailable:
                broken = connection.closed
                await self._end(connection)
                if again or not broken:
                    raise
                await self._pool.forget()
            except BaseException:
                await self._end(connection)
                raise
            else:
                return connection
        raise DatabaseUnavailable("The database can't be reached.")

    async def _commit(self, connection: AsyncConnection[Any]) -> None:
        """Commits.  What breaks in between leaves it unknown; nobody may try again for whoever asked (TRUST 3.1).

        Raises:
            OutcomeUnknown: the change is there, or it isn't; a client that tries again finds out by the versions.
            StateError: something before failed in the database, and was passed over; nothing is kept.
        """
        try:
            with mapped(), deadline(connection, self._patience.commit):
                done = await connection.execute("COMMIT")
        except DatabaseUnavailable as error:
            if not connection.closed:
                raise
            log.error("the connection to the database broke in a commit: %s", error.message)
            raise OutcomeUnknown(
                "The connection to the database broke while the change was being kept: it is there, or it isn't.",
                hint="Run it again: where the change is there, that does nothing.",
            ) from error
        if done.statusmessage != "COMMIT":
            raise StateError("The database kept nothing of a change, of which a part had failed.")

    async def _end(self, connection: AsyncConnection[Any]) -> None:
        """Ends a transaction where there still is one, and gives the connection back."""
        try:
            if not connection.closed and not _idle(connection):
                with deadline(connection, self._patience.begin):
                    await connection.execute("ROLLBACK")
        except psycopg.Error:
            await close(connection)
        finally:
            await self._pool.give(connection)


async def _last(cursor: AsyncCursor[Any]) -> float:
    """The one value of the last of several statements."""
    while cursor.nextset():
        pass
    row = await cursor.fetchone()
    return float(row[0]) if row else 0.0


def _idle(connection: AsyncConnection[Any]) -> bool:
    return connection.pgconn.transaction_status == TransactionStatus.IDLE
