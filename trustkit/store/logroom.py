"""Room in SQLite's write-ahead log, made before it is needed.

A commit that makes the log longer waits for the file system's own journal, too, and so for whatever else goes to that
disk; one that writes over what was there waits for its own few pages.  A log of a thousand pages is begun anew by
itself (``PRAGMA wal_autocheckpoint``): so it is made that long at once, where it would come to it in an hour's work.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

log = logging.getLogger("trustkit.service")

BYTES = 4_300_000
"""A little more than a thousand pages of 4 KiB, each with its head."""
_PAGES_IN_MEMORY = 50
"""What a transaction changes beyond these goes to the log before its end, and counts for nothing without one."""


def make_room(path: Path) -> None:
    """Has the log of a database in WAL mode take as much as it will, by a transaction that comes to nothing.

    Some other connection has to be open and to stay so: the last one that closes removes the log.  Where there is no
    room, or somebody writes just now, everything stays as it is: commits are a little slower then.
    """
    there = path.with_name(f"{path.name}-wal")
    try:
        if there.exists() and there.stat().st_size >= BYTES:
            return
        with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as connection:
            connection.execute(f"PRAGMA cache_size={_PAGES_IN_MEMORY}")
            connection.execute("BEGIN IMMEDIATE")
            try:
                connection.execute("CREATE TABLE trustkit_room (room BLOB)")
                size = BYTES + _PAGES_IN_MEMORY * 4096
                connection.execute("INSERT INTO trustkit_room VALUES (zeroblob(?))", (size,))
            finally:
                with suppress(sqlite3.Error):  # it was rolled back already, as where the disk is full
                    connection.execute("ROLLBACK")
        with there.open("rb") as file:
            os.fsync(file.fileno())
    except (sqlite3.Error, OSError) as error:
        log.info("the log of %s grows as it is written: %s", path.name, error)
