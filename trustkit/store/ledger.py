"""A separate signer's own database: keys, what was signed last, the files of that state, consents, and events.

Plain SQLite, apart from the service's tables: one file, six tables, one writer at a time, synchronous=FULL.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from trustkit.core.names import Gun
from trustkit.core.onlinejudge import Record
from trustkit.core.ports.resealing import SealedRow
from trustkit.core.ports.service import AuditRow, SealedKey
from trustkit.errors import StateError
from trustkit.store.foreign import MAPPED
from trustkit.store.privatefile import private_file, private_folder

BUSY_SECONDS = 30.0
_SEALED = {
    "keys": (
        "SELECT gun, role, key_id, public, sealed FROM keys ORDER BY gun, role",
        "UPDATE keys SET sealed = ? WHERE gun = ? AND role = ?",
    ),
    "pending_keys": (
        "SELECT gun, role, key_id, public, sealed FROM pending_keys ORDER BY gun, role",
        "UPDATE pending_keys SET sealed = ? WHERE gun = ? AND role = ?",
    ),
}
"""How all sealed values of a table are read, and how one is put into its place."""
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
CREATE TABLE consents (gun TEXT NOT NULL, act TEXT NOT NULL, until INTEGER NOT NULL, root_keys TEXT NOT NULL,
    PRIMARY KEY (gun, act)) STRICT, WITHOUT ROWID;
CREATE TABLE events (id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, actor TEXT NOT NULL,
    source TEXT NOT NULL, action TEXT NOT NULL, subject TEXT NOT NULL, detail TEXT NOT NULL) STRICT;
CREATE TRIGGER events_stay BEFORE UPDATE ON events BEGIN SELECT RAISE(ABORT, 'events stay'); END;
CREATE TRIGGER events_remain BEFORE DELETE ON events BEGIN SELECT RAISE(ABORT, 'events stay'); END;
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
        with MAPPED:
            connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
        ledger = cls(connection)
        with ledger._transaction():
            version = int(connection.execute("PRAGMA user_version").fetchone()[0])
            if version > VERSION:
                raise StateError(f"{path} was made by a later version of trustkit.")
            for step in _STEPS[version:]:
                for statement in step.split(";\n"):
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

    def events(self, limit: int) -> list[AuditRow]:
        """The newest events, newest first."""
        with self._transaction():
            rows = self._connection.execute(
                "SELECT at, actor, source, action, subject, detail FROM events ORDER BY id DESC LIMIT ?", (limit,)
            ).fetchall()
        return [
            AuditRow(datetime.fromtimestamp(at, UTC), actor, source, action, subject, json.loads(detail))
            for at, actor, source, action, subject, detail in rows
        ]

    @contextmanager
    def entry(self, gun: Gun) -> Iterator[SqliteEntry]:
        """As ``Ledger``."""
        with self._transaction():
            yield SqliteEntry(self._connection, gun)

    @contextmanager
    def sealed(self) -> Iterator[SqliteSealed]:
        """As ``core.ports.resealing.ResealingLedger``."""
        with self._transaction():
            yield SqliteSealed(self._connection)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._turn, MAPPED:
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

    def allow(self, act: str, until: datetime, root_keys: Collection[str] = ()) -> None:
        """Writes a consent down, in the place of an earlier one to the same act."""
        values = (self._gun, act, int(until.timestamp()), json.dumps(sorted(root_keys)))
        self._connection.execute("INSERT OR REPLACE INTO consents VALUES (?, ?, ?, ?)", values)

    def take(self, act: str, now: datetime) -> frozenset[str] | None:
        """Uses a consent up: the root keys that it names; None where there is none that lasts until now."""
        at = (self._gun, act, int(now.timestamp()))
        row = self._connection.execute(
            "SELECT root_keys FROM consents WHERE gun = ? AND act = ? AND until > ?", at
        ).fetchone()
        self._connection.execute("DELETE FROM consents WHERE gun = ? AND act = ?", at[:2])
        return frozenset(json.loads(row[0])) if row else None

    def note(self, row: AuditRow) -> None:
        """Adds an event; nobody changes or removes one."""
        _note(self._connection, row)

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


class SqliteSealed:
    """Every sealed key within a transaction; satisfies ``core.ports.resealing.LedgerRows``."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def all(self) -> list[SealedRow]:
        """Those in use, then those that wait for a root."""
        found = list[SealedRow]()
        for place, (read, _) in _SEALED.items():
            for gun, *values in self._connection.execute(read).fetchall():
                found += [SealedRow(place, Gun.parse(gun), key) for key in _keys([values]).values()]
        return found

    def replace(self, row: SealedRow, sealed: bytes) -> None:
        """Puts another sealed form of the same key into its place."""
        _, write = _SEALED[row.place]
        self._connection.execute(write, (sealed, str(row.gun), row.key.role))

    def note(self, row: AuditRow) -> None:
        """Adds an event."""
        _note(self._connection, row)


def _note(connection: sqlite3.Connection, row: AuditRow) -> None:
    detail = json.dumps(dict(row.detail))
    values = (int(row.at.timestamp()), row.actor, row.source, row.action, row.subject, detail)
    statement = "INSERT INTO events (at, actor, source, action, subject, detail) VALUES (?, ?, ?, ?, ?, ?)"
    connection.execute(statement, values)


def _keys(rows: Iterable[Any]) -> Mapping[str, SealedKey]:
    return {role: SealedKey(role, key_id, json.loads(public), sealed) for role, key_id, public, sealed in rows}
