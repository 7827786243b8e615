"""The Store port on SQLAlchemy and SQLite: opening, upgrading, and the two kinds of transaction."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

from sqlalchemy import Connection, event, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from trustkit.errors import InvalidSetting
from trustkit.store.foreign import mapped
from trustkit.store.privatefile import locked, private_file, private_folder
from trustkit.store.transaction import SqlTransaction
from trustkit.store.upgrade import upgrade

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

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._turn = asyncio.Lock()

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
        path = _path(path_or_url)
        private_folder(path.parent)
        store = cls(_engine(path))
        try:
            await asyncio.to_thread(_prepare, path)
            async with store._write_connection() as connection:
                await connection.run_sync(upgrade)
        except BaseException:
            await store.close()
            raise
        return store

    async def close(self) -> None:
        """Closes every connection; the store can't be used afterwards."""
        await self._engine.dispose()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[SqlTransaction]:
        """A consistent view of one moment; what it would change is rolled back."""
        with mapped():
            connection = await self._engine.connect()
        try:
            yield SqlTransaction(connection)
        finally:
            with mapped():
                await connection.close()

    @asynccontextmanager
    async def write(self) -> AsyncIterator[SqlTransaction]:
        """Holds the write lock from before its first statement; commits at the end, rolls back on any error."""
        async with self._write_connection() as connection:
            yield SqlTransaction(connection)

    @asynccontextmanager
    async def _write_connection(self) -> AsyncIterator[Any]:
        async with self._turn:
            with mapped():
                connection = await self._engine.connect()
            try:
                with mapped():
                    await connection.execution_options(**{_WRITE: True})
                    await connection.begin()
                yield connection
                with mapped():
                    await connection.commit()
            finally:
                with mapped():
                    await connection.close()


def _path(path_or_url: Path | str) -> Path:
    if isinstance(path_or_url, Path) or "://" not in path_or_url:
        return Path(path_or_url).absolute()
    try:
        url = make_url(path_or_url)
    except ArgumentError as error:
        raise InvalidSetting("The database's URL can't be read.", hint="Write sqlite:///FILE.") from error
    if url.get_backend_name() != "sqlite" or not url.database or url.database == ":memory:":
        raise InvalidSetting("Only a database in an SQLite file is supported.", hint="Write sqlite:///FILE.")
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


def _engine(path: Path) -> AsyncEngine:
    engine = create_async_engine(
        f"sqlite+aiosqlite:///{path}",
        connect_args={"isolation_level": None, "timeout": BUSY_SECONDS},
        pool_size=READERS,
        max_overflow=0,
        pool_timeout=BUSY_SECONDS,
    )
    event.listen(engine.sync_engine, "connect", _on_connect)
    event.listen(engine.sync_engine, "begin", _on_begin)
    return engine


def _on_connect(connection: Any, record: object) -> None:  # noqa: ARG001 - SQLAlchemy's signature
    cursor = connection.cursor()
    for pragma in ("foreign_keys=ON", "synchronous=FULL", "trusted_schema=OFF"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _on_begin(connection: Connection) -> None:
    write = connection.get_execution_options().get(_WRITE, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
