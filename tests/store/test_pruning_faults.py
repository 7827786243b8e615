"""Pruning by real processes at once, and killed in the midst, on each implementation of the store."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.store.test_store_contract import APP, stored
from trustkit.authority.prunerounds import PruneRounds, last_round
from trustkit.authority.pruning import STEP_FILES, Pruning
from trustkit.core.ports.service import Store
from trustkit.store.opening import open_store

VERSIONS = 500
OLD = datetime.now(UTC) - timedelta(days=400)
PRUNE = """
import asyncio, sys
from datetime import UTC, datetime
from trustkit.authority.pruning import Pruning
from trustkit.store.opening import open_store

async def main() -> None:
    store = await open_store(sys.argv[1])
    print("begun", flush=True)
    done = await Pruning(store, clock=lambda: datetime.now(UTC)).prune()
    print(done.files, flush=True)
    await store.close()

asyncio.run(main())
"""


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.real)])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        return str(request.getfixturevalue("database"))
    return f"sqlite:///{tmp_path / 'd' / 'trustkit.db'}"


async def filled(store: Store) -> None:
    async with store.write() as tx:
        await tx.collections.found(APP, OLD)
        await tx.collections.add_files(APP, [stored("root", 1)], OLD)
        for role in ("snapshot", "timestamp"):
            files = [stored(role, version) for version in range(1, VERSIONS + 1)]
            await tx.collections.add_files(APP, files, OLD)


async def counts(store: Store) -> tuple[int, int]:
    """How many files there are, and how many the audit log says were removed."""
    async with store.read() as tx:
        (shelf,) = await tx.past.shelves()
        held = await tx.past.held(shelf, before=None, versions=0)
        rows = await tx.audit.list(limit=1000)
    return held.files, sum(int(str(row.detail["files"])) for row in rows if row.action == "history-pruned")


def start(where: str) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", PRUNE, where], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    return process


def test_who_is_killed_in_the_midst_leaves_whole_steps_and_the_next_one_goes_on(where: str) -> None:
    async def main() -> None:
        store = await open_store(where)
        try:
            await filled(store)
            process = start(where)
            while (await counts(store))[1] == 0:
                assert process.poll() is None
            process.kill()
            process.communicate()
            files, gone = await counts(store)
            assert files + gone == 1 + 2 * VERSIONS
            assert 0 < gone < 2 * (VERSIONS - 1)
            assert gone % STEP_FILES == 0
            async with store.read() as tx:
                current = await tx.collections.current(APP)
            assert {role: file.version for role, file in current.items()} == {
                "root": 1,
                "snapshot": VERSIONS,
                "timestamp": VERSIONS,
            }
            assert (await Pruning(store, clock=lambda: datetime.now(UTC)).prune()).files == 2 * (VERSIONS - 1) - gone
            assert await counts(store) == (3, 2 * (VERSIONS - 1))
        finally:
            await store.close()

    asyncio.run(main())


def test_several_processes_at_once_remove_each_file_once_while_somebody_publishes(where: str) -> None:
    async def main() -> None:
        store = await open_store(where)
        try:
            await filled(store)
            processes = [start(where) for _ in range(2)]
            version = VERSIONS
            while any(process.poll() is None for process in processes):
                version += 1
                async with store.write(APP) as tx:
                    await tx.collections.add_files(APP, [stored("timestamp", version)], datetime.now(UTC))
            removed = sum(int(process.communicate()[0]) for process in processes)
            assert [process.returncode for process in processes] == [0, 0]
            assert removed == 2 * (VERSIONS - 1)
            files, gone = await counts(store)
            assert (files, gone) == (3 + version - VERSIONS, removed)
            assert version > VERSIONS + 3, "publishes went on"
        finally:
            await store.close()

    asyncio.run(main())


def test_of_several_replicas_one_makes_the_round(where: str) -> None:
    async def main() -> None:
        replicas = [await open_store(where) for _ in range(3)]
        try:
            await filled(replicas[0])
            rounds = [PruneRounds(store, clock=lambda: datetime.now(UTC)) for store in replicas]
            done = await asyncio.gather(*(each.round() for each in rounds))
            assert [each.files for each in done if each] == [2 * (VERSIONS - 1)]
            last = await last_round(replicas[2])
            assert last is not None
            assert (last.ended, last.removed, last.held.files, last.held.past) == (True, 2 * (VERSIONS - 1), 3, 0)
        finally:
            for store in replicas:
                await store.close()

    asyncio.run(main())
