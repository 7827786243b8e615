"""The Store port on SQLAlchemy and SQLite: opening, upgrading, and the two kinds of transaction."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

from sqlalchemy import create_engine, event, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import NullPool

from trustkit.core.ports.changes import Changed, Listener
from trustkit.core.ports.failures import Failures
from trustkit.core.ports.service import Scope
from trustkit.errors import InvalidSetting
from trustkit.store.connections import BUSY_SECONDS, Readers, connect
from trustkit.store.foreign import MAPPED
from trustkit.store.inthread import in_thread
from trustkit.store.logroom import make_room
from trustkit.store.moved import require_here
from trustkit.store.privatefile import locked, private_file, private_folder
from trustkit.store.statements import SqliteStatements
from trustkit.store.transaction import SqlTransaction
from trustkit.store.upgrade import upgrade
from trustkit.store.writing import Writer

READERS = 8
"""Transactions that read at once."""


class SqlStore:
    """The service's database; satisfies ``core.ports.service.Store``.

    Holds by construction: every write transaction begins with BEGIN IMMEDIATE, a commit is on disk before it
    returns (WAL, synchronous=FULL), and the file is nobody else's to read (0600).  Writers of one process queue up
    in order; writers of other processes wait for each other up to ``BUSY_SECONDS``.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._threads = ThreadPoolExecutor(READERS + 1, thread_name_prefix="store")
        self._turns = asyncio.Semaphore(READERS)
        self._readers = Readers(path)
        self._writer = Writer(path, self._threads)
        self.failures: Failures | None = None

    def __repr__(self) -> str:
        return f"SqlStore({self._path})"

    @classmethod
    async def open(cls, path_or_url: Path | str, *, lasting: bool = False) -> Self:
        """Opens the database, makes it where there is none, and brings it to this version's tables.

        Several processes may do so at once.

        Args:
            path_or_url: a file, or a URL ``sqlite:///FILE``.
            lasting: whether it will be written to for long.

        Raises:
            StateError: damaged, another program's, made by a newer version, or not ours to write.
            InvalidSetting: a URL of another kind.
        """
        path = file_of(path_or_url)
        private_folder(path.parent)
        store = cls(path)
        try:
            await in_thread(store._threads, _prepare, path)
            await in_thread(store._threads, _upgrade, path)
            await in_thread(store._threads, store._writer.open)
            if lasting:
                await in_thread(store._threads, make_room, path)
        except BaseException:
            await store.close()
            raise
        return store

    async def close(self) -> None:
        """Closes every connection; the store can't be used afterwards."""
        await self._writer.close()
        await in_thread(self._threads, self._readers.close)
        self._threads.shutdown(wait=False)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[SqlTransaction]:
        """A consistent view of one moment; what it would change is rolled back."""
        async with self._turns:
            connection = self._readers.take()
            try:
                yield SqlTransaction(SqliteStatements(connection, self._threads))
            finally:
                self._readers.give_back(connection)

    @asynccontextmanager
    async def write(self, of: Scope = None) -> AsyncIterator[SqlTransaction]:  # noqa: ARG002 - a file has one lock
        """Holds the write lock from before its first statement; commits at the end, rolls back on any error."""
        async with self._writer.transaction() as connection:
            yield SqlTransaction(SqliteStatements(connection, self._threads))

    async def changed_since(self, mark: str) -> Changed:
        """As ``core.ports.changes.Changes``."""
        return await self._writer.changed_since(mark)

    def tell_own(self, listener: Listener) -> bool:
        """As ``core.ports.changes.Changes``."""
        return self._writer.tell_own(listener)


def file_of(path_or_url: Path | str) -> Path:
    """The file that is meant; raises InvalidSetting for a URL of something else."""
    if isinstance(path_or_url, Path) or "://" not in path_or_url:
        return Path(path_or_url).absolute()
    try:
        url = make_url(path_or_url)
    except ArgumentError as error:
        raise InvalidSetting("The database's URL can't be read.", hint="Write sqlite:///FILE.") from error
    if url.get_backend_name() != "sqlite" or not url.database or url.database == ":memory:":
        raise InvalidSetting(
            "The database's URL names no file of SQLite, and isn't of PostgreSQL.",
            hint="Write sqlite:///FILE or postgresql://USER@HOST/DATABASE.",
        )
    return Path(url.database).absolute()


def _prepare(path: Path) -> None:
    """Makes the file private and switches it to WAL, one process at a time: SQLite fails two that switch at once."""
    with locked(path.with_name(path.name + ".lock")), MAPPED:
        private_file(path)
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode=WAL").fetchone()
        finally:
            connection.close()


def _upgrade(path: Path) -> None:
    """Brings the tables to this version's, all or nothing, and sees to it that the database is in use here."""
    engine = create_engine("sqlite+pysqlite://", creator=lambda: connect(path), poolclass=NullPool)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    with MAPPED, engine.begin() as connection:
        upgrade(connection)
        require_here(connection)
