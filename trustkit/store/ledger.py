"""A separate signer's own database: keys, what was signed last, and the files of that state.

Plain SQLite, apart from the service's tables: one file, five tables, one writer at a time, synchronous=FULL.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trustkit.core.names import Gun
from trustkit.core.onlinejudge import Record
from trustkit.core.ports.service import SealedKey
from trustkit.errors import StateError
from trustkit.store.foreign import mapped
from trustkit.store.privatefile import private_file, private_folder

BUSY_SECONDS = 30.0
_PAYLOADS = ("snapshot", "released", "timestamp")
_STEPS = (
    """
CREATE TABLE keys (gun TEXT NOT NULL, role TEXT NOT NULL, key_id TEXT NOT NULL, public TEXT NOT NULL,
    sealed BLOB NOT NULL, PRIMARY KEY (gun, role)) STRICT, WITHOUT ROWID;
CREATE TABLE signed (gun TEXT PRIMARY KEY NOT NULL, snapshot BLOB, released BLOB, timestamp BLOB) STRICT;
CREATE TABLE files (gun TEXT NOT NULL, role TEXT NOT NULL, data BLOB NOT NULL, PRIMARY KEY (gun, role)) STRICT;
""",
    """
CREATE TABLE pending_keys (gun TEXT NOT NULL, role TEXT NOT NULL, key_id TEXT NOT NULL, public TEXT NOT NULL,
    sealed BLOB NOT NULL, PRIMARY KEY (gun, role)) STRICT, WITHOUT ROWID;
CREATE TABLE allowed_resets (gun TEXT PRIMARY KEY NOT NULL) STRICT, WITHOUT ROWID;
ALTER TABLE signed ADD COLUMN anew INTEGER NOT NULL DEFAULT 0;
""",
)
"""What takes a database from each version to the next."""
VERSION = len(_STEPS)


class SqliteLedger:
    """The ledger.  One connection, which threads take in turn; other processes wait for up to 30 seconds."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._turn = threading.Lock()

    @classmethod
    def open(cls, path: Path) -> SqliteLedger:
        """Opens the database, made 0600 in a 0700 folder where there is none.

        Raises:
            StateError: it can't be used, or was made by a later version.
        """
        private_folder(path.parent)
        private_file(path)
        with mapped():
            connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
        ledger = cls(connection)
        with ledger._transaction():
            version = int(connection.execute("PRAGMA user_version").fetchone()[0])
            if version > VERSION:
                raise StateError(f"{path} was made by a later version of trustkit.")
            for step in _STEPS[version:]:
                for statement in step.split(";"):
                    connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {VERSION}")
        return ledger

    def close(self) -> None:
        """Closes the database; waits for a signature that is being made."""
        with self._turn:
            self._connection.close()

    def empty(self) -> bool:
        """Whether no key was ever made here."""
        with self._transaction():
            return self._connection.execute("SELECT 1 FROM keys LIMIT 1").fetchone() is None

    def first(self) -> Gun | None:
        """A collection that has keys here; None for none."""
        with self._transaction():
            row = self._connection.execute("SELECT gun FROM keys LIMIT 1").fetchone()
        return Gun.parse(row[0]) if row else None

    @contextmanager
    def entry(self, gun: Gun) -> Iterator[SqliteEntry]:
        """As ``Ledger``."""
        with self._transaction():
            yield SqliteEntry(self._connection, gun)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._turn, mapped():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")


class SqliteEntry:
    """One collection within a transaction."""

    def __init__(self, connection: sqlite3.Connection, gun: Gun) -> None:
        self._connection = connection
        self._gun = str(gun)

    def keys(self) -> Mapping[str, SealedKey]:
        """By role; empty where none were made."""
        return _keys(self._rows("SELECT role, key_id, public, sealed FROM keys WHERE gun = ?"))

    def add_keys(self, keys: Mapping[str, SealedKey]) -> None:
        """Raises Conflict where there are keys already."""
        self._each("INSERT INTO keys VALUES (?, ?, ?, ?, ?)", keys)

    def pending(self) -> Mapping[str, SealedKey]:
        """By role those that no root names yet."""
        return _keys(self._rows("SELECT role, key_id, public, sealed FROM pending_keys WHERE gun = ?"))

    def add_pending(self, keys: Mapping[str, SealedKey]) -> None:
        """Raises Conflict where one waits already."""
        self._each("INSERT INTO pending_keys VALUES (?, ?, ?, ?, ?)", keys)

    def adopt(self, roles: Iterable[str]) -> None:
        """Puts the keys that wait for these roles in the place of those before, which are gone then."""
        for role in roles:
            at = (self._gun, role)
            self._connection.execute(
                "INSERT OR REPLACE INTO keys SELECT * FROM pending_keys WHERE gun = ? AND role = ?", at
            )
            self._connection.execute("DELETE FROM pending_keys WHERE gun = ? AND role = ?", at)

    def replace_keys(self, keys: Mapping[str, SealedKey]) -> None:
        """Puts these in the place of all that there are and of all that wait."""
        self._connection.execute("DELETE FROM keys WHERE gun = ?", (self._gun,))
        self._connection.execute("DELETE FROM pending_keys WHERE gun = ?", (self._gun,))
        self.add_keys(keys)

    def allow_reset(self) -> None:
        """Allows one."""
        self._connection.execute("INSERT OR REPLACE INTO allowed_resets VALUES (?)", (self._gun,))

    def take_allowance(self) -> bool:
        """Whether a reset was allowed; it is used up then."""
        taken = self._connection.execute("DELETE FROM allowed_resets WHERE gun = ?", (self._gun,))
        return taken.rowcount > 0

    def record(self) -> Record:
        """What was signed last."""
        files: dict[str, bytes] = dict(self._rows("SELECT role, data FROM files WHERE gun = ?"))
        row = self._connection.execute(
            "SELECT snapshot, released, timestamp, anew FROM signed WHERE gun = ?", (self._gun,)
        ).fetchone()
        *payloads, anew = row or (None, None, None, 0)
        return Record(**dict(zip(_PAYLOADS, payloads, strict=True)), files=files, anew=bool(anew))

    def put_record(self, record: Record) -> None:
        """Puts this in the place of what was there; of the files only what changed is written."""
        before = self.record().files
        payloads = [getattr(record, name) for name in _PAYLOADS]
        values = (self._gun, *payloads, int(record.anew))
        self._connection.execute("INSERT OR REPLACE INTO signed VALUES (?, ?, ?, ?, ?)", values)
        for role, data in record.files.items():
            if before.get(role) != data:
                self._connection.execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?)", (self._gun, role, data))

    def _each(self, statement: str, keys: Mapping[str, SealedKey]) -> None:
        for key in keys.values():
            values = (self._gun, key.role, key.key_id, json.dumps(key.public), key.sealed)
            self._connection.execute(statement, values)

    def _rows(self, statement: str) -> list[Any]:
        return self._connection.execute(statement, (self._gun,)).fetchall()


def _keys(rows: Iterable[Any]) -> Mapping[str, SealedKey]:
    return {role: SealedKey(role, key_id, json.loads(public), sealed) for role, key_id, public, sealed in rows}
