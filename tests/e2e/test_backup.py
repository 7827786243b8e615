"""A backup that is made while others publish, push and delete: whole, of one moment, and good to go on from."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from tests.real.parts import within
from tests.service import Person, Result, RunningService, run
from trustkit.gateway.backup import copy_images

BACKUPS = 3


def backup(service: RunningService, target: Path, *more: str) -> Result:
    return run(["db", "backup", "--data-dir", str(service.data), "--to", str(target), *more], {})


@pytest.fixture(scope="module")
def alice(service: RunningService) -> Person:
    person = service.principal("alice", "AcrPush", "AcrImageSigner", "AcrDelete")
    person.push(f"{service.host}/team/app:v0")
    assert person("sign", f"{service.host}/team/app:v0").status == 0
    return person


@pytest.fixture(scope="module")
def carol(service: RunningService, alice: Person) -> Person:
    person = service.principal("carol", "AcrPull")
    assert person("pin", "add", f"{service.host}/team/app", "--root-key", alice.root_key()).status == 0
    return person


class Publisher(threading.Thread):
    """Pushes and signs one tag after the other, and knows which are acknowledged."""

    def __init__(self, service: RunningService, who: Person) -> None:
        super().__init__()
        self.signed: list[str] = []
        self.failed = ""
        self._service, self._who, self._ended = service, who, threading.Event()

    def run(self) -> None:
        while not self._ended.is_set() and not self.failed:
            tag = f"b{len(self.signed)}"
            self._who.push(f"{self._service.host}/team/app:{tag}")
            done = self._who("sign", f"{self._service.host}/team/app:{tag}")
            self.failed = done.err if done.status else ""
            self.signed.append(tag)

    def end(self) -> None:
        self._ended.set()
        self.join()


def test_what_was_acknowledged_before_a_backup_is_in_it_and_nobody_waited(
    service: RunningService, alice: Person, carol: Person, tmp_path: Path
) -> None:
    publisher, before = Publisher(service, alice), list[list[str]]()
    publisher.start()
    for number in range(BACKUPS):
        assert within(60, lambda at=number: len(publisher.signed) > at or not publisher.is_alive())
        before.append(list(publisher.signed))
        made = backup(service, tmp_path / f"{number}.db", "--images", str(tmp_path / "images"))
        assert made.status == 0, made.err
        assert "collections that verify: 1" in made.out
    publisher.end()
    assert publisher.failed == ""
    last = tmp_path / f"{BACKUPS - 1}.db"
    assert (last.stat().st_mode & 0o777, sorted(p.name for p in tmp_path.glob("*.db*"))) == (
        0o600,
        [f"{number}.db" for number in range(BACKUPS)],
    )
    assert carol("verify", f"{service.host}/team/app:{publisher.signed[-1]}").status == 0
    service.stop()
    try:
        _go_on_from(service, last, tmp_path / "images", tmp_path / "restored", alice, carol, before[-1])
    finally:
        service.start()


def _go_on_from(
    old: RunningService, copy: Path, images: Path, folder: Path, alice: Person, carol: Person, tags: list[str]
) -> None:
    """Restores the backup at the same address; what was in it is served, consumers notice, and all recover."""
    restored = RunningService(folder)
    restored.port = old.port
    restored.data.mkdir(parents=True)
    shutil.copy(copy, restored.data / "trustkit.db")
    shutil.copy(old.data / "kek", restored.data / "kek")
    shutil.copytree(images, restored.data / "registry")
    assert restored.admin("recover").status == 0
    restored.start()
    try:
        gun = f"{old.host}/team/app"
        stale = carol("verify", f"{gun}:{tags[-1]}")
        assert (stale.status, stale.slug) == (3, "rolled-back"), "she has seen later versions"
        recovered = alice("recover", gun)
        assert recovered.status == 0, recovered.err
        for tag in ("v0", *tags):
            assert carol("verify", f"{gun}:{tag}").status == 0, tag
            pulled = carol("pull", f"{gun}:{tag}", "--to", f"oci:{folder / tag}")
            assert pulled.status == 0, pulled.err
    finally:
        restored.stop()


def test_nothing_is_ever_replaced(service: RunningService, alice: Person, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for name in ("file", "link", "dangling"):
        refused = backup(service, tmp_path / name)
        assert (refused.status, refused.slug) == (1, "conflict"), refused.err
    assert (tmp_path / "file").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dangling", "file", "link"]
    nowhere = backup(service, tmp_path / "no" / "folder.db")
    assert (nowhere.status, nowhere.slug) == (1, "state"), nowhere.err
    no_service = run(["db", "backup", "--data-dir", str(tmp_path), "--to", str(tmp_path / "x")], {})
    assert (no_service.status, no_service.slug) == (1, "state"), no_service.err
    assert "Traceback" not in no_service.err + nowhere.err


def test_a_full_disk_leaves_nothing_that_looks_like_a_backup(
    service: RunningService, alice: Person, tmp_path: Path
) -> None:
    command = ["-m", "trustkit", "db", "backup", "--data-dir", str(service.data), "--to", str(tmp_path / "x.db")]
    limited = ["bash", "-c", 'ulimit -f 64; exec "$0" "$@"', sys.executable, *command]
    done = subprocess.run(limited, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (1, False), done.stderr
    assert "[state]" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_database_makes_no_backup_that_looks_like_one(
    service: RunningService, alice: Person, tmp_path: Path
) -> None:
    folder = tmp_path / "service"
    folder.mkdir()
    whole = tmp_path / "whole.db"
    assert backup(service, whole).status == 0
    data = bytearray(whole.read_bytes())
    middle = len(data) // 2 // 4096 * 4096
    data[middle : middle + 8192] = b"\xff" * 8192
    (folder / "trustkit.db").write_bytes(data)
    refused = run(["db", "backup", "--data-dir", str(folder), "--to", str(tmp_path / "bad.db")], {})
    assert (refused.status, refused.slug) == (1, "state"), refused.err
    assert not (tmp_path / "bad.db").exists()


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE files SET data = CAST(replace(CAST(data AS TEXT), '\"v0\"', '\"w0\"') AS BLOB)",
        "DELETE FROM files WHERE role = 'targets'",
    ],
    ids=["changed", "missing"],
)
def test_a_collection_that_does_not_verify_is_told_of(
    service: RunningService, alice: Person, tmp_path: Path, damage: str
) -> None:
    folder = tmp_path / "service"
    folder.mkdir()
    assert backup(service, folder / "trustkit.db").status == 0
    with closing(sqlite3.connect(folder / "trustkit.db")) as database, database:
        for (trigger,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f"DROP TRIGGER {trigger}")
        database.execute(damage)
    told = run(["db", "backup", "--data-dir", str(folder), "--to", str(tmp_path / "told.db")], {})
    assert (told.status, told.slug) == (1, "state"), told.out
    assert f"{service.host}/team/app doesn't verify" in told.err
    assert (tmp_path / "told.db").exists(), "it is as good as the database, and may be all that there is"


def test_images_are_copied_once_whole_and_under_their_own_digest(tmp_path: Path) -> None:
    layout = tmp_path / "registry" / "team" / "app" / "_oci"
    blobs = layout / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    (layout.parent / "_uploads").mkdir()
    (layout.parent / "_uploads" / "half").write_bytes(b"half")
    (layout / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    manifest = b"{}"
    name = hashlib.sha256(manifest).hexdigest()
    (blobs / name).write_bytes(manifest)
    (blobs / "tmp-not-a-blob").write_bytes(b"?")
    entry = {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": f"sha256:{name}", "size": 2}
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    target = tmp_path / "copy"
    assert (copied := copy_images(tmp_path / "registry", target)).blobs == 1
    assert copied.size == 2
    assert copy_images(tmp_path / "registry", target).blobs == 0
    files = sorted(str(path.relative_to(target)) for path in target.rglob("*") if path.is_file())
    place = "team/app/_oci"
    assert files == [f"{place}/blobs/sha256/{name}", f"{place}/index.json", f"{place}/oci-layout"]
