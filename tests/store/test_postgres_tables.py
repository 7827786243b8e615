"""The tables of a database on PostgreSQL: who makes them, who may serve them, and what is kept in them for good."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from tests.postgres import SUPERUSER, Postgres, name_of
from trustkit.core.names import Gun
from trustkit.core.ports.service import AuditRow, StoredFile
from trustkit.errors import StateError
from trustkit.store.database import SqlStore
from trustkit.store.models import metadata
from trustkit.store.opening import open_store
from trustkit.store.postgres.address import Address
from trustkit.store.postgres.tables import OLDEST_SETTING, migrate
from trustkit.store.upgrade import REVISION

pytestmark = pytest.mark.real
NOW = datetime(2026, 3, 1, tzinfo=UTC)
APP = Gun.parse("registry.example.com/app")


async def opened(url: str) -> None:
    await (await open_store(url)).close()


def fill(url: str) -> None:
    async def main() -> None:
        store = await open_store(url)
        async with store.write() as tx:
            await tx.collections.found(APP, NOW)
            await tx.collections.add_files(APP, [StoredFile("root", 1, b"{}", NOW)], NOW)
            await tx.audit.append(AuditRow(NOW, "a", "b", "c", "d", {}))
        await store.close()

    asyncio.run(main())


def test_an_empty_database_gets_its_tables_however_many_replicas_start_on_it(postgres: Postgres) -> None:
    url = postgres.empty()

    async def main() -> None:
        await asyncio.gather(*(opened(url) for _ in range(4)))

    asyncio.run(main())
    assert postgres.run("SELECT version_num FROM alembic_version", url) == [(REVISION,)]
    postgres.drop(url)


def test_migrations_and_models_say_the_same(postgres: Postgres, database: str) -> None:
    engine = create_engine("postgresql+psycopg://", creator=lambda: postgres.connect(name_of(database)))
    own = ("moves", "failed_logins")
    options = {"include_name": lambda name, kind, _parents: kind != "table" or name not in own}
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection, opts=options), metadata) == []
    engine.dispose()


def test_texts_sort_by_their_bytes_whatever_the_database_does_by_default(postgres: Postgres, database: str) -> None:
    guns = [Gun.parse(f"registry.example.com/{name}") for name in ("a-z", "a/b", "ab", "a0", "a_z", "b")]

    async def main() -> None:
        store = await open_store(database)
        for gun in guns:
            async with store.write(gun) as tx:
                await tx.collections.found(gun, NOW)
        async with store.read() as tx:
            assert [record.gun for record in await tx.collections.list()] == sorted(guns, key=str)
        await store.close()

    asyncio.run(main())
    by_default = postgres.run("SELECT array_agg(x ORDER BY x) FROM unnest('{a_z,a-z}'::text[]) x", database)
    assert by_default == [(["a_z", "a-z"],)]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET actor = 'nobody'",
        "DELETE FROM audit",
        "TRUNCATE audit",
        "UPDATE files SET data = 'x'",
        "DELETE FROM collections",
        "TRUNCATE collections CASCADE",
        "DELETE FROM heads",
        "TRUNCATE heads",
        "DELETE FROM changefeed",
        "UPDATE changefeed SET gun = 'x'",
    ],
)
def test_what_is_kept_for_good_is_kept_from_any_program(postgres: Postgres, database: str, statement: str) -> None:
    """TRUST 3.4, 3.5, 8.4; also from a superuser."""
    fill(database)
    with postgres.connect(name_of(database)) as connection, pytest.raises(psycopg.Error, match="append-only"):
        connection.execute(statement)


def test_the_same_is_kept_as_on_sqlite(postgres: Postgres, database: str, tmp_path: Path) -> None:
    async def main() -> None:
        await (await SqlStore.open(tmp_path / "trustkit.db")).close()

    asyncio.run(main())
    with sqlite3.connect(tmp_path / "trustkit.db") as connection:
        texts = [row[0] for row in connection.execute("SELECT sql FROM sqlite_master WHERE type = 'trigger'")]
    here = {re.search(r"BEFORE (\w+) ON (\w+)", text).group(2, 1) for text in texts}
    found = postgres.run(
        "SELECT event_object_table, event_manipulation FROM information_schema.triggers "
        "WHERE trigger_name LIKE 'keep%'",
        database,
    )
    assert set(found) == here


@pytest.mark.parametrize(
    ("revision", "oldest", "words"),
    [
        ("0001", "", "older version"),
        ("9999", "9998", "newer version"),
        ("9999", "", None),
        ("9999", REVISION, None),
        (REVISION, "", None),
    ],
    ids=["older", "newer, and took something away", "newer", "newer, for this one too", "the same"],
)
def test_which_tables_a_replica_serves(
    postgres: Postgres, database: str, revision: str, oldest: str, words: str | None
) -> None:
    """An older replica goes on beside a newer one, and starts again, until a migration says that it can't."""
    postgres.run(f"UPDATE alembic_version SET version_num = '{revision}'", database)
    if oldest:
        postgres.run(f"INSERT INTO settings VALUES ('{OLDEST_SETTING}', '{oldest}')", database)
    if words is None:
        asyncio.run(opened(database))
        return
    with pytest.raises(StateError, match=words) as caught:
        asyncio.run(opened(database))
    assert "trustkit" in caught.value.hint
    assert postgres.run("SELECT version_num FROM alembic_version", database) == [(revision,)]


def test_another_programs_database_is_left_alone(postgres: Postgres) -> None:
    url = postgres.empty()
    postgres.run("CREATE TABLE theirs (a int)", url)
    with pytest.raises(StateError, match="another program"):
        asyncio.run(opened(url))
    with pytest.raises(StateError, match="another program"):
        migrate(Address.parse(url))
    assert postgres.run("SELECT tablename FROM pg_tables WHERE schemaname = 'public'", url) == [("theirs",)]
    postgres.drop(url)


def test_a_user_who_may_not_make_tables_is_told(postgres: Postgres) -> None:
    url = postgres.empty()
    postgres.run(f"ALTER DATABASE {name_of(url)} OWNER TO {SUPERUSER}", url)
    with pytest.raises(StateError, match="doesn't let this service's user") as caught:
        asyncio.run(opened(url))
    assert "own" in caught.value.hint
    postgres.drop(url)


def test_a_migration_that_breaks_changes_nothing(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    url = postgres.empty()
    monkeypatch.setattr("trustkit.store.postgres.tables.triggers", lambda _lock: ["SELECT 1/0"])
    with pytest.raises(StateError):
        migrate(Address.parse(url))
    assert postgres.run("SELECT tablename FROM pg_tables WHERE schemaname = 'public'", url) == []
    monkeypatch.undo()
    migrate(Address.parse(url))
    postgres.drop(url)
