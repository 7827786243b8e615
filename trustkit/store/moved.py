"""A database in a file that was copied to PostgreSQL: nobody writes to it any more, whoever has it open.

Two services that went on from one state would use versions twice (TRUST 3.4).
"""

from __future__ import annotations

from sqlalchemy import Connection, Table, inspect, text

from trustkit.errors import StateError
from trustkit.store.models import metadata

SETTING = "moved-to"
WORD = "moved to another database"
_VERBS = ("INSERT", "UPDATE", "DELETE")


def require_here(connection: Connection) -> None:
    """Returns for a database that is still in use; raises StateError."""
    where = moved_to(connection)
    if where:
        raise StateError(
            f"This database is being copied to {where}, or was: its versions would be used twice.",
            hint="Give --database. If the copy was broken off, run trustkit db copy again, or trustkit db reopen.",
        )


def moved_to(connection: Connection) -> str | None:
    """Where it was copied to; None for a database that is still in use."""
    found = connection.execute(text("SELECT value FROM settings WHERE name = :name"), {"name": SETTING}).scalar()
    return str(found) if found else None


def close(connection: Connection, where: str) -> None:
    """Has every write fail from the end of this transaction on, also of a process that has the file open."""
    _put(connection, where)
    for table in _tables(connection):
        for verb in _VERBS:
            connection.exec_driver_sql(
                f"CREATE TRIGGER IF NOT EXISTS moved_{table.name}_{verb.lower()} BEFORE {verb} ON {table.name} "
                f"BEGIN SELECT RAISE(ABORT, '{WORD}'); END"
            )


def reopen(connection: Connection) -> None:
    """Takes that back."""
    for table in _tables(connection):
        for verb in _VERBS:
            connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS moved_{table.name}_{verb.lower()}")
    connection.execute(text("DELETE FROM settings WHERE name = :name"), {"name": SETTING})


def _put(connection: Connection, where: str) -> None:
    if moved_to(connection) == where:
        return
    reopen(connection)
    connection.execute(text("INSERT INTO settings VALUES (:name, :value)"), {"name": SETTING, "value": where})


def _tables(connection: Connection) -> list[Table]:
    there = set(inspect(connection).get_table_names())
    return [table for table in metadata.sorted_tables if table.name in there]
