"""Giving the room back to the disk that a file of SQLite has left over, while nobody else has it open."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from trustkit.errors import StateError
from trustkit.store.foreign import MAPPED

OTHERS_SECONDS = 2.0
"""How long whoever has the file open is waited for."""


def compact(path: Path) -> tuple[int, int]:
    """Writes the file anew without its free pages, all or nothing; returns its bytes before and after.

    Raises:
        StateError: somebody has it open, the disk has no room for both, or it is damaged.
    """
    before = path.stat().st_size
    with MAPPED, closing(sqlite3.connect(path, timeout=OTHERS_SECONDS, isolation_level=None)) as connection:
        try:
            connection.execute("PRAGMA locking_mode=EXCLUSIVE")  # in WAL mode had only where nobody else is there
            connection.execute("BEGIN EXCLUSIVE")
            connection.execute("COMMIT")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise
            raise StateError(
                f"Somebody has {path} open: a service that runs, or a command.", hint="Stop it, then try again."
            ) from error
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    return before, path.stat().st_size
