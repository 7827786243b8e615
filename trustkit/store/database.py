"""The Store port on SQLAlchemy and SQLite: opening, upgrading, and the two kinds of transaction."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import QueuePool

from trustkit.core.ports.changes import Changed
from trustkit.core.ports.failures import Failures
from trustkit.core.ports.service import Scope
from trustkit.errors import InvalidSetting
from trustkit.store.foreign import mapped
from trustkit.store.moved import require_here
from trustkit.store.privatefile import locked, private_file, private_folder
from trustkit.store.statements import SqliteStatements, in_thread
from trustkit.store.transaction import SqlTransaction
from trustkit.store.upgrade import upgrade
from trustkit.store.watching import Watch

BUSY_SECONDS = 30
"""How long a writer waits for another process's write transaction before it gives up."""

READERS = 8
_WRITE = "trustkit_write"


class SqlStore:
    """The service's database; satisfies ``core.ports.service.Store``.

    Holds by construction: every write transaction begins with BEGIN IMMEDIATE, a commit is on disk before it
    returns (WAL, synchronous=FULL), and the file is nobody else's to read (0600).  Writers of one process queue up
    in order; writers of other processes wait for each other up to ``BUSY_SECONDS``.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._threads = ThreadPoolExecutor(READERS + 1, thread_name_prefix="store")
        self._readers = asyncio.Semaphore(READERS)
        self._turn = asyncio.Lock()
        self._watch = Watch(Path(engine.url.database or ""))
        self.failures: Failures | None = None

    def __repr__(self) -> str:
        return f"SqlStore({self._engine.url.render_as_string(hide_password=True)})"

    @classmethod
    async def open(cls, path_or_url: Path | str) -> Self:
        """Opens the database, makes it where there is none, and brings it to this version's tables.

        Several processes may do so at once.

        Args:
            path_or_url: a file, or a URL ``sqlite:///FILE``.

        Raises:
            StateError: damaged, another program's, made by a newer version, or not ours to write.
            InvalidSetting: a URL of another kind.
        """
        path = file_of(path_or_url)
        private_folder(path.parent)
        store = cls(_engine(path))
        try:
            await in_thread(store._threads, _prepare, path)
            await in_thread(store._threads, store._upgrade)
        except BaseException:
            await store.close()
            raise
        return store

    async def close(self) -> None:
        """Closes every connection; the store can't be used afterwards."""
        self._watch.close()
        await in_thread(self._threads, self._engine.dispose)
        self._threads.shutdown(wait=False)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[SqlTransaction]:
        """A consistent view of one moment; what it would change is rolled back."""
        async with self._readers:
            connection = self._connect()
            try:
                yield SqlTransaction(SqliteStatements(connection, self._threads))
            finally:
                with mapped():
                    connection.close()

    @asynccontextmanager
    async def write(self, of: Scope = None) -> AsyncIterator[SqlTransaction]:  # noqa: ARG002 - a file has one lock
        """Holds the write lock from before its first statement; commits at the end, rolls back on any error."""
        async with self._turn:
            connection = await in_thread(self._threads, self._connect_to_write)
            try:
                yield SqlTransaction(SqliteStatements(connection, self._threads))
                await in_thread(self._threads, _commit, connection)
            finally:
                with mapped():
                    connection.close()

    async def changed_since(self, mark: str) -> Changed:
        """As ``core.ports.changes.Changes``."""
        return self._watch.changed_since(mark)

    def _connect(self) -> Connection:
        with mapped():
            return self._engine.connect()

    def _connect_to_write(self) -> Connection:
        with mapped():
            connection = self._engine.connect()
            try:
                connection = connection.execution_options(**{_WRITE: True})
                connection.begin()
            except BaseException:
                connection.close()
                raise
            return connection

    def _upgrade(self) -> None:
        connection = self._connect_to_write()
        try:
            with mapped():
                upgrade(connection)
                require_here(connection)
            _commit(connection)
        finally:
            connection.close()


def _commit(connection: Connection) -> None:
    with mapped():
        connection.commit()


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
    with locked(path.with_name(path.name + ".lock")), mapped():
        private_file(path)
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode=WAL").fetchone()
        finally:
            connection.close()


def _engine(path: Path) -> Engine:
    engine = create_engine(
        f"sqlite+pysqlite:///{path}",
        connect_args={"isolation_level": None, "timeout": BUSY_SECONDS},
        poolclass=QueuePool,
        pool_size=READERS + 1,
        max_overflow=0,
    )
    event.listen(engine, "connect", _on_connect)
    event.listen(engine, "begin", _on_begin)
    return engine


def _on_connect(connection: Any, record: object) -> None:  # noqa: ARG001 - SQLAlchemy's signature
    cursor = connection.cursor()
    for pragma in ("foreign_keys=ON", "synchronous=FULL", "trusted_schema=OFF"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _on_begin(connection: Connection) -> None:
    write = connection.get_execution_options().get(_WRITE, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
