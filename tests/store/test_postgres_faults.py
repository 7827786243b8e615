"""What a store on PostgreSQL says and does when the server, the network or the room for connections is gone."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import psycopg
import pytest
from psycopg import errors, sql

from tests.postgres import PASSWORD, USER, Postgres, binaries, name_of
from tests.relay import Relay
from trustkit.core.names import Gun
from trustkit.core.ports.service import Scope
from trustkit.errors import Conflict, DatabaseUnavailable, InvalidSetting, OutcomeUnknown, StateError
from trustkit.store.opening import open_store
from trustkit.store.postgres.address import Address
from trustkit.store.postgres.foreign import mapped
from trustkit.store.postgres.session import Patience
from trustkit.store.postgres.store import PostgresStore

pytestmark = pytest.mark.real
APP = Gun.parse("registry.example.com/app")
SHORT = Patience(begin=1.0, answer=1.0, scan=1.0, commit=1.0, connection=1.0, locks=2.0)


@pytest.fixture
def relay(postgres: Postgres) -> Iterator[Relay]:
    made = Relay(postgres.port)
    yield made
    made.close()


@asynccontextmanager
async def opened(url: str, patience: Patience = SHORT) -> AsyncIterator[PostgresStore]:
    store = await PostgresStore.open(Address.parse(url), patience)
    try:
        yield store
    finally:
        await store.close()


async def put(store: PostgresStore, word: str, of: Scope = APP) -> None:
    async with store.write(of) as tx:
        await tx.settings.put("word", word)


async def got(store: PostgresStore) -> str | None:
    async with store.read() as tx:
        return await tx.settings.get("word")


def over_tcp(postgres: Postgres, relay: Relay, database: str) -> str:
    return postgres.url(name_of(database), password=PASSWORD, port=relay.port)


def test_connections_that_were_broken_while_idle_are_opened_anew(postgres: Postgres, database: str) -> None:
    """As after a restart of the server: nobody is told anything, as nothing had begun."""

    async def body() -> None:
        async with opened(database) as store:
            await asyncio.gather(*(got(store) for _ in range(5)))
            postgres.run(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
                "AND pid <> pg_backend_pid()",
                database,
            )
            await put(store, "after")
            assert await asyncio.gather(*(got(store) for _ in range(5))) == ["after"] * 5

    asyncio.run(body())


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["stopped", "crashed"])
def test_a_server_that_is_gone_is_said_to_be_and_comes_back(how: signal.Signals) -> None:
    server = Postgres(_programs())
    try:
        url = server.database()

        async def body() -> None:
            async with opened(url) as store:
                await put(store, "before")
                server.stop(how)
                for call in (store.changed_since(""), got(store), put(store, "lost")):
                    began = time.monotonic()
                    with pytest.raises(DatabaseUnavailable, match="can't be reached") as caught:
                        await call
                    assert "goes on by itself" in caught.value.hint
                    assert time.monotonic() - began < 5
                server.start()
                assert await got(store) == "before"
                await put(store, "after")

        asyncio.run(body())
    finally:
        server.close()


def _programs():
    found = binaries()
    if found is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt install postgresql)")
    return found


def test_a_connection_that_breaks_in_a_change_leaves_nothing_of_it(postgres: Postgres, database: str) -> None:
    async def broken(store: PostgresStore) -> None:
        async with store.write(APP) as tx:
            await tx.settings.put("word", "half")
            postgres.run(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state = 'idle in transaction' "
                "AND datname = current_database()",
                database,
            )
            await tx.settings.put("word", "whole")

    async def body() -> None:
        async with opened(database) as store:
            with pytest.raises(DatabaseUnavailable):
                await broken(store)
            assert await got(store) is None
            await put(store, "next")
            assert await got(store) == "next"

    asyncio.run(body())


def test_an_answer_to_a_commit_that_is_lost_is_an_outcome_that_nobody_knows(
    postgres: Postgres, relay: Relay, database: str
) -> None:
    """It is kept here, and the store doesn't do it again: that is for who asked, who sees what is there."""

    async def body() -> None:
        async with opened(over_tcp(postgres, relay, database)) as store:
            await put(store, "before")
            relay.swallow = b"COMMIT\0"
            with pytest.raises(OutcomeUnknown) as caught:
                await put(store, "after")
            assert "Run it again" in caught.value.hint
            relay.swallow = b""
            assert await got(store) == "after"

    asyncio.run(body())


def test_a_commit_that_never_reached_the_server_is_one_too_and_is_not_there(
    postgres: Postgres, relay: Relay, database: str
) -> None:
    async def silenced(store: PostgresStore) -> None:
        async with store.write(APP) as tx:
            await tx.settings.put("word", "after")
            relay.silence(on=True)

    async def body() -> None:
        async with opened(over_tcp(postgres, relay, database)) as store:
            await put(store, "before")
            with pytest.raises(OutcomeUnknown):
                await silenced(store)
            relay.cut()
            relay.silence(on=False)
            assert await got(store) == "before"

    asyncio.run(body())


def test_a_line_over_which_nothing_comes_is_noticed_at_every_step(
    postgres: Postgres, relay: Relay, database: str
) -> None:
    """Half-open: no connection is refused and none is closed, there is just no answer."""

    async def reading(store: PostgresStore) -> None:
        async with store.read() as tx:
            await tx.settings.get("word")
            relay.silence(on=True)
            await tx.settings.get("word")

    async def body() -> None:
        async with opened(over_tcp(postgres, relay, database)) as store:
            await asyncio.gather(*(got(store) for _ in range(3)))
            began = time.monotonic()
            with pytest.raises(DatabaseUnavailable):
                await reading(store)
            assert time.monotonic() - began < 5
            relay.silence(on=False)
            assert await got(store) is None

    asyncio.run(body())


def test_a_service_that_has_no_connection_left_says_so(database: str) -> None:
    async def body() -> None:
        async with opened(database) as store:
            held = [store.read() for _ in range(10)]
            for each in held:
                await each.__aenter__()
            began = time.monotonic()
            with pytest.raises(DatabaseUnavailable, match="All 10 connections"):
                await got(store)
            assert time.monotonic() - began < 5
            for each in held:
                await each.__aexit__(None, None, None)
            assert await got(store) is None

    asyncio.run(body())


def test_a_server_that_has_no_connection_left_is_waited_for_and_then_said_to_be_full(
    postgres: Postgres, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    limit = sql.SQL("ALTER ROLE {} CONNECTION LIMIT {}")

    async def body() -> None:
        async with opened(database, Patience(connection=3.0)) as store:
            postgres.run(limit.format(sql.Identifier(USER), sql.Literal(1)))
            assert await asyncio.gather(*(got(store) for _ in range(20))) == [None] * 20
            async with store.read():
                with pytest.raises(DatabaseUnavailable, match="can't be reached") as caught:
                    await got(store)
            assert "too many connections" not in str(caught.value)

    try:
        with caplog.at_level(logging.ERROR, "trustkit.database"):
            asyncio.run(body())
    finally:
        postgres.run(limit.format(sql.Identifier(USER), sql.Literal(-1)))
    assert "too many connections" in caplog.text


def test_a_password_is_in_no_message_no_log_and_no_representation(
    postgres: Postgres, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = "another-Secret"
    url = postgres.url(name_of(database), password=wrong)
    with (
        caplog.at_level(logging.DEBUG),
        pytest.raises(DatabaseUnavailable, match="password authentication") as caught,
    ):
        asyncio.run(_open(url))
    address = Address.parse(url)
    assert wrong not in f"{caught.value} {caught.value.context} {caplog.text} {address!r} {PostgresStore(address)!r}"
    for rest in ("[/d", "h/d?nonsense=1", "h", "h/d?sslmode=require"):
        text = f"postgresql://u:{wrong}@{rest}"
        with pytest.raises(InvalidSetting) as refused:
            Address.parse(text)
        assert wrong not in str(refused.value)
        assert refused.value.__cause__ is None


async def _open(url: str) -> None:
    await (await open_store(url)).close()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0", "encoding is LATIN1"),
        ("TEMPLATE template0", None),
    ],
    ids=["latin 1", "utf-8"],
)
def test_the_encoding_is_utf_8(postgres: Postgres, options: str, words: str | None) -> None:
    url = postgres.empty(options)
    if words is None:
        asyncio.run(_open(url))
    else:
        with pytest.raises(InvalidSetting, match=words):
            asyncio.run(_open(url))
    postgres.drop(url)


def test_a_server_that_would_take_back_what_it_has_acknowledged_is_refused() -> None:
    server = Postgres(_programs(), fsync="off")
    try:
        with pytest.raises(StateError, match="fsync off"):
            asyncio.run(_open(server.empty()))
    finally:
        server.close()


@pytest.mark.parametrize("value", ["off", "remote_apply"])
def test_commits_are_on_disk_before_they_return_whatever_the_server_does_by_default(
    postgres: Postgres, database: str, value: str
) -> None:
    statement = sql.SQL("ALTER DATABASE {} SET synchronous_commit = {}")
    postgres.run(statement.format(sql.Identifier(name_of(database)), sql.Literal(value)))

    async def body() -> None:
        async with opened(database) as store, store._connected() as connection:
            (found,) = await (await connection.execute("SHOW synchronous_commit")).fetchone()
            assert found == ("on" if value == "off" else value)

    asyncio.run(body())


def test_a_database_that_only_takes_reads_is_said_to(postgres: Postgres, database: str) -> None:
    async def body() -> None:
        async with opened(database) as store:
            postgres.run(
                sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = on").format(
                    sql.Identifier(name_of(database))
                )
            )
            await put(store, "READ WRITE is said where a transaction begins")
        with pytest.raises(DatabaseUnavailable):
            async with opened(database):
                raise AssertionError("target_session_attrs is read-write")

    asyncio.run(body())


@pytest.mark.parametrize(("offset", "words"), [(600, "600 s ahead of"), (-600, "600 s behind"), (30, None)])
def test_a_replica_whose_clock_is_off_decides_nothing_until_it_is_set(
    database: str, monkeypatch: pytest.MonkeyPatch, offset: int, words: str | None
) -> None:
    real = time.time

    async def body() -> None:
        async with opened(database) as store:
            await put(store, "before")
            monkeypatch.setattr("trustkit.store.postgres.session.time.time", lambda: real() + offset)
            for call in (
                store.changed_since(""),
                got(store),
                put(store, "by a wrong clock"),
                put(store, "by a wrong clock", None),
            ):
                if words is None:
                    await call
                    continue
                with pytest.raises(DatabaseUnavailable, match=words) as caught:
                    await call
                assert "NTP" in caught.value.hint
            monkeypatch.undo()
            assert await got(store) == ("before" if words else "by a wrong clock")

    asyncio.run(body())


def _leaves(kind: type[BaseException]) -> list[type[BaseException]]:
    return [kind, *(each for child in kind.__subclasses__() for each in _leaves(child))]


KINDS = [kind for kind in _leaves(psycopg.Error) if kind.__module__.startswith("psycopg")]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_error_of_the_driver_becomes_ours(kind: type[Exception]) -> None:
    with pytest.raises((StateError, Conflict)) as caught, mapped():
        raise kind("whatever")
    assert "whatever" not in str(caught.value)


@pytest.mark.parametrize(
    ("foreign", "ours"),
    [
        (errors.UniqueViolation("x"), Conflict),
        (errors.ForeignKeyViolation("x"), Conflict),
        (errors.RestrictViolation("x"), StateError),
        (errors.LockNotAvailable("x"), DatabaseUnavailable),
        (errors.TooManyConnections("x"), DatabaseUnavailable),
        (errors.DiskFull("x"), StateError),
        (errors.UndefinedTable("x"), StateError),
        (errors.StringDataRightTruncation("x"), StateError),
        (errors.ReadOnlySqlTransaction("x"), DatabaseUnavailable),
        (psycopg.OperationalError("x"), DatabaseUnavailable),
        (ConnectionResetError(104, "reset"), DatabaseUnavailable),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value.__name__,
)
def test_foreign_errors_and_what_they_become(foreign: Exception, ours: type[Exception]) -> None:
    with pytest.raises(ours) as caught, mapped():
        raise foreign
    assert type(caught.value) is ours
