"""Who waits for whom on PostgreSQL, and which anomalies are excluded: from several processes, and step by step."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime

import pytest

from tests.postgres import Postgres, name_of
from trustkit.core.access import Assignment, Role
from trustkit.core.names import Gun, PrincipalName
from trustkit.core.patterns import RepositoryPattern
from trustkit.core.ports.changefeed import UPDATE, Change
from trustkit.core.ports.service import Scope, StoredFile, Transaction
from trustkit.errors import Conflict, DatabaseUnavailable, StateError
from trustkit.store.postgres.address import Address
from trustkit.store.postgres.session import Patience
from trustkit.store.postgres.store import PostgresStore

pytestmark = pytest.mark.real
NOW = datetime(2026, 3, 1, tzinfo=UTC)
APP, OTHER = Gun.parse("registry.example.com/app"), Gun.parse("registry.example.com/other")
ALICE = PrincipalName("alice")
SIGNS = Assignment(Role.ACR_IMAGE_SIGNER, RepositoryPattern.parse("*"))

WORKER = """
import asyncio, sys
from datetime import UTC, datetime
from trustkit.core.names import Gun
from trustkit.core.ports.service import StoredFile
from trustkit.store.opening import open_store

async def main(url, times):
    store, gun, now = await open_store(url), Gun.parse("registry.example.com/app"), datetime.now(UTC)
    for _ in range(times):
        async with store.write() as tx:
            await tx.settings.put("n", str(int(await tx.settings.get("n") or 0) + 1))
        async with store.write(gun) as tx:
            version = (await tx.collections.current(gun))["timestamp"].version + 1
            await tx.collections.add_files(gun, [StoredFile("timestamp", version, b"%d" % version, now)], now)
    await store.close()

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


@asynccontextmanager
async def stores(url: str, number: int = 1, **patience: float) -> AsyncIterator[list[PostgresStore]]:
    """Stores as of so many replicas."""
    opened = [await PostgresStore.open(Address.parse(url), Patience(**patience)) for _ in range(number)]
    try:
        yield opened
    finally:
        for store in opened:
            await store.close()


async def found(tx: Transaction, gun: Gun) -> None:
    await tx.collections.found(gun, NOW)
    await tx.collections.add_files(gun, [StoredFile("timestamp", 1, b"1", NOW)], NOW)


async def waits(postgres: Postgres, url: str, number: int = 1) -> None:
    """Returns once so many transactions wait for a lock in a database."""
    sql = (
        "SELECT count(*) FROM pg_locks WHERE NOT granted AND database = "
        "(SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    for _ in range(500):
        if postgres.run(sql, url) == [(number,)]:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("nobody waits")


@pytest.mark.timeout(120)
def test_read_then_write_from_8_processes_loses_nothing(postgres: Postgres, database: str) -> None:
    async def begin() -> None:
        async with stores(database) as (store,), store.write(APP) as tx:
            await found(tx, APP)

    asyncio.run(begin())
    workers = [subprocess.Popen([sys.executable, "-c", WORKER, database, "15"]) for _ in range(8)]
    assert [worker.wait() for worker in workers] == [0] * 8
    assert postgres.run("SELECT value FROM settings WHERE name = 'n'", database) == [("120",)]
    assert postgres.run("SELECT version FROM heads", database) == [(121,)]
    assert postgres.run("SELECT count(*) FROM files", database) == [(121,)]


def test_with_postgresqls_own_defaults_the_same_work_loses_changes(postgres: Postgres, database: str) -> None:
    """Why the locks are there: two that read, then write, both succeed, and one is lost, without an error."""
    postgres.run("INSERT INTO settings VALUES ('n', '0')", database)
    with postgres.connect(name_of(database)) as one, postgres.connect(name_of(database)) as two:
        for each in (one, two):
            each.execute("BEGIN")
        seen = [int(each.execute("SELECT value FROM settings").fetchone()[0]) for each in (one, two)]
        for each, value in zip((one, two), seen, strict=True):
            each.execute("UPDATE settings SET value = %s", (str(value + 1),))
            each.execute("COMMIT")
    assert postgres.run("SELECT value FROM settings", database) == [("1",)]


def test_writes_to_different_collections_go_on_side_by_side(database: str) -> None:
    async def body() -> None:
        async with stores(database, 2) as (one, two), one.write(APP) as tx:
            await found(tx, APP)
            async with two.write(OTHER) as other:
                await found(other, OTHER)
            async with two.write(ALICE) as other:
                await other.settings.get("a")
            async with two.read() as reading:
                assert await reading.collections.get(APP) is None
                assert await reading.collections.get(OTHER) is not None

    asyncio.run(body())


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(APP, APP, id="one collection"),
        pytest.param(APP, Gun.parse("localhost:5080/app"), id="one repository by two names"),
        pytest.param(APP, None, id="roles after a publish"),
        pytest.param(None, APP, id="a publish after roles"),
        pytest.param(None, None, id="roles"),
        pytest.param(ALICE, ALICE, id="one principal's tokens"),
        pytest.param(ALICE, None, id="roles after tokens"),
    ],
)
def test_who_waits_for_whom(postgres: Postgres, database: str, first: Scope, second: Scope) -> None:
    async def body() -> None:
        async with stores(database, 2) as (one, two):
            async with one.write(first) as tx:
                later = asyncio.create_task(_put(two, second, "second"))
                await waits(postgres, database)
                await tx.settings.put("who", "first")
            await later
            async with one.read() as tx:
                assert await tx.settings.get("who") == "first, second"

    asyncio.run(body())


async def _put(store: PostgresStore, of: Scope, word: str) -> None:
    async with store.write(of) as tx:
        await tx.settings.put("who", f"{await tx.settings.get('who')}, {word}")


def test_a_role_that_is_taken_away_waits_for_who_publishes_by_it(postgres: Postgres, database: str) -> None:
    """TRUST 8.1: no publish commits after the removal of the role that it read (write skew)."""
    ended: list[str] = []

    async def revoke(store: PostgresStore) -> None:
        async with store.write() as tx:
            await tx.identities.revoke(ALICE, SIGNS)
        ended.append("revoked")

    async def publish(store: PostgresStore, gun: Gun, meanwhile: Callable[[], Awaitable[object]]) -> bool:
        async with store.write(gun) as tx:
            if SIGNS not in await tx.identities.assignments(ALICE):
                return False
            await meanwhile()
            assert SIGNS in await tx.identities.assignments(ALICE)
            await found(tx, gun)
        ended.append("published")
        return True

    async def nothing() -> None: ...

    async def body() -> None:
        async with stores(database, 2) as (one, two):
            async with one.write() as tx:
                await tx.identities.add(ALICE, "hash", NOW)
                await tx.identities.assign(ALICE, SIGNS)
            removal: asyncio.Task[None] | None = None

            async def remove() -> None:
                nonlocal removal
                removal = asyncio.create_task(revoke(two))
                await waits(postgres, database)

            assert await publish(one, APP, remove)
            assert removal is not None
            await removal
            assert ended == ["published", "revoked"]
            assert not await publish(one, OTHER, nothing)

    asyncio.run(body())


def test_two_collections_of_one_repository_that_are_founded_at_once(database: str) -> None:
    """TRUST 1.1: by two names, at two replicas."""
    names = [APP, Gun.parse("localhost:5080/app")]

    async def one(store: PostgresStore, gun: Gun) -> str:
        try:
            async with store.write(gun) as tx:
                await asyncio.sleep(0)
                await tx.collections.found(gun, NOW)
        except Conflict:
            return "conflict"
        return "founded"

    async def body() -> None:
        async with stores(database, 2) as both:
            done = await asyncio.gather(*(one(store, gun) for store, gun in zip(both, names, strict=True)))
            assert sorted(done) == ["conflict", "founded"]

    asyncio.run(body())


def test_the_changefeed_is_numbered_in_the_order_in_which_it_shows(postgres: Postgres, database: str) -> None:
    """Who asks what came after the last entry would miss a smaller number of a transaction that ends later."""

    async def append(store: PostgresStore, gun: Gun) -> None:
        async with store.write(gun) as tx:
            await tx.changefeed.append(Change(NOW, gun, 1, "", UPDATE))

    async def body() -> None:
        async with stores(database, 2) as (one, two):
            async with one.write(APP) as tx:
                await tx.changefeed.append(Change(NOW, APP, 1, "", UPDATE))
                later = asyncio.create_task(append(two, OTHER))
                await waits(postgres, database)
                async with two.read() as reading:
                    assert list(await reading.changefeed.after(0, 10)) == []
            await later
            async with one.read() as tx:
                changes = await tx.changefeed.after(0, 10)
                assert [change.gun for change in changes] == [APP, OTHER]
                assert changes[0].id < changes[1].id

    asyncio.run(body())


def test_a_read_is_of_one_moment_and_can_change_nothing(database: str) -> None:
    async def body() -> None:
        async with stores(database, 2) as (one, two), one.read() as tx:
            assert await tx.collections.list() == []
            async with two.write(APP) as other:
                await found(other, APP)
            assert await tx.collections.list() == []
            assert await tx.collections.current(APP) == {}
            with pytest.raises(StateError, match="no changes"):
                await tx.settings.put("a", "1")

    asyncio.run(body())


def test_who_waits_for_a_lock_for_too_long_is_told(database: str) -> None:
    async def body() -> None:
        async with stores(database) as (one,), stores(database, locks=0.3) as (two,):
            for scope in (APP, None):
                async with one.write(scope):
                    began = time.monotonic()
                    with pytest.raises(DatabaseUnavailable, match="busy for too long"):
                        await _put(two, APP, "x")
                    assert time.monotonic() - began < 3
            await _put(two, APP, "x")

    asyncio.run(body())


def test_who_changes_roles_holds_up_nobody_for_long(postgres: Postgres, database: str) -> None:
    """Who waits for everything lets others through again and again."""

    async def body() -> None:
        async with stores(database, 3) as (one, two, three), one.write(APP):
            removal = asyncio.create_task(_put(two, None, "roles"))
            await waits(postgres, database)
            began = time.monotonic()
            for _ in range(3):
                async with three.write(OTHER) as tx:
                    await tx.settings.get("a")
            assert time.monotonic() - began < 8
            assert not removal.done()
            removal.cancel()
            with pytest.raises(asyncio.CancelledError):
                await removal

    asyncio.run(body())


def test_writers_of_one_collection_leave_connections_to_readers(database: str) -> None:
    async def body() -> None:
        async with stores(database) as (store,), store.write(APP):
            queue = [asyncio.create_task(_put(store, scope, "w")) for scope in [APP] * 30 + [None] * 30]
            for _ in range(20):
                async with store.read() as tx:
                    assert await tx.settings.get("who") is None
            for task in queue:
                task.cancel()
            ended = await asyncio.gather(*queue, return_exceptions=True)
            assert {type(each) for each in ended} == {asyncio.CancelledError}

    asyncio.run(body())


def test_what_failed_in_the_database_and_was_passed_over_keeps_nothing(database: str) -> None:
    """PostgreSQL answers COMMIT of a transaction of which a part failed with a rollback, and no error."""

    async def passed_over(store: PostgresStore) -> None:
        async with store.write() as tx:
            await tx.settings.put("a", "1")
            await tx.identities.add(ALICE, "hash", NOW)
            with suppress(Conflict):
                await tx.identities._run(_AGAIN)

    async def body() -> None:
        async with stores(database) as (store,):
            with pytest.raises(StateError, match="kept nothing"):
                await passed_over(store)
            async with store.read() as tx:
                assert await tx.settings.get("a") is None

    from sqlalchemy import insert

    from trustkit.store.models import principals

    _AGAIN = insert(principals).values(name="alice", password_hash="x", disabled=False, epoch=1, created=NOW)
    asyncio.run(body())


def test_a_replica_that_is_gone_in_the_midst_of_a_change_frees_its_locks(postgres: Postgres, database: str) -> None:
    script = (
        "import asyncio, sys, os, signal\n"
        "from trustkit.core.names import Gun\n"
        "from trustkit.store.opening import open_store\n"
        "async def main():\n"
        "    store = await open_store(sys.argv[1])\n"
        "    async with store.write(Gun.parse('registry.example.com/app')) as tx:\n"
        "        await tx.settings.put('who', 'killed')\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "asyncio.run(main())\n"
    )
    assert subprocess.run([sys.executable, "-c", script, database], check=False).returncode == -9

    async def body() -> None:
        async with stores(database, locks=5.0) as (store,):
            await _put(store, APP, "next")
            async with store.read() as tx:
                assert await tx.settings.get("who") == "None, next"

    asyncio.run(body())


def test_psycopg_waits_for_the_end_of_a_cancelled_statement(postgres: Postgres, database: str) -> None:
    """A cancelled write is rolled back, and its connection does for the next one."""

    async def body() -> None:
        async with stores(database) as (store,):
            async with store.write(APP) as tx:
                task = asyncio.create_task(_put(store, APP, "cancelled"))
                await tx.settings.get("a")
                task.cancel()
            async with store.write(OTHER):
                blocked = asyncio.create_task(_put(store, None, "cancelled"))
                await waits(postgres, database)
                blocked.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await blocked
            await _put(store, None, "next")
            async with store.read() as reading:
                assert await reading.settings.get("who") == "None, next"

    asyncio.run(body())
