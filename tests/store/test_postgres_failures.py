"""Failed logins in the database: they add up for everybody, pass by themselves, and fill no table."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.postgres import Postgres
from trustkit.authority.ratelimit import ONE_PRINCIPAL, LoginLimiter
from trustkit.authority.sharedlimit import SharedLimiter
from trustkit.core.ports.failures import Failure
from trustkit.errors import Conflict, DatabaseUnavailable, RateLimited, StateError
from trustkit.store.postgres.address import Address
from trustkit.store.postgres.failures import REMOVED
from trustkit.store.postgres.session import Patience
from trustkit.store.postgres.store import PostgresStore

pytestmark = pytest.mark.real
SHORT = Patience(begin=1.0, answer=1.0, scan=1.0, commit=1.0, connection=1.0, locks=2.0)
ONE, OTHER = b"1" * 32, b"2" * 32
ROWS = "SELECT count(*) FROM failed_logins"


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[PostgresStore]:
    store = await PostgresStore.open(Address.parse(url), SHORT)
    try:
        yield store
    finally:
        await store.close()


def failure(key: bytes = ONE, seconds: float = 10.0, most: float = 400.0) -> Failure:
    return Failure(key, seconds, most)


def test_failures_at_any_replica_add_up_and_are_known_to_all(database: str) -> None:
    async def body() -> None:
        async with opened(database) as one, opened(database) as other:
            assert await one.failures.owed([ONE, OTHER]) == {}
            await asyncio.gather(*(each.failures.add([failure()]) for each in (one, other) * 5))
            found = await other.failures.owed([ONE, OTHER])
            assert set(found) == {ONE}
            assert 95 < found[ONE] <= 100
            last = await one.failures.add([failure(), failure(OTHER, 1.0)])
            assert 105 < last[ONE] <= 110
            assert 0.5 < last[OTHER] <= 1

    asyncio.run(body())


def test_what_failed_is_forgotten_by_the_servers_clock(postgres: Postgres, database: str) -> None:
    async def body() -> None:
        async with opened(database) as store:
            await store.failures.add([failure()])
            postgres.run("UPDATE failed_logins SET until = until - interval '1 hour'", database)
            assert (await store.failures.owed([ONE])).get(ONE, 0.0) <= 0
            assert (await store.failures.add([failure()]))[ONE] <= 10, "nothing is owed from before"

    asyncio.run(body())


def test_nobody_owes_more_than_the_most(database: str) -> None:
    """Whoever is guessed at from their own address isn't locked out for good."""

    async def body() -> None:
        async with opened(database) as store:
            for _ in range(12):
                owed = await store.failures.add([failure(most=50.0)])
            assert 45 < owed[ONE] <= 50

    asyncio.run(body())


def test_a_guesser_fills_no_table(postgres: Postgres, database: str) -> None:
    """Whoever adds a row removes those that count no more; each that counts has cost a check of a password."""

    async def body() -> None:
        async with opened(database) as store:
            for _ in range(3):
                for _ in range(REMOVED):
                    await store.failures.add([failure(os.urandom(32)), failure(OTHER)])
                assert REMOVED < postgres.run(ROWS, database)[0][0] <= REMOVED + 2
                postgres.run("UPDATE failed_logins SET until = until - interval '1 hour'", database)
                await store.failures.add([failure(), failure(OTHER)])
                assert postgres.run(ROWS, database)[0][0] <= 2

    asyncio.run(body())


def test_replicas_that_add_and_remove_at_once_wait_for_each_other_in_no_circle(
    postgres: Postgres, database: str
) -> None:
    names = [bytes([number]) * 32 for number in range(4)]

    async def body() -> None:
        async with opened(database) as one, opened(database) as other:
            for turn in range(10):
                postgres.run("UPDATE failed_logins SET until = until - interval '1 hour'", database)
                adding = (
                    store.failures.add([failure(name), failure(OTHER)]) for store in (one, other) for name in names
                )
                await asyncio.gather(*adding)
                owed = await one.failures.owed([OTHER])
                assert owed[OTHER] > 10 * 2 * len(names) - 5, turn

    asyncio.run(body())


def test_who_locks_a_row_and_says_nothing_is_waited_for_in_vain_and_not_for_long(
    postgres: Postgres, database: str
) -> None:
    async def body() -> None:
        async with opened(database) as store:
            await store.failures.add([failure()])
            with postgres.connect(database.split("?")[0].rsplit("/", 1)[1]) as held:
                held.execute("BEGIN")
                held.execute("SELECT * FROM failed_logins FOR UPDATE")
                with pytest.raises(DatabaseUnavailable):
                    await store.failures.add([failure()])
                assert (await store.failures.owed([ONE]))[ONE] <= 10, "it can be asked meanwhile"
                await store.failures.add([failure(OTHER)])

    asyncio.run(body())


def test_failures_are_no_news_to_replicas_and_no_writes_to_the_disk(postgres: Postgres, database: str) -> None:
    """Nobody who guesses has replicas read everything anew, or fills a log that standbys are sent."""

    async def body() -> None:
        async with opened(database) as store:
            mark = (await store.changed_since("")).mark
            await store.failures.add([failure()])
            assert (await store.changed_since(mark)).guns == frozenset()
            kind = "SELECT relpersistence FROM pg_class WHERE relname = 'failed_logins'"
            assert postgres.run(kind, database)[0][0] in ("u", b"u")

    asyncio.run(body())


def test_a_database_that_takes_no_more_says_so_and_counts_nothing_by_halves(
    postgres: Postgres, database: str
) -> None:
    full = f"""
    CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF NEW.key = '\\x{OTHER.hex()}' THEN RAISE EXCEPTION 'no room' USING ERRCODE = 'disk_full'; END IF;
        RETURN NEW;
    END $$
    """
    postgres.run(full, database)
    trigger = "CREATE TRIGGER full_disk BEFORE INSERT ON failed_logins FOR EACH ROW EXECUTE FUNCTION full_disk()"
    postgres.run(trigger, database)

    async def body() -> None:
        async with opened(database) as store:
            with pytest.raises(StateError, match="disk is full"):
                await store.failures.add([failure(), failure(OTHER)])
            assert await store.failures.owed([ONE, OTHER]) == {}

    asyncio.run(body())


@asynccontextmanager
async def two_replicas(url: str) -> AsyncIterator[tuple[SharedLimiter, SharedLimiter]]:
    """Of which both have begun a check for the last try that alice has from here."""
    async with opened(url) as one, opened(url) as other:
        made = SharedLimiter(one.failures, LoginLimiter()), SharedLimiter(other.failures, LoginLimiter())
        for _ in range(ONE_PRINCIPAL.burst - 1):
            await made[0].after("alice", "here", right=False)
        for each in made:
            await each.before("alice", "here")
        yield made


@pytest.mark.parametrize("right", [True, False])
def test_nothing_is_told_of_a_check_that_ends_after_the_last_try(database: str, *, right: bool) -> None:
    """Or whoever guesses everywhere at once would have more tries than one after the other."""

    async def body() -> None:
        async with two_replicas(database) as (one, other):
            await one.after("alice", "here", right=False)
            with pytest.raises(RateLimited):
                await other.after("alice", "here", right=right)
            for each in (one, other):
                with pytest.raises(RateLimited):
                    await each.before("alice", "here")

    asyncio.run(body())


def test_of_checks_that_end_at_the_same_moment_one_is_told_that_it_was_wrong(database: str) -> None:
    async def body() -> None:
        async with two_replicas(database) as both:
            ends = (each.after("alice", "here", right=False) for each in both * 3)
            told = [each is None for each in await asyncio.gather(*ends, return_exceptions=True)]
            assert told.count(True) == 1

    asyncio.run(body())


def test_what_could_not_be_counted_is_counted_by_whoever_comes_next(postgres: Postgres, database: str) -> None:
    """Several who come at once all count it: too much rather than too little."""

    async def body() -> None:
        async with opened(database) as store:
            limiter = SharedLimiter(store.failures, LoginLimiter())
            postgres.run("ALTER TABLE failed_logins ADD CONSTRAINT none CHECK (false) NOT VALID", database)
            for name in ("alice", "bob"):
                with pytest.raises(Conflict):
                    await limiter.after(name, "here", right=False)
            for _ in range(2):
                with pytest.raises(Conflict):
                    await limiter.before("carol", "here")
            await limiter.before("alice", "there")
            postgres.run("ALTER TABLE failed_logins DROP CONSTRAINT none", database)
            await asyncio.gather(*(limiter.before("alice", "here") for _ in range(3)))
            assert postgres.run(ROWS, database) == [(2,)]
            await limiter.before("bob", "here")
            assert postgres.run(ROWS, database) == [(3,)]
            before = postgres.run("SELECT key, until FROM failed_logins ORDER BY key", database)
            for name in ("alice", "bob", "carol"):
                await limiter.before(name, "here")
            assert postgres.run("SELECT key, until FROM failed_logins ORDER BY key", database) == before

    asyncio.run(body())
