"""Statements compiled once: how many are kept doesn't depend on what anybody publishes or asks for."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

from sqlalchemy import Boolean, bindparam, insert, select
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

from trustkit.store.compiled import Compiler
from trustkit.store.connections import READER_KIB
from trustkit.store.database import SqlStore
from trustkit.store.models import collections, heads

IN = select(heads.c.role).where(heads.c.role.in_(bindparam("roles", expanding=True)))


def compiler() -> Compiler:
    return Compiler(SQLiteDialect_pysqlite(paramstyle="named"), (Boolean,))


def test_lists_of_any_length_are_few_statements() -> None:
    compile_ = compiler()
    for length in range(1025):
        roles = [f"bins-{number}" for number in range(length)]
        compiled = compile_(IN, {"roles": roles})
        values = compiled.values({"roles": roles})
        given = [values[name] for name in compiled.spread]
        assert given[:length] == roles
        assert set(given) == set(roles), "what fills the places that are left is asked for anyway"
        assert len(given) < 2 * max(length, 1)
    assert compile_.size == 12


def test_a_statement_that_nobody_has_any_more_is_forgotten() -> None:
    compile_ = compiler()
    texts = {compile_(insert(collections), {"gun": "a", "repository": "b"}).text for _ in range(1000)}
    assert len(texts) == 1
    assert compile_.size == 0
    assert compile_(IN, {"roles": ["a"]}) is compile_(IN, {"roles": ["b"]})
    assert compile_.size == 1


def test_a_connection_that_reads_keeps_few_pages_and_the_one_that_writes_as_many_as_it_takes(tmp_path: Path) -> None:
    async def main() -> None:
        store = await SqlStore.open(tmp_path / "trustkit.db")
        try:
            assert [_pages(store._readers.take()), _pages(store._writer._begun())] == [-READER_KIB, -2000]
        finally:
            await store.close()

    asyncio.run(main())


def _pages(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA cache_size").fetchone()[0])
