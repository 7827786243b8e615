"""``trustkit key backup`` and ``restore`` by people, against a real service: what is lost with a home comes back."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.people import service
from tests.service import Person, RunningService

__all__ = ["service"]

BACKUP = {"TRUSTKIT_BACKUP_PASSPHRASE": "a backup's own passphrase"}
REMINDER = "is in no backup yet: trustkit key backup --to FILE"
STRANGER = "a" * 64


@pytest.fixture(scope="module")
def alice(service: RunningService) -> Person:
    person = service.principal("alice", "AcrPush", "AcrImageSigner", "AcrPull")
    person.environ.update(BACKUP)
    return person


@pytest.fixture
def bob(tmp_path: Path) -> Person:
    """Somebody with one root key, and no service."""
    person = Person("bob", tmp_path, dict(BACKUP))
    assert person("key", "generate", "--role", "root").status == 0
    return person


def home(person: Person) -> Path:
    return person.home / "trustkit"


def test_a_home_that_is_lost_comes_back_and_signs(service: RunningService, alice: Person, tmp_path: Path) -> None:
    """The acceptance line: backup, move TRUSTKIT_HOME away, restore, sign again, and consumers go on."""
    reference, other = f"{service.host}/app:v1", f"{service.host}/app:v2"
    file = str(tmp_path / "keys.backup")
    alice.push(reference)
    signed = alice("sign", reference)
    assert signed.status == 0, signed.err
    assert signed.err.count(REMINDER) == 2  # the root key's and the repository key's
    made = alice("key", "backup", "--to", file)
    assert made.status == 0, made.err
    assert "2 keys and 1 pin" in made.err
    assert stat.S_IMODE(Path(file).stat().st_mode) == 0o600

    shutil.move(home(alice), tmp_path / "lost")
    assert alice("verify", reference).slug == "no-pin"
    alice.push(other)
    restored = alice("key", "restore", "--from", file)
    assert restored.status == 0, restored.err
    assert sorted(restored.out.split()) == sorted(made.out.split())
    again = alice("sign", other)
    assert again.status == 0, again.err
    assert REMINDER not in again.err
    assert alice("verify", reference, other).status == 0
    assert all(key["backed_up"] for key in json.loads(alice("key", "list", "--format", "json").out))


def test_init_reminds_of_each_key_until_there_is_a_backup(
    service: RunningService, alice: Person, tmp_path: Path
) -> None:
    first = alice("init", f"{service.host}/first")
    assert first.status == 0, first.err
    assert "The repository key of" in first.err
    assert REMINDER in first.err
    assert alice("key", "backup", "--to", str(tmp_path / "b")).status == 0
    alice.push(f"{service.host}/first:v1")
    signed = alice("sign", f"{service.host}/first:v1")
    assert signed.status == 0, signed.err
    assert REMINDER not in signed.err


def test_the_time_of_a_backup_is_shown_and_a_damaged_record_reminds(bob: Person, tmp_path: Path) -> None:
    key_id = bob.root_key()
    assert "never" in bob("key", "list").out
    assert bob("key", "backup", "--to", str(tmp_path / "b")).status == 0
    assert "never" not in bob("key", "list").out
    (home(bob) / "backups.json").write_text("{")
    assert json.loads(bob("key", "list", "--format", "json").out)[0]["backed_up"] is None
    assert bob("key", "backup", "--to", str(tmp_path / "b2")).status == 0
    assert json.loads((home(bob) / "backups.json").read_text())["keys"].keys() == {key_id}


def test_what_is_inside_is_listed_and_nothing_is_restored(bob: Person, tmp_path: Path) -> None:
    bob("pin", "add", "registry.example.com/*", "--root-key", STRANGER)
    file, key_id = str(tmp_path / "b"), bob.root_key()
    assert bob("key", "backup", "--to", file).status == 0
    shutil.rmtree(home(bob))
    shown = bob("key", "restore", "--from", file, "--list", "--format", "json")
    held = json.loads(shown.out)
    assert [(key["id"], key["role"]) for key in held["keys"]] == [(key_id, "root")]
    assert held["pins"] == ["registry.example.com/*"]
    assert key_id in bob("key", "restore", "--from", file, "--list").out
    assert not home(bob).exists()
    wrong = bob("key", "restore", "--from", file, "--list", environ={"TRUSTKIT_BACKUP_PASSPHRASE": "another one"})
    assert (wrong.status, wrong.slug, wrong.out) == (6, "wrong-passphrase", "")


def test_a_restore_says_line_by_line_what_it_did_with_keys_and_pins(bob: Person, tmp_path: Path) -> None:
    for pattern in ("a.example.com/*", "b.example.com/*"):
        bob("pin", "add", pattern, "--root-key", STRANGER)
    file = str(tmp_path / "b")
    assert bob("key", "backup", "--to", file).status == 0
    assert bob("pin", "remove", "a.example.com/*").status == 0
    assert bob("pin", "add", "b.example.com/*", "--root-key", "b" * 64, "--replace").status == 0
    again = bob("key", "restore", "--from", file)
    assert again.status == 0
    assert again.out == ""
    assert "Here already: the root key" in again.err
    assert "a.example.com/* is pinned as in the backup." in again.err
    assert "b.example.com/* is pinned otherwise here, and stays so" in again.err
    pins = {pin["pattern"]: pin["root_keys"] for pin in json.loads(bob("pin", "list", "--format", "json").out)}
    assert pins == {"a.example.com/*": [STRANGER], "b.example.com/*": ["b" * 64]}


def test_a_key_under_another_passphrase_is_in_the_way_and_the_others_can_be_named(
    bob: Person, tmp_path: Path
) -> None:
    file, key_id = str(tmp_path / "b"), bob.root_key()
    second = bob("key", "generate", "--role", "repository", "--gun", "registry.example.com/app").out.strip()
    assert bob("key", "backup", "--to", file).status == 0
    new = tmp_path / "new"
    new.write_text("a new passphrase")
    assert bob("key", "passwd", key_id, "--new-passphrase-file", str(new)).status == 0
    assert bob("key", "remove", second, "--yes").status == 0
    before = {path.name: path.read_bytes() for path in (home(bob) / "keys").iterdir()}
    refused = bob("key", "restore", "--from", file)
    assert (refused.status, refused.slug) == (6, "key-exists")
    assert {path.name: path.read_bytes() for path in (home(bob) / "keys").iterdir()} == before
    assert bob("key", "restore", "--from", file, second[:8]).out.strip() == second


def test_damaged_pins_here_leave_no_half_restored_home(bob: Person, tmp_path: Path) -> None:
    bob("pin", "add", "a.example.com/*", "--root-key", STRANGER)
    file = str(tmp_path / "b")
    assert bob("key", "backup", "--to", file).status == 0
    shutil.rmtree(home(bob))
    home(bob).mkdir()
    (home(bob) / "pins.json").write_text("{")
    refused = bob("key", "restore", "--from", file)
    assert (refused.status, refused.slug) == (1, "state")
    assert list((home(bob) / "keys").iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "status", "slug"),
    [
        (("backup", "--to", "{folder}/taken"), 6, "key-exists"),
        (("backup", "--to", "{folder}/no/such/folder"), 1, "state"),
        (("backup", "--to", "{folder}/b", "0123456789"), 6, "key-missing"),
        (("restore", "--from", "{folder}/missing"), 6, "key-missing"),
        (("restore", "--from", "{folder}/taken"), 6, "key-file-invalid"),
        (("restore", "--from", "{folder}/taken", "../../etc"), 2, "usage"),
    ],
)
def test_refusals(bob: Person, tmp_path: Path, arguments: tuple[str, ...], status: int, slug: str) -> None:
    (tmp_path / "taken").write_text("mine")
    done = bob("key", *(word.format(folder=tmp_path) for word in arguments))
    assert (done.status, done.slug, done.out) == (status, slug, "")
    assert (tmp_path / "taken").read_text() == "mine"
    assert not (tmp_path / "b").exists()


def test_nothing_to_back_up(tmp_path: Path) -> None:
    done = Person("nobody", tmp_path, dict(BACKUP))("key", "backup", "--to", str(tmp_path / "b"))
    assert (done.status, done.slug) == (2, "usage")


def test_a_full_disk(bob: Person, full_disk: Path) -> None:
    """A backup, a new key and a restore on it: each fails with words, and leaves nothing that is half there."""
    written = bob("key", "backup", "--to", str(full_disk / "b"))
    assert (written.status, written.slug) == (1, "state")
    assert "No space left on device" in written.err
    crowded = Person("crowded", full_disk, dict(BACKUP))
    (full_disk / "trustkit" / "keys").mkdir(parents=True, mode=0o700)
    made = crowded("key", "generate", "--role", "root")
    assert (made.status, made.slug, made.out) == (1, "state", "")
    file = str(bob.home / "b")
    assert bob("key", "backup", "--to", file).status == 0
    restored = crowded("key", "restore", "--from", file)
    assert (restored.status, restored.slug, restored.out) == (1, "state", "")
    assert [path.name for path in full_disk.rglob("*") if path.is_file() and path.stat().st_size] == ["filler"]


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB with room for names, and for no content."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k,mode=700", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("only root can mount a small disk")
    try:
        with (folder / "filler").open("wb", buffering=0) as filler, contextlib.suppress(OSError):
            for _ in range(64):
                filler.write(bytes(4096))
        assert shutil.disk_usage(folder).free == 0
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)
