"""``trustkit db``, and where passwords of databases may stand."""

from __future__ import annotations

import asyncio
import io
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.postgres import PASSWORD, Postgres, name_of
from tests.service import Result
from trustkit.cli.app import main
from trustkit.store.database import SqlStore
from trustkit.store.upgrade import REVISION

Program = Callable[..., Result]


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Program:
    def run(*arguments: str) -> Result:
        monkeypatch.setattr(sys, "argv", ["trustkit", *arguments])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capfd.readouterr()
        assert "Traceback" not in err
        assert PASSWORD not in out + err
        return Result(int(str(ended.value.code)), out, err)

    return run


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "trustkit.db"

    async def made() -> None:
        store = await SqlStore.open(path)
        async with store.write() as tx:
            await tx.settings.put("a", "1")
        await store.close()

    asyncio.run(made())
    return path


@pytest.mark.parametrize("command", ["check", "upgrade"])
def test_which_database_has_to_be_said(program: Program, command: str) -> None:
    done = program("db", command)
    assert (done.status, done.slug) == (2, "usage")


def test_nothing_is_made_where_there_is_none(program: Program, tmp_path: Path) -> None:
    for command in ("check", "upgrade"):
        assert program("db", command, "--data-dir", str(tmp_path / "none")).slug == "state"
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_checked_and_upgraded(program: Program, source: Path) -> None:
    checked = program("db", "check", "--data-dir", str(source.parent))
    assert checked.out == f"tables: {REVISION}; this version: {REVISION}\ncollections that verify: 0\n"
    assert program("db", "upgrade", "--data-dir", str(source.parent)).out == f"tables: {REVISION} already\n"
    with closing(sqlite3.connect(source, isolation_level=None)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    for command in ("check", "upgrade"):
        refused = program("db", command, "--data-dir", str(source.parent))
        assert (refused.status, refused.slug) == (1, "state")


@pytest.mark.real
def test_a_password_on_the_command_line_is_refused_wherever_it_is_given(
    program: Program, postgres: Postgres, database: str, source: Path
) -> None:
    url = postgres.url(name_of(database), password=PASSWORD)
    for arguments in (
        ("db", "check", "--database", url),
        ("db", "upgrade", "--database", url),
        ("db", "copy", "--from", f"sqlite:///{source}", "--to", url),
        ("db", "reopen", "--from", f"sqlite:///{source}", "--to", url),
        ("serve", "--data-dir", str(source.parent), "--database", url),
        ("admin", "--data-dir", str(source.parent), "--database", url, "principal", "list"),
        ("db", "check", "--database", f"{database}&password={PASSWORD}"),
        ("db", "check", "--database", f"{database}&sslpassword={PASSWORD}"),
    ):
        refused = program(*arguments)
        assert (refused.status, refused.slug) == (2, "invalid-setting"), arguments
        assert "everybody's to read" in refused.err


@pytest.mark.real
def test_the_environment_may_name_the_database_with_its_password(
    program: Program, postgres: Postgres, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRUSTKIT_DATABASE", postgres.url(name_of(database), password=PASSWORD))
    assert program("db", "check").status == 0
    monkeypatch.setenv("TRUSTKIT_DATABASE", postgres.url(name_of(database), password=f"{PASSWORD}x"))
    refused = program("db", "check")
    assert (refused.status, refused.slug) == (1, "database-unavailable")
    assert "password authentication failed" in refused.err


@pytest.mark.real
def test_an_older_databases_replica_says_what_to_type(program: Program, postgres: Postgres, database: str) -> None:
    postgres.run("UPDATE alembic_version SET version_num = '0004'", database)
    for arguments in (
        ("db", "check", "--database", database),
        ("serve", "--data-dir", "/nowhere", "--database", database),
    ):
        refused = program(*arguments)
        assert (refused.status, refused.slug) == (1, "state")
        assert "trustkit db upgrade" in refused.err


@pytest.mark.real
def test_a_copy_and_what_comes_after(program: Program, postgres: Postgres, source: Path) -> None:
    target = postgres.empty()
    ends = ("--from", f"sqlite:///{source}", "--to", target)
    copied = program("db", "copy", *ends)
    assert copied.status == 0, copied.err
    assert "key-encryption key isn't in it" in copied.err
    assert program("db", "copy", *ends).slug == "state"
    assert program("db", "check", "--data-dir", str(source.parent)).slug == "state"
    assert program("db", "check", "--database", target).status == 0
    assert program("db", "copy", "--from", f"sqlite:///{source}", "--to", f"sqlite:///{source}2").slug == "usage"
    assert program("db", "copy", "--from", target, "--to", target).slug == "invalid-setting"
    postgres.drop(target)
