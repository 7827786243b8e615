"""How a replica learns what others have changed, late or never told, and over a line that goes silent."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from tests.postgres import PASSWORD, Postgres, name_of
from tests.relay import Relay
from trustkit.core.names import Gun, PrincipalName
from trustkit.core.ports.service import RefreshRecord, SealedKey, StoredFile
from trustkit.errors import DatabaseUnavailable
from trustkit.store.postgres.address import Address
from trustkit.store.postgres.store import PostgresStore

pytestmark = pytest.mark.real
NOW = datetime(2026, 3, 1, tzinfo=UTC)
APP, OTHER = Gun.parse("registry.example.com/app"), Gun.parse("registry.example.com/other")
ALICE = PrincipalName("alice")


@asynccontextmanager
async def replicas(url: str) -> AsyncIterator[tuple[PostgresStore, PostgresStore]]:
    """One that changes something, and one that asks."""
    opened = [await PostgresStore.open(Address.parse(url)) for _ in range(2)]
    try:
        yield opened[0], opened[1]
    finally:
        for store in opened:
            await store.close()


async def publish(store: PostgresStore, gun: Gun) -> None:
    async with store.write(gun) as tx:
        if await tx.collections.get(gun) is None:
            await tx.collections.found(gun, NOW)
        version = len(await tx.collections.current(gun)) and (await tx.collections.current(gun))["timestamp"].version
        await tx.collections.add_files(gun, [StoredFile("timestamp", version + 1, b"x", NOW)], NOW)


def test_a_publish_at_one_replica_is_told_at_another_and_once(database: str) -> None:
    async def body() -> None:
        async with replicas(database) as (one, other):
            first = await other.changed_since("")
            assert first.guns is None
            nothing = await other.changed_since(first.mark)
            assert nothing.guns == frozenset()
            await publish(one, APP)
            told = await other.changed_since(nothing.mark)
            assert told.guns == {APP}
            again = await other.changed_since(told.mark)
            assert again.guns == frozenset()
            await publish(one, APP)
            await publish(one, OTHER)
            assert (await other.changed_since(again.mark)).guns == {APP, OTHER}

    asyncio.run(body())


def test_what_commits_late_is_not_missed(database: str) -> None:
    """A transaction that began before others commits after them, and after who asks has asked."""

    async def body() -> None:
        async with replicas(database) as (one, other):
            mark = (await other.changed_since("")).mark
            async with one.write(APP) as tx:
                await tx.collections.found(APP, NOW)
                await publish(other, OTHER)
                told = await other.changed_since(mark)
                assert told.guns == {OTHER}
                told = await other.changed_since(told.mark)
                assert told.guns == frozenset()
            told = await other.changed_since(told.mark)
            assert told.guns == {APP}
            assert (await other.changed_since(told.mark)).guns == frozenset()

    asyncio.run(body())


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO settings VALUES ('content-trust', 'disabled')",
        "INSERT INTO trust_only VALUES ('*', true)",
        "INSERT INTO founders VALUES ('*', 'ab')",
        "INSERT INTO principals (name, password_hash, disabled, epoch, created) VALUES ('x', 'y', false, 1, 0)",
        "DELETE FROM assignments",
    ],
)
def test_what_an_operator_changes_by_whatever_program_may_be_anything(
    postgres: Postgres, database: str, statement: str
) -> None:
    """TRUST 8.4."""

    async def body() -> None:
        async with replicas(database) as (_, other):
            mark = (await other.changed_since("")).mark
            postgres.run(statement, database)
            assert (await other.changed_since(mark)).guns is None

    asyncio.run(body())


def test_what_else_befalls_a_collection_is_told_and_a_login_is_not(database: str) -> None:
    key = SealedKey("snapshot", "ab" * 32, {"x": 1}, b"sealed")

    async def body() -> None:
        async with replicas(database) as (one, other):
            await publish(one, APP)
            async with one.write() as tx:
                await tx.identities.add(ALICE, "hash", NOW)
            mark = (await other.changed_since("")).mark
            for change in (
                lambda tx: tx.collections.add_online_keys(APP, [key], NOW),
                lambda tx: tx.upkeep.add_pending_keys(APP, [key], NOW),
                lambda tx: tx.upkeep.close(APP, "reset"),
            ):
                async with one.write(APP) as tx:
                    await change(tx)
                told = await other.changed_since(mark)
                assert told.guns == {APP}
                mark = told.mark
            async with one.write(ALICE) as tx:
                record = RefreshRecord(b"t" * 32, ALICE, "svc", 1, NOW + timedelta(days=30))
                await tx.identities.add_refresh(record)
            told = await other.changed_since(mark)
            assert told.guns == frozenset()
            async with one.write() as tx:
                assert await tx.identities.drop_refresh_expired(NOW) == 0
            told = await other.changed_since(told.mark)
            assert told.guns == frozenset()
            async with one.write() as tx:
                assert await tx.identities.drop_refresh_expired(NOW + timedelta(days=31)) == 1
            assert (await other.changed_since(told.mark)).guns is None

    asyncio.run(body())


def test_no_answer_is_no_answer_and_afterwards_anything_may_have_changed(postgres: Postgres, database: str) -> None:
    """Half-open: the connection isn't down, and nothing comes."""
    relay = Relay(postgres.port)
    url = postgres.url(name_of(database), password=PASSWORD, port=relay.port)

    async def body() -> None:
        async with replicas(url) as (_, other):
            mark = (await other.changed_since("")).mark
            assert (await other.changed_since(mark)).guns == frozenset()
            relay.silence(on=True)
            began = time.monotonic()
            with pytest.raises(DatabaseUnavailable):
                await other.changed_since(mark)
            assert time.monotonic() - began < 1
            relay.silence(on=False)
            assert (await other.changed_since(mark)).guns is None

    asyncio.run(body())
    relay.close()


def test_another_connection_and_another_mark_know_nothing(postgres: Postgres, database: str) -> None:
    async def body() -> None:
        async with replicas(database) as (one, other):
            old = (await other.changed_since("")).mark
            await publish(one, APP)
            mark = (await other.changed_since(old)).mark
            assert (await other.changed_since(old)).guns is None or mark == old
            mark = (await other.changed_since("")).mark
            postgres.run(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
                "AND pid <> pg_backend_pid()",
                database,
            )
            with pytest.raises(DatabaseUnavailable):
                await other.changed_since(mark)
            assert (await other.changed_since(mark)).guns is None

    asyncio.run(body())


def test_notes_are_kept_for_minutes_only(postgres: Postgres, database: str) -> None:
    async def body() -> None:
        async with replicas(database) as (one, other):
            await publish(one, APP)
            postgres.run("UPDATE moves SET at = at - interval '1 hour'", database)
            await publish(one, OTHER)
            mark = (await other.changed_since("")).mark
            other._moves._cleared -= 3600
            await other.changed_since(mark)
            assert postgres.run("SELECT DISTINCT gun FROM moves", database) == [(str(OTHER),)]
            other._moves._asked -= 3600
            assert (await other.changed_since(mark)).guns is None

    asyncio.run(body())


def test_a_conversion_and_what_befalls_its_frozen_side_are_told_under_its_name(database: str) -> None:
    """The row of the frozen side has a name that is no GUN."""

    async def body() -> None:
        async with replicas(database) as (one, other):
            await publish(one, APP)
            mark = (await other.changed_since("")).mark
            async with one.write(APP) as tx:
                await tx.former.begin(APP, NOW + timedelta(days=9), NOW)
                await tx.former.add_files(APP, [StoredFile("root", 2, b'{"signed":', NOW)], NOW)
            told = await other.changed_since(mark)
            assert told.guns == {APP}
            async with one.write(APP) as tx:
                await tx.former.add_files(APP, [StoredFile("root", 3, b'{"signed":', NOW)], NOW)
            told = await other.changed_since(told.mark)
            assert told.guns == {APP}
            async with one.write(APP) as tx:
                await tx.former.end(APP, "because", NOW)
            assert (await other.changed_since(told.mark)).guns == {APP}

    asyncio.run(body())
