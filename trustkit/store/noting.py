"""What one process changes in a file of SQLite, noted by the rules of PostgreSQL's triggers."""

from __future__ import annotations

import sqlite3
from functools import lru_cache

from trustkit.core.names import Gun
from trustkit.store.models import is_hidden
from trustkit.store.postgres.kept import ENDING, QUIET

_FUNCTION = "trustkit_note"
_TABLES = """
SELECT t.name, EXISTS (SELECT 1 FROM pragma_table_info(t.name) c WHERE c.name = 'gun')
FROM main.sqlite_schema t WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY 1
"""
"""Every table, and whether its rows say which collection they are of."""


class Notes:
    """What one connection changes, by triggers of its own, which are in no file.

    Args:
        connection: to a database that has its tables, outside of any transaction.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self._noted: set[str | None] = set()
        connection.execute("PRAGMA temp_store=MEMORY")
        connection.create_function(_FUNCTION, 1, self._noted.add)
        for table, of_collections in connection.execute(_TABLES).fetchall():
            for statement in _triggers(table, of_collections=bool(of_collections)) if table not in QUIET else ():
                connection.execute(statement)

    def begin(self) -> None:
        """Forgets what was noted in a transaction that came to nothing."""
        self._noted.clear()

    def taken(self) -> frozenset[Gun] | None:
        """The collections that were changed, where nothing else was; None where anything may have been."""
        guns = {gun for gun in self._noted if gun is not None and not is_hidden(gun)}
        anything = None in self._noted
        self._noted.clear()
        return None if anything else frozenset(map(_parsed, guns))


_parsed = lru_cache(maxsize=256)(Gun.parse)


def _triggers(table: str, *, of_collections: bool) -> list[str]:
    rows = {"INSERT": ("NEW",), "UPDATE": ("OLD", "NEW"), "DELETE": ("OLD",)}
    if table == ENDING:
        del rows["INSERT"]
    named = of_collections and table != ENDING
    made = []
    for verb, sides in rows.items():
        calls = (
            " ".join(f"SELECT {_FUNCTION}({side}.gun);" for side in sides) if named else f"SELECT {_FUNCTION}(NULL);"
        )
        made.append(f'CREATE TEMP TRIGGER "note_{table}_{verb}" AFTER {verb} ON main."{table}" BEGIN {calls} END')
    return made
