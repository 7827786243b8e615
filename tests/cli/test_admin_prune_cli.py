"""``trustkit admin prune``, ``policy set history`` and ``db compact``: what each prints where, and how it refuses."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.cli.conftest import Admin
from tests.cli.test_db_cli import Program, program
from trustkit.core.names import Gun
from trustkit.core.ports.service import StoredFile
from trustkit.store.compact import compact
from trustkit.store.database import SqlStore

__all__ = ["program"]
APP, OTHER = Gun.parse("localhost:5080/team/app"), Gun.parse("localhost:5080/team/other")
BYTES = 100_000


def fill(path: Path, gun: Gun = APP, days: int = 100) -> None:
    """Versions of targets, one each tenth day up to now."""

    async def filled() -> None:
        store = await SqlStore.open(path)
        now = datetime.now(UTC)
        async with store.write() as tx:
            await tx.collections.found(gun, now)
            await tx.collections.add_files(gun, [StoredFile("root", 1, b"r", now)], now)
            for version, day in enumerate(range(days, -1, -10), 1):
                file = StoredFile("targets", version, b"t" * BYTES, now + timedelta(days=9))
                await tx.collections.add_files(gun, [file], now - timedelta(days=day))
        await store.close()

    asyncio.run(filled())


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "service" / "trustkit.db"
    fill(path)
    fill(path, OTHER, 0)
    return path


def test_what_would_go_is_shown_and_then_goes(admin: Admin, database: Path) -> None:
    looked = admin("prune", "--dry-run")
    assert looked.status == 0
    assert [line.split() for line in looked.out.splitlines()] == [
        ["GUN", "SIDE", "FILES", "BYTES", "PAST", "PAST_BYTES", "DUE", "DUE_BYTES"],
        [str(APP), "current", "12", str(11 * BYTES + 1), "10", str(10 * BYTES), "1", str(BYTES)],
        [str(OTHER), "current", "2", str(BYTES + 1), "0", "0", "0", "0"],
    ]
    assert looked.err == f"history is 90d: 1 files of {BYTES} bytes would be removed. Nothing was: --dry-run.\n"
    assert admin("policy", "set", "history", "25d").err == "history is 25d.\n"
    done = admin("prune", "--format", "json")
    row = {"gun": str(APP), "side": "current", "removed": 7, "removed_bytes": 7 * BYTES}
    assert (done.status, json.loads(done.out)) == (0, [row])
    assert done.err == f"history is 25d: removed 7 files of {7 * BYTES} bytes.\n"
    again = admin("prune", str(APP))
    assert (again.out.split(), again.err) == (
        ["GUN", "SIDE", "REMOVED", "REMOVED_BYTES"],
        "history is 25d: removed 0 files of 0 bytes.\n",
    )
    pruned, chosen = json.loads(admin("audit", "list", "--format", "json").out)
    assert (pruned["action"], pruned["subject"], pruned["source"]) == ("history-pruned", str(APP), "local")
    assert pruned["actor"].startswith("operator:")
    assert pruned["detail"] == {
        "history": "25d",
        "files": 7,
        "bytes": 7 * BYTES,
        "versions": {"targets": "1-7"},
    }
    assert (chosen["subject"], chosen["detail"]) == ("history", {"value": "25d"})


def test_history_all_removes_nothing(admin: Admin, database: Path) -> None:
    assert admin("policy", "set", "history", "all").status == 0
    done = admin("prune")
    assert (done.status, done.err) == (0, "history is all: nothing is ever removed.\n")
    assert json.loads(admin("prune", "--dry-run", "--format", "json").out)[0]["past"] == 10


@pytest.mark.parametrize(
    ("words", "status", "slug"),
    [
        (("prune", "localhost:5080/nobody/here"), 3, "no-collection"),
        (("prune", "not a gun"), 2, "invalid-name"),
        (("policy", "set", "history", "forever"), 2, "invalid-setting"),
        (("policy", "set", "history", ""), 2, "invalid-setting"),
        (("policy", "set", "history", "enabled"), 2, "invalid-setting"),
    ],
    ids=lambda it: " ".join(it) if isinstance(it, tuple) else str(it),
)
def test_what_is_refused(admin: Admin, database: Path, words: tuple[str, ...], status: int, slug: str) -> None:
    before = admin("prune", "--dry-run").out
    refused = admin(*words)
    assert (refused.status, refused.slug, refused.out) == (status, slug, "")
    assert admin("prune", "--dry-run").out == before


def test_a_history_is_no_value_of_another_policy(admin: Admin) -> None:
    assert admin("policy", "set", "content-trust", "90d").status == 2


def test_a_file_is_written_anew_without_what_was_pruned(program: Program, admin: Admin, database: Path) -> None:
    assert admin("policy", "set", "history", "1d").status == 0
    assert admin("prune").status == 0
    before = database.stat().st_size
    done = program("db", "compact", "--data-dir", str(database.parent))
    after = database.stat().st_size
    assert (done.status, done.out) == (0, f"{database}: {before} -> {after} bytes\n")
    assert after < before - 8 * BYTES
    assert database.stat().st_mode & 0o777 == 0o600
    assert len(json.loads(admin("prune", "--dry-run", "--format", "json").out)) == 2
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_file_that_somebody_has_open_stays_as_it_is(program: Program, database: Path) -> None:
    before = database.read_bytes()
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("SELECT count(*) FROM files").fetchone()
        refused = program("db", "compact", "--data-dir", str(database.parent))
    assert (refused.status, refused.slug) == (1, "state")
    assert "Somebody has" in refused.err
    assert database.read_bytes() == before
    assert compact(database)[1] > 0, "now nobody has"


def test_postgresql_needs_no_such_thing(program: Program) -> None:
    refused = program("db", "compact", "--database", "postgresql://me@/trust")
    assert (refused.status, refused.slug) == (2, "usage")
    assert "autovacuum" in refused.err
