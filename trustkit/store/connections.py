"""Connections to a file of SQLite: how each is set up, and those that read, kept for whoever reads next.

SQLAlchemy writes the SQL and upgrades the tables; statements go to the driver, and so do the transactions round them.
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from trustkit.store.foreign import MAPPED

BUSY_SECONDS = 30
"""How long a writer waits for another process's write transaction before it gives up."""
READER_KIB = 512
"""Pages that a connection which reads keeps in memory, where SQLite's own bound is 2 MiB; a commit ends them all."""
_PRAGMAS = ("foreign_keys=ON", "synchronous=FULL", "trusted_schema=OFF")


def connect(path: Path, *pragmas: str) -> sqlite3.Connection:
    """A connection whose transactions begin where it is told so, for one thread at a time.

    Args:
        pragmas: more of them than all connections have.

    Raises:
        sqlite3.Error: the file can't be opened.
    """
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        for pragma in (*_PRAGMAS, *pragmas):
            connection.execute(f"PRAGMA {pragma}")
    except BaseException:
        connection.close()
        raise
    return connection


def let_go(connection: sqlite3.Connection) -> None:
    """Rolls back what has not been committed, where a transaction has begun; raises sqlite3.Error."""
    if connection.in_transaction:
        connection.execute("ROLLBACK")


class Readers:
    """Those that read, of one event loop; whoever asks sees to it that they aren't too many."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._idle: list[sqlite3.Connection] = []
        self._closed = False

    def take(self) -> sqlite3.Connection:
        """One that nobody uses; raises what ``foreign.MAPPED`` makes of an error."""
        if self._idle:
            return self._idle.pop()
        with MAPPED:
            return connect(self._path, f"cache_size=-{READER_KIB}")

    def give_back(self, connection: sqlite3.Connection) -> None:
        """For the next one; what it has read ends."""
        try:
            with MAPPED:
                let_go(connection)
        except BaseException:
            connection.close()
            raise
        self._idle.append(connection)
        if self._closed:
            self.close()

    def close(self) -> None:
        """Closes those that nobody uses, and others once they are given back."""
        self._closed = True
        while self._idle:
            with contextlib.suppress(sqlite3.Error):
                self._idle.pop().close()
