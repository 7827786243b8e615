"""Whether a SQLite file was written to: one number that SQLite keeps for each connection."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from trustkit.core.ports.changes import Changed
from trustkit.store.foreign import mapped


class Watch:
    """Answers what ``core.ports.changes.Changes`` asks with ``PRAGMA data_version``.

    It changes for a connection whenever another one has committed, in this process or in another; this connection
    writes nothing and is in no transaction.  Asking takes microseconds and waits for no lock: the file is in WAL
    mode.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None

    def changed_since(self, mark: str) -> Changed:
        """As ``Changes``."""
        with mapped():
            if self._connection is None:
                self._connection = sqlite3.connect(self._path, timeout=0, isolation_level=None)
            (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        found = str(version)
        return Changed(found, frozenset() if found == mark else None)

    def close(self) -> None:
        """Closes the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
