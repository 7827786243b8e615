"""Connections that are kept open, as many as may be, and not one more."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import psycopg
from psycopg import AsyncConnection
from psycopg.pq import TransactionStatus

from trustkit.errors import DatabaseUnavailable
from trustkit.store.postgres.session import Unconnected, cut


class Pool:
    """Idle connections, the last one that was given back first.

    Args:
        connect: opens one; raises Unconnected.
        size: how many there are at most.
        patience: seconds that somebody waits for one; then it is said that there is none, rather than to hang.
    """

    def __init__(self, connect: Callable[[], Awaitable[AsyncConnection[Any]]], size: int, patience: float) -> None:
        self._connect = connect
        self._size = size
        self._patience = patience
        self._free = asyncio.Semaphore(size)
        self._idle: list[AsyncConnection[Any]] = []
        self._waiting: deque[asyncio.Future[AsyncConnection[Any]]] = deque()
        self._taken = 0

    async def take(self) -> AsyncConnection[Any]:
        """A connection that nobody else uses; whether it still works shows when it is used.

        Raises:
            DatabaseUnavailable: none is free, or none can be opened, in time.
        """
        until = time.monotonic() + self._patience
        try:
            async with asyncio.timeout(self._patience):
                await self._free.acquire()
        except TimeoutError:
            message = f"All {self._size} connections of this service to its database are in use."
            raise DatabaseUnavailable(message, hint="Try again.") from None
        try:
            connection = await self._idle_or_new(until)
        except BaseException:
            self._free.release()
            raise
        self._taken += 1
        return connection

    async def _idle_or_new(self, until: float) -> AsyncConnection[Any]:
        """Where the server has no room for another one, one of ours that is given back meanwhile will do."""
        if self._idle:
            return self._idle.pop()
        try:
            return await self._connect()
        except Unconnected:
            if self._idle:
                return self._idle.pop()
            if not self._taken:
                raise
            given = await self._given_back(until)
            if given is None:
                raise
            return given

    async def _given_back(self, until: float) -> AsyncConnection[Any] | None:
        """The next connection that is given back; None where none is in time."""
        turn: asyncio.Future[AsyncConnection[Any]] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await asyncio.wait([turn], timeout=max(0.0, until - time.monotonic()))
        except asyncio.CancelledError:
            if turn.done():
                self._taken -= 1
                self._idle.append(turn.result())
            raise
        finally:
            given = turn.done()
            turn.cancel()
        if not given:
            return None
        self._taken -= 1  # whoever takes it counts it again
        return turn.result()

    async def give(self, connection: AsyncConnection[Any]) -> None:
        """Takes a connection back; one that is broken, or in the midst of something, is closed."""
        self._taken -= 1
        try:
            if connection.closed or connection.pgconn.transaction_status != TransactionStatus.IDLE:
                await close(connection)
                return
            while self._waiting:
                turn = self._waiting.popleft()
                if not turn.done():
                    self._taken += 1  # on its way it is nobody's, and still one that will be given back
                    turn.set_result(connection)
                    return
            self._idle.append(connection)
        finally:
            self._free.release()

    async def forget(self) -> None:
        """Closes what is idle: when one connection has broken, all may have."""
        while self._idle:
            await close(self._idle.pop())

    async def close(self) -> None:
        """Closes what is idle; the rest is closed by ``forget`` when it was given back."""
        await self.forget()


async def close(connection: AsyncConnection[Any]) -> None:
    """Closes one; nothing that is under way on it is waited for."""
    if connection.pgconn.transaction_status != TransactionStatus.IDLE:
        cut(connection)
    with suppress(psycopg.Error, OSError):
        await connection.close()
