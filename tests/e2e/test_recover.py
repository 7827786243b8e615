"""A service restored from a backup goes on ahead of what it had served (TRUST 3.7)."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service import Person, RunningService
from tests.warmstock import WarmStock


@pytest.fixture
def restored(tmp_path: Path) -> Iterator[Restored]:
    made = Restored(tmp_path)
    yield made
    made.service.stop()


class Restored:
    """A service that lost what was published after v1: v2 of ``busy``; nothing of ``quiet``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.service = RunningService(folder).start()
        self.alice = self.service.principal("alice", "AcrPush", "AcrImageSigner")
        self.carol = self.service.principal("carol", "AcrPull")
        self.busy, self.quiet = (f"{self.service.host}/restored/{name}" for name in ("busy", "quiet"))
        for gun in (self.busy, self.quiet):
            self.alice.push(f"{gun}:v1")
        assert self.alice("sign", f"{self.busy}:v1", f"{self.quiet}:v1").status == 0
        backup = folder / "backup.db"
        source, target = sqlite3.connect(self.service.data / "trustkit.db"), sqlite3.connect(backup)
        source.backup(target)
        source.close(), target.close()
        self.alice.push(f"{self.busy}:v2")
        assert self.alice("sign", f"{self.busy}:v2").status == 0
        self.stock = WarmStock(self.service, self.carol, self.busy, folder / "stock")
        assert self.stock.digest("v2")
        self.look(0, "busy", "v2")
        self.look(0, "quiet", "v1")
        self.service.stop()
        for end in ("", "-wal", "-shm"):
            (self.service.data / f"trustkit.db{end}").unlink(missing_ok=True)
        shutil.copy(backup, self.service.data / "trustkit.db")

    def look(self, status: int, name: str, tag: str, slug: str = "") -> None:
        gun = getattr(self, name)
        if self.carol("pin", "list", "--format", "json").out.find(gun) < 0:
            assert self.carol("pin", "add", gun, "--root-key", self.alice.root_key()).status == 0
        seen = self.carol("verify", f"{gun}:{tag}")
        assert (seen.status, seen.slug) == (status, slug), seen.err

    def recover(self, *arguments: str) -> None:
        done = self.service.admin("recover", *arguments)
        assert done.status == 0, done.err


def test_consumers_and_publishers_go_on(restored: Restored) -> None:
    restored.service.start()
    restored.look(3, "busy", "v2", "rolled-back")
    restored.service.stop()
    restored.recover()
    restored.service.start()
    restored.look(0, "quiet", "v1")
    restored.look(3, "busy", "v2", "rolled-back")
    done = restored.alice("recover", restored.busy)
    assert done.status == 0, done.err
    assert done.out == f"{restored.busy}: targets 1002\n"
    restored.look(0, "busy", "v2")
    assert restored.stock.digest("v2")
    restored.alice.push(f"{restored.busy}:v3")
    assert restored.alice("sign", f"{restored.busy}:v3").status == 0
    restored.look(0, "busy", "v3")
    assert restored.stock.digest("v3")
    again = restored.alice("recover", restored.busy)
    assert (again.status, again.slug) == (1, "conflict"), "each role jumps once"
    rows = json.loads(restored.service.admin("audit", "list", "--format", "json").out)
    assert {"recovered", "published"} <= {row["action"] for row in rows}
    jumped = [row for row in rows if "jumped" in row["detail"]]
    assert [row["subject"] for row in jumped] == [restored.busy]


def test_run_twice_it_does_nobody_harm(restored: Restored) -> None:
    """Whoever isn't sure that the first run ended runs it again: it goes farther ahead, and nothing else changes."""
    restored.recover()
    restored.recover()
    restored.service.start()
    restored.look(0, "quiet", "v1")
    done = restored.alice("recover", restored.busy)
    assert done.status == 0, done.err
    served = restored.alice("inspect", f"{restored.busy}:v2", "--format", "json").out
    again = restored.alice("recover", restored.busy)
    assert (again.status, again.slug) == (1, "conflict"), "each role jumps once"
    assert restored.alice("inspect", f"{restored.busy}:v2", "--format", "json").out == served
    for tag in ("v1", "v2"):
        restored.look(0, "busy", tag)
    assert restored.stock.digest("v2")


def test_without_the_operator_s_word_nothing_jumps(restored: Restored) -> None:
    restored.service.start()
    refused = restored.alice("recover", restored.busy)
    assert (refused.status, refused.slug) == (1, "conflict"), refused.err
    assert "trustkit admin recover" in refused.err


def test_who_may_not_publish_puts_nothing_back(restored: Restored) -> None:
    restored.recover()
    restored.service.start()
    refused = restored.carol("recover", restored.busy)
    assert (refused.status, refused.slug) == (5, "role-missing"), refused.err


@pytest.mark.parametrize("jump", ["0", "-3", "1000001"])
def test_a_jump_is_bounded(restored: Restored, jump: str) -> None:
    refused = restored.service.admin("recover", "--jump", jump)
    assert (refused.status, refused.slug) == (2, "invalid-setting"), refused.err


def test_a_recovery_that_would_reach_the_last_version_is_refused(restored: Restored) -> None:
    for _ in range(2):
        restored.recover("--jump", "1000000", restored.busy)
    Person("nobody", restored.folder / "nobody")
    with sqlite3.connect(restored.service.data / "trustkit.db") as database:
        rows = database.execute("SELECT max(version) FROM files WHERE role = 'snapshot'").fetchone()
    assert rows[0] == 1 + 2 * 1_000_001
