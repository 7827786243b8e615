"""The database file: rights, damage, migrations, what is kept for good, and many processes at once."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, exc

from trustkit.core.names import Gun
from trustkit.core.ports.service import AuditRow, StoredFile
from trustkit.errors import Conflict, InvalidSetting, StateError, TrustkitError
from trustkit.store.database import SqlStore
from trustkit.store.foreign import MAPPED
from trustkit.store.models import metadata
from trustkit.store.upgrade import REVISION

NOW = datetime(2026, 3, 1, tzinfo=UTC)
APP = Gun.parse("registry.example.com/app")

INCREMENT = """
import asyncio, sys
from pathlib import Path
from trustkit.store.database import SqlStore

async def main():
    store = await SqlStore.open(Path(sys.argv[1]))
    for _ in range(int(sys.argv[2])):
        async with store.write() as tx:
            await tx.settings.put("n", str(int(await tx.settings.get("n") or 0) + 1))
    await store.close()

asyncio.run(main())
"""


def opened(path: Path | str) -> None:
    async def main() -> None:
        store = await SqlStore.open(path)
        await store.close()

    asyncio.run(main())


def filled(path: Path) -> None:
    async def main() -> None:
        store = await SqlStore.open(path)
        async with store.write() as tx:
            await tx.collections.found(APP, NOW)
            await tx.collections.add_files(APP, [StoredFile("root", 1, b"{}", NOW)], NOW)
            await tx.audit.append(AuditRow(NOW, "a", "b", "c", "d", {}))
        await store.close()

    asyncio.run(main())


@pytest.mark.timeout(120)
def test_increments_from_8_processes_that_all_make_the_database_survive(tmp_path: Path) -> None:
    """With the driver's defaults, 4 processes doing 800 of these left 343, without one error."""
    path = tmp_path / "trustkit.db"
    workers = [subprocess.Popen([sys.executable, "-c", INCREMENT, path, "100"]) for _ in range(8)]
    assert [worker.wait() for worker in workers] == [0] * 8
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT value FROM settings WHERE name = 'n'").fetchone() == ("800",)


def test_a_database_that_others_may_read_is_made_private(tmp_path: Path) -> None:
    path = tmp_path / "new" / "trustkit.db"
    opened(path)
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    path.chmod(0o644)
    opened(path)
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_journal_is_private_too_and_commits_are_synced(tmp_path: Path) -> None:
    async def main() -> None:
        path = tmp_path / "trustkit.db"
        store = await SqlStore.open(path)
        async with store.write() as tx:
            await tx.settings.put("a", "1")
        wal = path.with_name("trustkit.db-wal")
        assert wal.stat().st_mode & 0o777 == 0o600
        for connection in (store._readers.take(), store._writer._begun()):
            pragmas = ("synchronous", "journal_mode", "foreign_keys", "trusted_schema")
            found = [connection.execute(f"PRAGMA {pragma}").fetchone()[0] for pragma in pragmas]
            assert found == [2, "wal", 1, 0]
        await store.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    "damage",
    [lambda data: b"not a database at all" * 500, lambda data: data[:100] + os.urandom(len(data) - 100)],
    ids=["another kind of file", "overwritten pages"],
)
def test_a_damaged_file_is_said_to_be_one(tmp_path: Path, damage) -> None:
    path = tmp_path / "trustkit.db"
    opened(path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(StateError, match="damaged") as caught:
        opened(path)
    assert "backup" in caught.value.hint


def test_a_folder_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "trustkit.db").mkdir()
    with pytest.raises(StateError):
        opened(tmp_path / "trustkit.db")


def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "trustkit.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE theirs (a)")
    with pytest.raises(StateError, match="another program"):
        opened(path)
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("theirs",)]


def test_a_newer_versions_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "trustkit.db"
    opened(path)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StateError, match="version"):
        opened(path)


@pytest.mark.parametrize("url", ["postgresql://u:secret@h/d", "sqlite://", "sqlite:///:memory:", "nonsense://"])
def test_urls_that_are_no_sqlite_file(url: str) -> None:
    with pytest.raises(InvalidSetting) as caught:
        opened(url)
    assert "secret" not in str(caught.value)


def test_a_url_and_reopening(tmp_path: Path) -> None:
    path = tmp_path / "trustkit.db"
    filled(path)

    async def main() -> None:
        store = await SqlStore.open(f"sqlite:///{path}")
        async with store.read() as tx:
            assert (await tx.collections.current(APP))["root"].data == b"{}"
        await store.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET actor = 'nobody'",
        "DELETE FROM audit",
        "UPDATE files SET data = x'00'",
        "DELETE FROM collections",
        "DELETE FROM heads",
    ],
)
def test_what_is_kept_for_good_is_kept_from_any_program(tmp_path: Path, statement: str) -> None:
    """TRUST 3.4, 3.5, 8.4."""
    path = tmp_path / "trustkit.db"
    filled(path)
    with sqlite3.connect(path) as connection, pytest.raises(sqlite3.IntegrityError, match="append-only"):
        connection.execute(statement)


def test_migrations_and_models_say_the_same(tmp_path: Path) -> None:
    path = tmp_path / "trustkit.db"
    opened(path)
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


def test_files_from_before_formats_are_kept_and_guarded(tmp_path: Path) -> None:
    """Their table was copied to have versions in series; what kept it from being changed has to be there again."""
    path = tmp_path / "trustkit.db"
    config = Config()
    config.set_main_option("script_location", "trustkit.store:migrations")
    config.set_main_option("path_separator", "os")
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0004")
    engine.dispose()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("INSERT INTO collections VALUES (7, ?, 'app', 3, 0, NULL)", (str(APP),))
        for version in (1, 2):
            connection.execute(
                "INSERT INTO files VALUES (7, 'root', ?, ?, 9, 0)", (version, f"root {version}".encode())
            )
        connection.execute("INSERT INTO heads VALUES (7, 'root', 2, 9)")

    async def main() -> None:
        store = await SqlStore.open(path)
        async with store.write() as tx:
            record = await tx.collections.get(APP)
            assert record is not None
            assert record.format == "tuf"
            assert (await tx.collections.current(APP))["root"].data == b"root 2"
            await tx.collections.add_files(APP, [StoredFile("root", 3, b"root 3", NOW)], NOW)
        async with store.read() as tx:
            for version in (1, 2, 3):
                file = await tx.collections.file(APP, "root", version)
                assert file is not None
                assert (file.data, file.series) == (f"root {version}".encode(), 0)
        await store.close()

    asyncio.run(main())
    for statement in ("UPDATE files SET data = 'x'", "DELETE FROM heads", "DELETE FROM collections"):
        with sqlite3.connect(path) as connection, pytest.raises(sqlite3.IntegrityError, match="append-only"):
            connection.execute(statement)


def test_the_revision_that_skips_alembic_is_the_newest() -> None:
    import trustkit.store

    folder = Path(trustkit.store.__file__).parent / "migrations"
    assert ScriptDirectory(str(folder)).get_current_head() == REVISION


@pytest.mark.slow
def test_a_built_wheel_upgrades_a_database(tmp_path: Path) -> None:
    pytest.importorskip("build")
    project = Path(__file__).parents[2]
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, project]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    unpacked = tmp_path / "site"
    subprocess.run([sys.executable, "-m", "zipfile", "-e", wheel, unpacked], check=True)
    database = tmp_path / "trustkit.db"
    check = f"import trustkit; assert trustkit.__file__.startswith({str(unpacked)!r}), trustkit.__file__\n{INCREMENT}"
    environment = {**os.environ, "PYTHONPATH": str(unpacked)}
    subprocess.run([sys.executable, "-c", check, database, "1"], check=True, env=environment, cwd=tmp_path)
    with sqlite3.connect(database) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == (REVISION,)


def _subclasses(kind: type[BaseException]) -> list[type[BaseException]]:
    return [kind, *(each for child in kind.__subclasses__() for each in _subclasses(child))]


@pytest.mark.parametrize("kind", _subclasses(sqlite3.Error), ids=lambda kind: kind.__name__)
def test_every_error_of_the_driver_becomes_ours(kind: type[Exception]) -> None:
    with pytest.raises(Conflict if kind is sqlite3.IntegrityError else StateError), MAPPED:
        raise kind("whatever")


@pytest.mark.parametrize(
    ("foreign", "ours"),
    [
        (exc.IntegrityError("s", {}, sqlite3.IntegrityError("UNIQUE constraint failed")), Conflict),
        (exc.IntegrityError("s", {}, sqlite3.IntegrityError("audit is append-only")), StateError),
        (sqlite3.IntegrityError("audit is append-only"), StateError),
        (exc.OperationalError("s", {}, sqlite3.OperationalError("database is locked")), StateError),
        (exc.OperationalError("s", {}, sqlite3.OperationalError("database or disk is full")), StateError),
        (exc.OperationalError("s", {}, sqlite3.OperationalError("attempt to write a readonly database")), StateError),
        (exc.DatabaseError("s", {}, sqlite3.DatabaseError("database disk image is malformed")), StateError),
        (exc.TimeoutError("pool"), StateError),
        (PermissionError(13, "Permission denied"), StateError),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value.__name__,
)
def test_foreign_errors_and_what_they_become(foreign: Exception, ours: type[TrustkitError]) -> None:
    with pytest.raises(ours) as caught, MAPPED:
        raise foreign
    assert type(caught.value) is ours
