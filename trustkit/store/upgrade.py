"""Bringing a database to this version's tables; Alembic is loaded only where there is something to do."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import Connection, inspect, text

from trustkit.errors import StateError
from trustkit.store.foreign import MAPPED

REVISION = "0009"
"""The newest revision of ``migrations/versions``."""


def upgrade(connection: Connection) -> None:
    """Upgrades inside the caller's transaction: wholly, or not at all.

    Raises:
        StateError: a newer version of the program made this database, or its tables are of something else.
    """
    tables = set(inspect(connection).get_table_names())
    if "alembic_version" in tables:
        current = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
        if current == REVISION:
            return
    elif tables:
        raise StateError("The database holds another program's tables.", hint="Make another one.")
    _migrate(connection)


def revision_of(path: Path) -> str | None:
    """The revision of the tables in a file of SQLite; None for none.  Changes nothing; raises StateError."""
    with MAPPED, closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as connection:
        tables = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone()
        if tables is None:
            return None
        return str(connection.execute("SELECT max(version_num) FROM alembic_version").fetchone()[0])


def _migrate(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", "trustkit.store:migrations")
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise StateError(
            "The database can't be upgraded: its version isn't known here.",
            hint="Run the version of trustkit that made it, or a newer one.",
        ) from error
