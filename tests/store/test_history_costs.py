"""What a collection's history costs those who ask for what is current: nothing, however long it is.

Counted in steps of SQLite's virtual machine, which are the same on every machine.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Select
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

from trustkit.core.names import Digest, Gun
from trustkit.core.ports.service import StoredFile
from trustkit.errors import StateError
from trustkit.store.collections import _FILES
from trustkit.store.compiled import Compiler
from trustkit.store.database import SqlStore
from trustkit.store.files import _Selects

GUN = Gun.parse("registry.example.com/team/app")
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ROLES = ("root", "snapshot", "targets", "timestamp")
SELECTS = _Selects.of(_FILES)


def stored(role: str, version: int) -> StoredFile:
    return StoredFile(role, version, f"{role} {version}".encode(), NOW + timedelta(days=7))


async def lived(path: Path, versions: range) -> None:
    """A collection to which so many versions of each role are added."""
    store = await SqlStore.open(path)
    try:
        async with store.write() as tx:
            if 1 in versions:
                await tx.collections.found(GUN, NOW)
            await tx.collections.add_files(
                GUN, [stored(role, version) for version in versions for role in ROLES], NOW
            )
    finally:
        await store.close()


def steps(path: Path, statement: Select[Any], values: Mapping[str, Any]) -> tuple[int, int]:
    """How many steps it takes, and how many rows it gives."""
    compiled = Compiler(SQLiteDialect_pysqlite(paramstyle="named"))(statement, values)
    taken = 0

    def step() -> int:
        nonlocal taken
        taken += 1
        return 0

    connection = sqlite3.connect(path)
    try:
        connection.execute("SELECT 1 FROM files").fetchone()
        connection.set_progress_handler(step, 1)
        return len(connection.execute(compiled.text, compiled.values(values)).fetchall()), taken
    finally:
        connection.close()


def test_what_is_current_costs_the_same_after_hundreds_of_versions(tmp_path: Path) -> None:
    """It cost a step for each version that there ever was: 2 ms of each publish after 1,600."""
    path = tmp_path / "trustkit.db"

    def costs(newest: int) -> dict[str, tuple[int, int]]:
        gun = {"gun": str(GUN)}
        sha256 = Digest.of(stored("timestamp", newest).data).hex
        return {
            "current": steps(path, SELECTS.current, gun),
            "but_bins": steps(path, SELECTS.but_bins, {**gun, "bins": ["bins-1-0", "bins-1-1"]}),
            "newest": steps(path, SELECTS.newest, {**gun, "role": "timestamp"}),
            "version": steps(path, SELECTS.version, {**gun, "role": "timestamp", "version": newest}),
            "hashed": steps(path, SELECTS.hashed, {**gun, "role": "timestamp", "sha256": sha256}),
        }

    asyncio.run(lived(path, range(1, 4)))
    young = costs(3)
    asyncio.run(lived(path, range(4, 400)))
    assert costs(399) == young
    assert [young[name][0] for name in ("current", "but_bins", "newest", "version", "hashed")] == [4, 4, 1, 1, 1]


def test_a_head_without_its_file_is_said_to_be_damage(tmp_path: Path) -> None:
    """It was as if there had never been such a role."""
    path = tmp_path / "trustkit.db"
    asyncio.run(lived(path, range(1, 3)))
    broken = sqlite3.connect(path)
    broken.executescript("DROP TRIGGER keep_needed_files; DELETE FROM files WHERE role = 'snapshot' AND version = 2;")
    broken.close()

    async def ask() -> None:
        store = await SqlStore.open(path)
        try:
            async with store.read() as tx:
                for ask in (tx.collections.current(GUN), tx.collections.newest(GUN, "snapshot")):
                    with pytest.raises(StateError, match=f"version 2 of snapshot of {GUN} .* doesn't have it"):
                        await ask
                assert await tx.collections.newest(GUN, "targets") == stored("targets", 2), "the others are read"
        finally:
            await store.close()

    asyncio.run(ask())
