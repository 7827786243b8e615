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

from trustkit.core.ports.changes import Changed, Listener
from trustkit.errors import StateError
from trustkit.store.connections import BUSY_SECONDS, connect, let_go
from trustkit.store.foreign import MAPPED, is_busy
from trustkit.store.inthread import in_thread
from trustkit.store.noting import Notes

LOOK_SECONDS, LOOKS = 0.001, 250
"""How often whoever asks for others' commits looks whether a commit of our own is over, and how many times."""


class Writer:
    """Runs the write transactions of one process, one after the other.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path, threads: Executor) -> None:
        self._path = path
        self._threads = threads
        self._turn = asyncio.Lock()
        self._connection: sqlite3.Connection | None = None
        self._notes: Notes | None = None
        self._opened = 0
        self._held: int | None = None
        self._listener: Listener | None = None
        self._watch = Watch(path)

    def open(self) -> None:
        """Opens the file, and its log: whoever has them open sees to it that the log stays (``logroom``)."""
        with MAPPED:
            self._connection = connect(self._path)
            data_version(self._connection)
            _wait(self._connection, 0)

    async def close(self) -> None:
        """Closes the connections."""
        self._watch.close()
        if self._connection is not None:
            await in_thread(self._threads, self._connection.close)
            self._connection = None

    def tell_own(self, listener: Listener) -> bool:
        """As ``Changes``."""
        self._listener = listener
        return True

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[sqlite3.Connection]:
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

    def _begin_at_once(self) -> int | None:
        """Begins where that takes no wait, as it does unless another process writes; None where it has not begun."""
        if self._notes is None or self._connection is not self._notes.connection:
            return None  # the first one opens the file
        try:
            return self._begin(0)
        except StateError as error:
            if not is_busy(error):
                raise
            return None

    def _begin(self, wait: int) -> int:
        """Begins.

        Args:
            wait: seconds that another process's transaction may take until then.  Nothing waits for one afterwards.
        """
        with MAPPED:
            if self._connection is None:
                self.open()
            connection = self._begun()
            if wait:
                _wait(connection, wait)
            try:
                if self._notes is None or self._notes.connection is not connection:
                    self._notes, self._opened = Notes(connection), self._opened + 1
                self._notes.begin()
                connection.execute("BEGIN IMMEDIATE")
            finally:
                if wait:
                    _wait(connection, 0)
            return data_version(connection)  # others can't commit before we have

    def _begun(self) -> sqlite3.Connection:
        if self._connection is None:
            raise RuntimeError("there is no connection")
        return self._connection

    def _end(self) -> None:
        """Rolls back what was not committed, also where the caller was cancelled."""
        connection = self._connection
        if connection is None:
            return
        try:
            with MAPPED:
                let_go(connection)
        except BaseException:
            self._connection = None  # the next one opens another
            connection.close()
            raise

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
        if self._notes.connection is not self._connection:
            return Changed(seen, None)  # it was given up, and the next writer has another
        with MAPPED:
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
        with MAPPED:
            if self._connection is None:
                self._connection = sqlite3.connect(self._path, timeout=0, isolation_level=None)
            return str(data_version(self._connection))

    def close(self) -> None:
        """Closes the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def commit(connection: sqlite3.Connection) -> None:
    """Commits; raises what ``foreign.MAPPED`` makes of what SQLite raises."""
    with MAPPED:
        connection.execute("COMMIT")


def data_version(connection: sqlite3.Connection) -> int:
    """How often this connection has found that others had committed."""
    (version,) = connection.execute("PRAGMA data_version").fetchone()
    return int(version)


def _wait(connection: sqlite3.Connection, seconds: int) -> None:
    """How long statements wait for other processes from now on."""
    connection.execute(f"PRAGMA busy_timeout={seconds * 1000}")
