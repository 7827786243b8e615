"""Two files under one version: by two replicas at once, by two copies of one database, by who gets at its tables."""

from __future__ import annotations

import asyncio
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from tests.postgres import Postgres, name_of
from trustkit.core.names import Gun
from trustkit.core.ports.service import Store, StoredFile
from trustkit.errors import Conflict, StateError
from trustkit.store.database import SqlStore
from trustkit.store.opening import open_store
from trustkit.store.postgres.address import Address
from trustkit.store.postgres.copying import copy

pytestmark = pytest.mark.real
NOW = datetime(2026, 3, 1, tzinfo=UTC)
APP = Gun.parse("registry.example.com/app")


async def found(store: Store) -> None:
    async with store.write(APP) as tx:
        await tx.collections.found(APP, NOW)
        await tx.collections.add_files(APP, [StoredFile("targets", 1, b"first", NOW)], NOW)


async def add(store: Store, data: bytes, version: int = 2) -> bool:
    """Whether a file could be added under a version."""
    try:
        async with store.write(APP) as tx:
            await tx.collections.add_files(APP, [StoredFile("targets", version, data, NOW)], NOW)
    except Conflict:
        return False
    return True


def test_two_replicas_that_publish_one_version_at_once(database: str) -> None:
    """TRUST 3.1, 3.4: many times, as a race is seldom lost."""

    async def main() -> None:
        one, other = await open_store(database), await open_store(database)
        await found(one)
        for version in range(2, 22):
            both = (add(store, data, version) for store, data in ((one, b"one"), (other, b"other")))
            assert sorted(await asyncio.gather(*both)) == [False, True]
        async with other.read() as tx:
            assert (await tx.collections.current(APP))["targets"].version == 21
        for store in (one, other):
            await store.close()

    asyncio.run(main())


def test_a_service_goes_on_from_the_file_that_was_copied_away(postgres: Postgres, tmp_path: Path) -> None:
    """TRUST 3.4: the copy goes on, so the file must not."""
    path, target = tmp_path / "trustkit.db", postgres.empty()

    async def before() -> None:
        store = await SqlStore.open(path)
        await found(store)
        await store.close()

    async def after() -> None:
        there = await open_store(target)
        assert await add(there, b"in the copy")
        await there.close()
        with pytest.raises(StateError, match="would be used twice"):
            await SqlStore.open(path)

    asyncio.run(before())
    copy(path, Address.parse(target), say=lambda _table, _count: None)
    asyncio.run(after())
    with sqlite3.connect(path) as connection:
        again = "INSERT INTO files SELECT collection, role, 2, data, 0, 0, 0, NULL FROM files"
        for statement in (again, "DELETE FROM settings"):
            with pytest.raises(sqlite3.IntegrityError, match="moved"):
                connection.execute(statement)
    postgres.drop(target)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE files SET data = 'other'",
        "UPDATE files SET version = 7",
        "INSERT INTO files SELECT collection, role, version, 'other', expires, stored, series, sha256 FROM files",
        "DELETE FROM heads",
        "TRUNCATE files, heads CASCADE",
        "DELETE FROM collections",
    ],
)
def test_who_gets_at_the_tables_of_a_running_service(postgres: Postgres, database: str, statement: str) -> None:
    """Whoever is no owner of the triggers, and forgets them: a script, another program, a hurried operator."""

    async def main() -> None:
        store = await open_store(database)
        await found(store)
        with postgres.connect(name_of(database)) as connection, pytest.raises(psycopg.Error):
            connection.execute(statement)
        assert await add(store, b"second")
        await store.close()

    asyncio.run(main())
