"""Whether a database has the tables that this version needs, and how it comes to have them.

A service doesn't upgrade a database that another replica may be serving: ``trustkit db upgrade`` does, before the
first replica of a new version starts.  Replicas of the version before go on, and may start again, as long as no
migration has taken away what they use; the one that does says which revision is the oldest that may still serve.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import AsyncConnection
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from trustkit.errors import StateError
from trustkit.store.postgres.address import Address
from trustkit.store.postgres.foreign import mapped, ours, reason
from trustkit.store.postgres.kept import COLUMNS, FAILURES, NOTES, QUIET, TABLES, noted, sorted_by_bytes, triggers
from trustkit.store.postgres.locks import CHANGEFEED, MIGRATION
from trustkit.store.postgres.session import Unconnected, connect
from trustkit.store.upgrade import REVISION, upgrade

OLDEST_SETTING = "schema-oldest"
"""The setting that says which revision's program is the oldest that may serve this database."""

LOCK_SECONDS = 3
"""How long a migration waits for a table: whoever wants to read it queues up behind."""
TRIES = 20


@dataclass(frozen=True, slots=True)
class Tables:
    """What is in a database.

    Attributes:
        revision: of the tables; None where there are none.
        oldest: the oldest revision whose program may serve them.
        strange: whether there are tables of something else.
    """

    revision: str | None
    oldest: str = ""
    strange: bool = False

    @property
    def servable(self) -> bool:
        """Whether this version may serve them."""
        return self.revision == REVISION or self.newer_and_servable

    @property
    def newer_and_servable(self) -> bool:
        """Whether a newer version made them, and took away nothing that this one uses."""
        return self.revision is not None and self.revision > REVISION >= self.oldest


async def look(connection: AsyncConnection[Any]) -> Tables:
    """What is in a database; changes nothing."""
    with mapped():
        ours_ = "SELECT to_regclass('alembic_version') IS NOT NULL, to_regclass('settings') IS NOT NULL"
        versioned, settled = await (await connection.execute(ours_)).fetchone() or (False, False)
        if not versioned or not settled:
            count = "SELECT count(*) FROM pg_tables WHERE schemaname = current_schema()"
            (tables,) = await (await connection.execute(count)).fetchone() or (0,)
            return Tables(None, strange=bool(tables))
        (revision,) = await (await connection.execute("SELECT max(version_num) FROM alembic_version")).fetchone() or (
            None,
        )
        setting = await (
            await connection.execute("SELECT value FROM settings WHERE name = %s", (OLDEST_SETTING,))
        ).fetchone()
        return Tables(revision, str(setting[0]) if setting else "")


async def prepare(connection: AsyncConnection[Any], address: Address) -> None:
    """Returns where the tables may be served; makes them in an empty database, which nobody can be serving yet.

    Raises:
        StateError: they may not.
    """
    found = await look(connection)
    if found.revision is None and not found.strange:
        await asyncio.to_thread(migrate, address)
        found = await look(connection)
    require(found)


def require(found: Tables) -> None:
    """Returns for tables that this version may serve; raises StateError."""
    if found.strange:
        raise _strange()
    if found.servable:
        return
    if found.revision is None or found.revision < REVISION:
        raise StateError(
            f"The database has the tables of an older version ({found.revision}; this one needs {REVISION}).",
            hint="Type: trustkit db upgrade",
        )
    raise StateError(
        f"The database has tables of a newer version ({found.revision}), which this one ({REVISION}) can't serve.",
        hint="Run the version of trustkit that made it, or a newer one.",
    )


def migrate(address: Address) -> None:
    """Brings a database to this version's tables, wholly or not at all; several processes may at once.

    A table that is in use for long is waited for in short turns: who reads it would queue up behind.

    Raises:
        StateError: a newer version made it; its tables are another program's; it can't be changed.
    """
    engine = create_engine("postgresql+psycopg://", creator=lambda: synchronous(address), poolclass=NullPool)
    try:
        for turn in range(TRIES):
            try:
                with engine.begin() as connection:
                    _migrate(connection)
            except DBAPIError as error:
                if isinstance(error.orig, psycopg.errors.LockNotAvailable) and turn + 1 < TRIES:
                    continue
                if isinstance(error.orig, psycopg.Error):
                    raise ours(error.orig) from error
                raise
            else:
                return
    finally:
        engine.dispose()


def _migrate(connection: Connection) -> None:
    connection.execute(text(f"SELECT pg_advisory_xact_lock({MIGRATION})"))
    connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'"))
    upgrade(connection)
    for column in connection.exec_driver_sql(COLUMNS).all():
        connection.exec_driver_sql(sorted_by_bytes(*column))
    for statement in [*triggers(CHANGEFEED), NOTES, FAILURES]:
        connection.exec_driver_sql(statement.replace("%", "%%"))
    for table, of_collections in connection.exec_driver_sql(TABLES).all():
        for statement in noted(table, of_collections=of_collections) if table not in QUIET else ():
            connection.exec_driver_sql(statement)


def synchronous(address: Address) -> psycopg.Connection[Any]:
    """A connection for a command that does nothing else; raises Unconnected."""
    try:
        return psycopg.connect(address.conninfo())
    except psycopg.Error as error:
        raise Unconnected(f"The database {address.shown} can't be reached: {reason(error)}.") from None


def _strange() -> StateError:
    return StateError("The database holds another program's tables.", hint="Make one for trustkit alone.")


async def tables_of(address: Address) -> Tables:
    """What is in the database at an address; changes nothing.  Raises as ``PostgresStore.open``."""
    connection = await connect(address)
    try:
        return await look(connection)
    finally:
        await connection.close()
