"""A database in a file of SQLite, copied to an empty one of PostgreSQL: all of it, compared, or nothing.

The file is closed to every writer before the first row is read, so that no service goes on there from the state that
another one goes on from here.  It is opened again where the copy fails, and stays closed where the copy is killed:
then the copy is run again, or the file is opened again while the other database is empty.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import Connection, Select, Table, create_engine, event, func, insert, inspect, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from trustkit.errors import StateError
from trustkit.store.foreign import MAPPED
from trustkit.store.models import metadata, settings
from trustkit.store.moved import SETTING, close, moved_to, reopen
from trustkit.store.postgres.address import Address
from trustkit.store.postgres.foreign import ours
from trustkit.store.postgres.locks import EVERYTHING, MIGRATION
from trustkit.store.postgres.tables import migrate, synchronous
from trustkit.store.upgrade import REVISION

BATCH = 500
OTHERS_SECONDS = 2.0
"""How long whoever has the file open is waited for."""


def copy(path: Path, address: Address, *, say: Callable[[str, int], None]) -> Mapping[str, int]:
    """Copies everything; returns the number of rows by table.

    Args:
        path: the file, of this version's tables.
        say: told each table with its rows, once they were compared.

    Raises:
        StateError: somebody has the file open; it has another version's tables; the other database isn't empty; what
            was written isn't what was read.  Nothing is changed then.
    """
    migrate(address)
    with _source(path) as source:
        _require_version(source)
        before = moved_to(source)
        if before is not None and before != address.shown:
            raise StateError(
                f"This database was copied to {before} before.",
                hint="Go on with that one; this copy would be of what was there then.",
            )
        with _transaction(source):
            close(source, address.shown)
        try:
            with _target(address) as target, _transaction(source):
                done = {table.name: _copied(source, target, table, say) for table in metadata.sorted_tables}
                _number_on(source, target)
        except BaseException:
            if before is None:
                with _transaction(source):
                    reopen(source)
            raise
        return done


def open_again(path: Path, address: Address) -> None:
    """Opens a file again whose copy was broken off.

    Raises:
        StateError: it isn't closed; it was copied, to this database or another one, which may have used its versions.
    """
    with _source(path) as source:
        before = moved_to(source)
        if before is None:
            raise StateError(f"{path} isn't closed.")
        if before != address.shown:
            raise StateError(f"{path} was being copied to {before}, which has to be looked into.")
        with _target(address), _transaction(source):
            reopen(source)


@contextmanager
def _source(path: Path) -> Iterator[Connection]:
    """The file, which nobody else has open: in WAL mode an exclusive lock is had in no other way."""
    if not path.is_file():
        raise StateError(f"There is no database {path}.", hint="Name the service's: sqlite:///DIR/trustkit.db")
    options = {"isolation_level": None, "timeout": OTHERS_SECONDS}
    engine = create_engine(f"sqlite+pysqlite:///{path}", connect_args=options, poolclass=NullPool)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    try:
        with MAPPED, engine.connect() as connection:
            raw: Any = connection.connection.dbapi_connection
            try:
                raw.execute("PRAGMA locking_mode=EXCLUSIVE")
                raw.execute("BEGIN EXCLUSIVE")
                raw.execute("COMMIT")
            except Exception as error:
                if "locked" not in str(error):
                    raise
                raise StateError(
                    f"Somebody has {path} open: a service that runs, or a command.", hint="Stop it, then try again."
                ) from error
            yield connection
    finally:
        engine.dispose()


@contextmanager
def _transaction(source: Connection) -> Iterator[None]:
    if source.in_transaction():
        source.rollback()
    with source.begin():
        yield


@contextmanager
def _target(address: Address) -> Iterator[Connection]:
    """A transaction on the other database, which has tables and nothing in them, and which nobody writes to."""
    engine = create_engine("postgresql+psycopg://", creator=lambda: synchronous(address), poolclass=NullPool)
    try:
        with engine.begin() as target:
            target.execute(text("SET LOCAL lock_timeout = '5s'"))
            for lock in (MIGRATION, EVERYTHING):
                target.execute(text(f"SELECT pg_advisory_xact_lock({lock})"))
            for table in metadata.sorted_tables:
                if target.execute(select(func.count()).select_from(table)).scalar():
                    raise StateError(
                        f"The database {address.shown} isn't empty: it has {table.name}.",
                        hint="Make a new one, and start no service on it before the copy.",
                    )
            yield target
    except DBAPIError as error:
        if isinstance(error.orig, psycopg.Error):
            raise ours(error.orig) from error
        raise
    finally:
        engine.dispose()


def _require_version(source: Connection) -> None:
    found = None
    if "alembic_version" in inspect(source).get_table_names():
        found = source.execute(text("SELECT version_num FROM alembic_version")).scalar()
    if found != REVISION:
        raise StateError(
            f"The database in the file has the tables of another version ({found}; this one has {REVISION}).",
            hint="Bring it to this version first: trustkit db upgrade --database sqlite:///FILE",
        )


def _copied(source: Connection, target: Connection, table: Table, say: Callable[[str, int], None]) -> int:
    """Copies one table and compares both, row by row; returns how many rows there are."""
    rows = _rows(table)
    found = source.execute(rows.execution_options(yield_per=BATCH))
    for batch in found.mappings().partitions():
        target.execute(insert(table), [dict(row) for row in batch])
    count, digest = _digest(source, rows)
    if (count, digest) != _digest(target, rows):
        raise StateError(f"What was written of {table.name} isn't what was read.", hint="Nothing is kept; try again.")
    say(table.name, count)
    return count


def _rows(table: Table) -> Select[Any]:
    """All rows in the order of their key; the note that the file is closed is its own."""
    statement = select(table).order_by(*table.primary_key.columns)
    return statement.where(settings.c.name != SETTING) if table is settings else statement


def _digest(connection: Connection, rows: Select[Any]) -> tuple[int, str]:
    count, digest = 0, hashlib.sha256()
    for row in connection.execute(rows.execution_options(yield_per=BATCH)):
        count += 1
        digest.update(repr(tuple(row)).encode())
    return count, digest.hexdigest()


def _number_on(source: Connection, target: Connection) -> None:
    """Rows get numbers after the last one that there ever was, also after those that are gone."""
    sequences = source.execute(text("SELECT name, seq FROM sqlite_sequence"))
    last: dict[str, int] = {str(name): int(number) for name, number in sequences}
    for table in metadata.sorted_tables:
        column = table.autoincrement_column
        if column is None:
            continue
        highest = max(last.get(table.name, 0), target.execute(select(func.max(column))).scalar() or 0)
        if highest:
            target.execute(
                text("SELECT setval(pg_get_serial_sequence(:table, :column), :highest)"),
                {"table": table.name, "column": column.name, "highest": highest},
            )
