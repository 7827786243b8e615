"""From a file to PostgreSQL: all of it or nothing, compared, and nobody goes on in the file."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.postgres import Postgres, name_of
from trustkit.core.access import Assignment, Role
from trustkit.core.names import Gun, PrincipalName
from trustkit.core.patterns import RepositoryPattern
from trustkit.core.ports.changefeed import UPDATE, Change
from trustkit.core.ports.service import AuditRow, RefreshRecord, SealedKey, Store, StoredFile
from trustkit.errors import DatabaseUnavailable, StateError
from trustkit.store.database import SqlStore
from trustkit.store.opening import open_store
from trustkit.store.postgres.address import Address
from trustkit.store.postgres.copying import copy, open_again

pytestmark = pytest.mark.real
NOW = datetime(2026, 3, 1, 1, 2, 3, 456789, tzinfo=UTC)
APP, OTHER = Gun.parse("registry.example.com/app"), Gun.parse("registry.example.com/a-b")
ALICE, GONE = PrincipalName("alice"), PrincipalName("gone")
PULLS = Assignment(Role.ACR_PULL, RepositoryPattern.parse("team/*"))


@pytest.fixture
def target(postgres: Postgres) -> Iterator[str]:
    url = postgres.empty()
    yield url
    postgres.drop(url)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "trustkit.db"

    async def main() -> None:
        store = await SqlStore.open(path)
        await fill(store)
        await store.close()

    asyncio.run(main())
    return path


async def fill(store: Store) -> None:
    """Something in many tables, with what databases hold in different ways."""
    async with store.write() as tx:
        for gun in (APP, OTHER):
            await tx.collections.found(gun, NOW)
            for version in range(1, 30):
                data = bytes(range(256)) + f"\0{version} ü".encode()
                await tx.collections.add_files(gun, [StoredFile("timestamp", version, data, NOW)], NOW)
        await tx.collections.add_online_keys(APP, [SealedKey("snapshot", "ab" * 32, {"x": "ü"}, b"\0\xff")], NOW)
        await tx.upkeep.close(OTHER, "reset")
        await tx.changefeed.append(Change(NOW, APP, 1, "", UPDATE))
        for name in (ALICE, GONE):
            await tx.identities.add(name, "hash", NOW)
        await tx.identities.assign(ALICE, PULLS)
        await tx.identities.add_refresh(RefreshRecord(b"\0" * 32, ALICE, "svc", 1, NOW + timedelta(days=30)))
        await tx.identities.set_disabled(ALICE)
        await tx.identities.remove(GONE)
        await tx.settings.put("content-trust", "disabled")
        await tx.settings.set_trust_only(RepositoryPattern("*"), trust_only=True)
        for number in range(700):
            await tx.audit.append(AuditRow(NOW, "a", "::1", "x", "y", {"n": number, "ü": "😀"}))


async def _opened(where: Path | str) -> None:
    await (await open_store(where)).close()


def nothing(table: str, count: int) -> None: ...


def rows_of(postgres: Postgres, url: str) -> int:
    tables = postgres.run("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1", url)
    names = [table for (table,) in tables if table not in ("alembic_version", "moves", "failed_logins")]
    return sum(postgres.run(f"SELECT count(*) FROM {name}", url)[0][0] for name in names)


def still_open(path: Path) -> None:
    """A service starts on the file, and writes."""

    async def main() -> None:
        store = await SqlStore.open(path)
        async with store.write() as tx:
            await tx.settings.put("a", "1")
        await store.close()

    asyncio.run(main())


def test_everything_is_there_and_numbers_go_on(source: Path, target: str) -> None:
    told: list[str] = []
    done = copy(source, Address.parse(target), say=lambda table, count: told.append(f"{table} {count}"))
    assert done["files"] == 58
    assert done["audit"] == 700
    assert "heads 2" in told

    async def main() -> None:
        here = await open_store(target)
        async with here.read() as tx:
            record = await tx.collections.get(OTHER)
            assert record is not None
            assert (record.generation, record.created, record.closed) == (30, NOW, "reset")
            file = (await tx.collections.current(APP))["timestamp"]
            assert (file.version, file.stored, file.data[:256]) == (29, NOW, bytes(range(256)))
            assert (await tx.collections.online_keys(APP))["snapshot"].sealed == b"\0\xff"
            alice = await tx.identities.get(ALICE)
            assert alice is not None
            assert alice.disabled
            assert (await tx.audit.list())[0].detail == {"n": 699, "ü": "😀"}
        async with here.write() as tx:
            await tx.identities.add(PrincipalName("next"), "hash", NOW)
            await tx.audit.append(AuditRow(NOW, "a", "b", "c", "d", {}))
            await tx.changefeed.append(Change(NOW, APP, 2, "", UPDATE))
            assert [change.id for change in await tx.changefeed.after(0, 10)] == [1, 2]
            await tx.collections.found(Gun.parse("registry.example.com/next"), NOW)
        await here.close()

    asyncio.run(main())


def test_numbers_of_what_is_gone_are_not_used_again(postgres: Postgres, source: Path, target: str) -> None:
    copy(source, Address.parse(target), say=nothing)
    assert postgres.run("SELECT nextval('principals_id_seq')", target) == [(3,)]


def test_nobody_goes_on_in_the_file(source: Path, target: str) -> None:
    """Two services that go on from one state would use versions twice (TRUST 3.4)."""
    copy(source, Address.parse(target), say=nothing)
    with pytest.raises(StateError, match="would be used twice") as caught:
        still_open(source)
    assert "--database" in caught.value.hint
    for statement in ("UPDATE heads SET version = 9", "DELETE FROM settings", "INSERT INTO settings VALUES (1, 1)"):
        with sqlite3.connect(source) as connection, pytest.raises(sqlite3.IntegrityError, match="moved"):
            connection.execute(statement)


def test_a_file_that_somebody_has_open_is_left_alone(postgres: Postgres, source: Path, target: str) -> None:
    async def main() -> None:
        store = await SqlStore.open(source)
        with pytest.raises(StateError, match="Somebody has"):
            await asyncio.to_thread(copy, source, Address.parse(target), say=nothing)
        async with store.write() as tx:
            await tx.settings.put("a", "1")
        await store.close()

    asyncio.run(main())
    assert rows_of(postgres, target) == 0
    copy(source, Address.parse(target), say=nothing)


def test_a_database_that_has_something_in_it_is_left_alone(postgres: Postgres, source: Path, target: str) -> None:
    asyncio.run(_opened(target))
    postgres.run("INSERT INTO settings VALUES ('theirs', '1')", target)
    with pytest.raises(StateError, match="isn't empty"):
        copy(source, Address.parse(target), say=nothing)
    assert rows_of(postgres, target) == 1
    still_open(source)


def test_a_second_copy_is_refused_and_opens_nothing(postgres: Postgres, source: Path, target: str) -> None:
    copy(source, Address.parse(target), say=nothing)
    with pytest.raises(StateError, match="isn't empty"):
        copy(source, Address.parse(target), say=nothing)
    other = postgres.empty()
    with pytest.raises(StateError, match="was copied to"):
        copy(source, Address.parse(other), say=nothing)
    postgres.drop(other)
    for url in (target, other.replace(name_of(other), "another")):
        with pytest.raises((StateError, DatabaseUnavailable)):
            open_again(source, Address.parse(url))
    with pytest.raises(StateError, match="would be used twice"):
        still_open(source)


def test_what_was_written_otherwise_than_it_was_read_is_found_and_nothing_kept(
    postgres: Postgres, source: Path, target: str
) -> None:
    asyncio.run(_opened(target))
    postgres.run(
        "CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF NEW.version = 17 THEN NEW.data := NEW.data || 'x'; END IF; RETURN NEW; END $$",
        target,
    )
    postgres.run("CREATE TRIGGER spoil BEFORE INSERT ON files FOR EACH ROW EXECUTE FUNCTION spoil()", target)
    with pytest.raises(StateError, match="files isn't what was read"):
        copy(source, Address.parse(target), say=nothing)
    assert rows_of(postgres, target) == 0
    still_open(source)


def test_tables_of_another_version_are_not_copied(source: Path, target: str) -> None:
    with closing(sqlite3.connect(source, isolation_level=None)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0001'")
    with pytest.raises(StateError, match="another version") as caught:
        copy(source, Address.parse(target), say=nothing)
    assert "db upgrade" in caught.value.hint


KILLED = """
import os, signal, sys
from pathlib import Path
from trustkit.store.postgres.address import Address
from trustkit.store.postgres.copying import copy

def say(table, count):
    if table == sys.argv[3]:
        os.kill(os.getpid(), signal.SIGKILL)

copy(Path(sys.argv[1]), Address.parse(sys.argv[2]), say=say)
"""


def _killed(source: Path, target: str) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, source, target, "collections"], check=False)
    assert done.returncode == -9
    with pytest.raises(StateError, match="would be used twice"):
        still_open(source)


def test_a_copy_that_is_killed_is_run_again(postgres: Postgres, source: Path, target: str) -> None:
    _killed(source, target)
    assert rows_of(postgres, target) == 0
    assert copy(source, Address.parse(target), say=nothing)["files"] == 58


def test_a_file_whose_copy_was_killed_is_opened_again(source: Path, target: str) -> None:
    _killed(source, target)
    open_again(source, Address.parse(target))
    still_open(source)
    with pytest.raises(StateError, match="isn't closed"):
        open_again(source, Address.parse(target))
