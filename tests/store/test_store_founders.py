"""Lists of founders in the store, and a database from before they were there."""

from __future__ import annotations

import asyncio
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine

from trustkit.core.names import Gun
from trustkit.core.patterns import RepositoryPattern
from trustkit.core.ports.service import AuditRow
from trustkit.errors import StateError
from trustkit.store.database import SqlStore
from trustkit.store.upgrade import REVISION

NOW = datetime(2026, 3, 1, tzinfo=UTC)
EVERY, TEAM = RepositoryPattern.parse("*"), RepositoryPattern.parse("team/*")
A, B = "a" * 64, "b" * 64


async def half(store: SqlStore) -> None:
    """A change that is never finished."""
    async with store.write() as tx:
        await tx.settings.set_founders(TEAM, set())
        raise StateError("on purpose")


def test_a_list_is_put_in_the_place_of_the_one_before(tmp_path: Path) -> None:
    async def main() -> None:
        store = await SqlStore.open(tmp_path / "trustkit.db")
        async with store.write() as tx:
            assert await tx.settings.founders() == {}
            await tx.settings.set_founders(TEAM, {A, B})
            await tx.settings.set_founders(EVERY, {A})
        async with store.read() as tx:
            assert await tx.settings.founders() == {TEAM: {A, B}, EVERY: {A}}
        async with store.write() as tx:
            await tx.settings.set_founders(TEAM, {B})
            await tx.settings.set_founders(EVERY, set())
        async with store.read() as tx:
            assert await tx.settings.founders() == {TEAM: {B}}
        with pytest.raises(StateError, match="on purpose"):
            await half(store)
        async with store.read() as tx:
            assert await tx.settings.founders() == {TEAM: {B}}
        await store.close()

    asyncio.run(main())


def first_revision(path: Path) -> None:
    """A database as the first revision left it, with something in it."""
    engine = create_engine(f"sqlite:///{path}")
    config = Config()
    config.set_main_option("script_location", "trustkit.store:migrations")
    config.set_main_option("path_separator", "os")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
    engine.dispose()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("INSERT INTO collections VALUES (7, 'registry.example.com/app', 'app', 3, 0)")
        connection.execute("INSERT INTO trust_only VALUES ('team/*', 1)")
        connection.execute("INSERT INTO audit VALUES (1, 0, 'root', 'local', 'policy-set', 'x', '{}')")


def test_a_database_of_the_first_revision_is_upgraded_and_keeps_what_it_has(tmp_path: Path) -> None:
    path = tmp_path / "trustkit.db"
    first_revision(path)

    async def main() -> None:
        store = await SqlStore.open(path)
        async with store.write() as tx:
            await tx.settings.set_founders(TEAM, {A})
            await tx.audit.append(AuditRow(NOW, "root", "local", "founders-added", "team/*", {}))
        async with store.read() as tx:
            assert await tx.settings.founders() == {TEAM: {A}}
            assert await tx.settings.trust_only_patterns() == {TEAM: True}
            record = await tx.collections.get(Gun.parse("registry.example.com/app"))
            assert record is not None
            assert record.generation == 3
            assert [row.action for row in await tx.audit.list()] == ["founders-added", "policy-set"]
        await store.close()

    asyncio.run(main())
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == (REVISION,)
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            connection.execute("DELETE FROM audit")
