"""The one connection by which a process writes to a file of SQLite, and what it knows of other processes' commits.

``PRAGMA data_version`` changes for a connection whenever another one has committed, and never by its own commits.  So
what others committed is asked of the connection that writes, and what it commits itself is told at once, by name.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine

from trustkit.core.ports.changes import Changed, Listener
from trustkit.errors import StateError
from trustkit.store.foreign import is_busy, mapped
from trustkit.store.noting import Notes
from trustkit.store.statements import in_thread

BUSY_SECONDS = 30
"""How long a writer waits for another process's write transaction before it gives up."""

LOOK_SECONDS, LOOKS = 0.001, 250
"""How often whoever asks for others' commits looks whether a commit of our own is over, and how many times."""


class Writer:
    """Runs the write transactions of one process, one after the other.

    Args:
        engine: of one connection, whose transactions begin with BEGIN IMMEDIATE.
        path: of the file.
    """

    def __init__(self, engine: Engine, path: Path, threads: Executor) -> None:
        self._engine = engine
        self._threads = threads
        self._turn = asyncio.Lock()
        self._notes: Notes | None = None
        self._opened = 0
        self._connection: Connection | None = None
        self._held: int | None = None
        self._listener: Listener | None = None
        self._watch = Watch(path)

    async def close(self) -> None:
        """Closes the connections."""
        self._watch.close()
        await in_thread(self._threads, self._engine.dispose)

    def tell_own(self, listener: Listener) -> bool:
        """As ``Changes``."""
        self._listener = listener
        return True

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Holds the write lock from before its first statement; commits at the end, rolls back on any error."""
        async with self._turn:
            asked = False
            try:
                held = self._begin_at_once()
                if held is None:
                    held = await in_thread(self._threads, self._begin, BUSY_SECONDS)
                self._held = held
                yield self._begun()
                self._held, asked = None, True
                await in_thread(self._threads, commit, self._begun())
            finally:
                self._held = None
                try:
                    self._end()
                finally:
                    if asked and self._notes and self._listener:  # it may be in the file although we were cancelled
                        self._listener(self._notes.taken())

    def begin_unnoted(self) -> Connection:
        """A write transaction of whoever changes the tables themselves, before anything is remembered."""
        with mapped():
            connection = self._engine.connect()
            try:
                connection.begin()
            except BaseException:
                connection.close()
                raise
            return connection

    def _begin_at_once(self) -> int | None:
        """Begins where that takes no wait, as it does unless another process writes; None where it has not begun."""
        if self._notes is None:
            return None  # the first one opens the file
        try:
            return self._begin(0)
        except StateError as error:
            if not is_busy(error):
                raise
            self._end()
            return None

    def _begin(self, wait: int) -> int:
        """Begins.

        Args:
            wait: seconds that another process's transaction may take until then.
        """
        with mapped():
            self._connection = connection = self._engine.connect()
            raw = _raw(connection)
            if self._notes is None or self._notes.connection is not raw:
                self._notes, self._opened = Notes(raw), self._opened + 1
            self._notes.begin()
            _wait(raw, wait)
            connection.begin()
            _wait(raw, BUSY_SECONDS)
            return data_version(raw)  # others can't commit before we have

    def _begun(self) -> Connection:
        if self._connection is None:
            raise RuntimeError("no transaction has begun")
        return self._connection

    def _end(self) -> None:
        """Gives the connection back, and rolls back what was not committed, also where the caller was cancelled."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with mapped():
                connection.close()

    async def changed_since(self, mark: str) -> Changed:
        """As ``Changes``: of others' commits alone, once somebody is told of ours."""
        seen = self._watch.seen()
        before, _, others = mark.partition(" ")
        if before == seen:
            return Changed(mark)
        if self._listener is None or self._notes is None:
            return Changed(seen, None)
        for _ in range(LOOKS):
            if self._held is not None or not self._turn.locked():
                break
            await asyncio.sleep(LOOK_SECONDS)  # a commit of ours is under way, and it can't be said what was seen
        else:
            return Changed("", None)  # this mark is nobody's, so that nothing is missed by the next question either
        with mapped():
            found = self._held if self._held is not None else data_version(self._notes.connection)
        now = f"{self._opened}.{found}"
        return Changed(f"{seen} {now}", frozenset() if now == others else None)


class Watch:
    """Whether anybody has committed, by a connection that writes nothing; no lock is waited for, in WAL mode.

    Asking takes microseconds.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None

    def seen(self) -> str:
        """Another text after each commit."""
        with mapped():
            if self._connection is None:
                self._connection = sqlite3.connect(self._path, timeout=0, isolation_level=None)
            return str(data_version(self._connection))

    def close(self) -> None:
        """Closes the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def commit(connection: Connection) -> None:
    """Commits; raises what ``foreign.mapped`` makes of what SQLite raises."""
    with mapped():
        connection.commit()


def data_version(connection: sqlite3.Connection) -> int:
    """How often this connection has found that others had committed."""
    (version,) = connection.execute("PRAGMA data_version").fetchone()
    return int(version)


def _wait(connection: Any, seconds: int) -> None:
    """How long statements wait for other processes from now on."""
    connection.execute(f"PRAGMA busy_timeout={seconds * 1000}")


def _raw(connection: Connection) -> Any:
    return connection.connection.driver_connection
