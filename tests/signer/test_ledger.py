"""The signer's own database: one of the first layout opens, a later one doesn't, and events stay."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.signer.running import RunningSigner
from tests.signer.stage import Intruder
from trustkit.core.names import Gun
from trustkit.core.ports.service import AuditRow
from trustkit.errors import StateError
from trustkit.store.ledger import VERSION, SqliteLedger

GUN = Gun.parse("registry.example.com/team/app")
NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
SINCE = ("consents", "events", "pending_keys", "sqlite_sequence")
"""What the first layout had not."""


def made_first(path: Path) -> None:
    """Takes a database back to its first layout, with what is in it."""
    with closing(sqlite3.connect(path)) as database:
        for trigger in ("events_stay", "events_remain"):
            database.execute(f"DROP TRIGGER {trigger}")
        for table in SINCE[:3]:
            database.execute(f"DROP TABLE {table}")
        database.execute("ALTER TABLE signed DROP COLUMN anew")
        database.execute("PRAGMA user_version = 1")
        database.commit()


def layout(path: Path) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(path)) as database:
        return database.execute("SELECT type, name FROM sqlite_schema ORDER BY name").fetchall()


def test_a_signer_goes_on_with_a_database_of_the_first_layout(tmp_path: Path) -> None:
    signer = RunningSigner(tmp_path, "--client-name", "service").start()
    try:
        it = Intruder(signer.as_seen_by())
        it.advance(it.upload("v2"))
        before = layout(signer.data / "signer.db")
        signer.end()
        made_first(signer.data / "signer.db")
        assert len(layout(signer.data / "signer.db")) < len(before)
        signer.start()
        assert layout(signer.data / "signer.db") == before
        assert signer.rows("PRAGMA user_version") == [(VERSION,)]
        assert it.signer.make(it.gun) == it.keys
        assert it.signer.held(it.gun).versions == {"snapshot": 2, "timestamp": 2}
        it.advance(it.upload("v3"))
        assert set(it.signer.stage(it.gun, ["snapshot"])) == {"snapshot"}
    finally:
        signer.end()


def test_a_later_layout_is_refused(tmp_path: Path) -> None:
    SqliteLedger.open(tmp_path / "signer.db").close()
    with closing(sqlite3.connect(tmp_path / "signer.db")) as database:
        database.execute(f"PRAGMA user_version = {VERSION + 1}")
    with pytest.raises(StateError, match="made by a later version"):
        SqliteLedger.open(tmp_path / "signer.db")


@pytest.mark.parametrize("statement", ["DELETE FROM events", "UPDATE events SET actor = 'nobody'"])
def test_events_stay(tmp_path: Path, statement: str) -> None:
    ledger = SqliteLedger.open(tmp_path / "signer.db")
    row = AuditRow(NOW, "operator:olga", "local", "reset-allowed", str(GUN), {"until": "tomorrow"})
    with ledger.entry(GUN) as entry:
        entry.note(row)
    with closing(sqlite3.connect(tmp_path / "signer.db")) as database, pytest.raises(sqlite3.IntegrityError):
        database.execute(statement)
    assert ledger.events(10) == [row]
    ledger.close()


def refused_after_taking(ledger: SqliteLedger) -> None:
    with ledger.entry(GUN) as entry:
        assert entry.take("reset", NOW) == {"a", "b"}
        raise StateError("refused")


def test_a_consent_is_for_one_act_once_and_for_its_time(tmp_path: Path) -> None:
    ledger = SqliteLedger.open(tmp_path / "signer.db")
    with ledger.entry(GUN) as entry:
        assert entry.take("reset", NOW) is None
        entry.allow("reset", NOW + timedelta(hours=1), ["b", "a"])
    with ledger.entry(GUN) as entry:
        assert entry.take("catch-up", NOW) is None
    with pytest.raises(StateError, match="refused"):
        refused_after_taking(ledger)
    with ledger.entry(GUN) as entry:
        assert entry.take("reset", NOW) == {"a", "b"}, "what is refused afterwards uses none up"
        assert entry.take("reset", NOW) is None
        entry.allow("reset", NOW + timedelta(hours=1))
        assert entry.take("reset", NOW + timedelta(hours=1)) is None
    ledger.close()
