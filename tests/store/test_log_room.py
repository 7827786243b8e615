"""The log of a service's database is as long as it gets from the first commit on, and says nothing new."""

from __future__ import annotations

import asyncio
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

from trustkit.store.database import SqlStore
from trustkit.store.logroom import BYTES, make_room
from trustkit.store.writing import Writer

HOLDS = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
connection.execute("UPDATE settings SET value = 'theirs' WHERE name = 'whose'")
connection.execute("COMMIT")
"""


def log_of(path: Path) -> int:
    """The length of the log in bytes."""
    return path.with_name(f"{path.name}-wal").stat().st_size


async def put(store: SqlStore, value: str) -> None:
    async with store.write() as tx:
        await tx.settings.put("whose", value)


async def got(store: SqlStore) -> str | None:
    async with store.read() as tx:
        return await tx.settings.get("whose")


def test_a_service_commits_into_a_log_that_is_there(tmp_path: Path) -> None:
    path = tmp_path / "trustkit.db"

    async def main() -> None:
        first = await SqlStore.open(path)
        assert log_of(path) < BYTES, "whoever looks in for a moment makes none"
        size = path.stat().st_size
        store = await SqlStore.open(path, lasting=True)
        made = log_of(path)
        assert BYTES <= made < BYTES * 1.1
        assert path.stat().st_size == size, "the database itself has not grown"
        for number in range(200):
            await put(store, f"{number}")
        assert log_of(path) == made
        assert await got(first) == "199", "other processes read what counts"
        copy = tmp_path / "copy.db"
        for end in ("", "-wal"):
            shutil.copy(f"{path}{end}", f"{copy}{end}")
        after = await SqlStore.open(copy)
        assert await got(after) == "199", "and so does whoever comes after a crash"
        for each in (first, store, after):
            await each.close()

    asyncio.run(main())
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("PRAGMA freelist_count").fetchone() == (0,)
        assert not connection.execute("SELECT 1 FROM sqlite_schema WHERE name LIKE '%room%'").fetchall()


def test_where_somebody_writes_or_there_is_no_room_everything_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "trustkit.db"

    async def main() -> None:
        store = await SqlStore.open(path)
        await put(store, "ours")
        before = log_of(path)
        async with store.write():
            make_room(path)
        assert log_of(path) == before
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (BYTES // 2, limits[1]))
        try:
            make_room(path)
            await put(store, "still ours")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            signal.signal(signal.SIGXFSZ, handler)
        assert await got(store) == "still ours"
        make_room(tmp_path / "not there" / "trustkit.db")
        await store.close()

    asyncio.run(main())


def test_a_transaction_waits_for_another_processs_and_the_loop_does_not(tmp_path: Path) -> None:
    """Where nobody writes, a transaction begins without a thread; where somebody does, a thread waits for them."""
    path = tmp_path / "trustkit.db"

    async def main() -> None:
        store = await SqlStore.open(path)
        await put(store, "ours")
        other = await asyncio.create_subprocess_exec(
            sys.executable, "-c", HOLDS, path, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert other.stdin
        assert other.stdout
        assert await other.stdout.readline() == b"held\n"
        waiting = asyncio.create_task(put(store, "ours, after theirs"))
        for _ in range(20):
            began = time.monotonic()
            await asyncio.sleep(0.01)
            assert time.monotonic() - began < 5, "others are served meanwhile"
        assert not waiting.done()
        assert await got(store) == "ours"
        other.stdin.close()
        await waiting
        assert await other.wait() == 0
        assert await got(store) == "ours, after theirs"
        assert isinstance(store._writer, Writer)
        await store.close()

    asyncio.run(main())
