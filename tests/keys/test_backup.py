"""Backups: what goes in and comes out, what a hostile one gets, and what restoring never does."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trustkit.core.names import Gun, SignerName
from trustkit.core.ports.keys import KeyInfo, KeyRole
from trustkit.errors import KeyExists, KeyFileInvalid, KeyMissing, NoPassphrase, StateError, WeakPassphrase
from trustkit.keys import keypairs, private
from trustkit.keys.backup import Backup, collect, plan, read, write
from trustkit.keys.keyfile import KeyFile
from trustkit.keys.keypairs import Algorithm
from trustkit.keys.passphrase import PassphraseSource
from trustkit.keys.placefile import PlaceFile
from trustkit.keys.store import FileKeyStore
from trustkit.keys.uris import parse_uri

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
GUN = Gun.parse("registry.example.com/app")
SECRET = "a backup's own"
SOURCE = PassphraseSource(environ={"TRUSTKIT_BACKUP_PASSPHRASE": SECRET})
PINS = b'{"pins": "as they are"}\n'


@pytest.fixture
def folder(store: FileKeyStore) -> Path:
    return store.path("x").parent


@pytest.fixture
def root(store: FileKeyStore) -> KeyInfo:
    return store.generate(KeyRole.ROOT)


def restore(backup: Backup, folder: Path) -> None:
    private.ensure_folder(folder)
    with private.placing(plan(backup, folder).new):
        pass


def test_what_is_restored_signs(store: FileKeyStore, folder: Path, environ: dict[str, str], tmp_path: Path) -> None:
    made = [
        store.generate(KeyRole.ROOT),
        store.generate(KeyRole.REPOSITORY, gun=GUN),
        store.generate(KeyRole.SIGNER, name=SignerName.parse("alice")),
    ]
    write(tmp_path / "b", Backup(NOW, collect(folder), PINS), SOURCE)
    back = read(tmp_path / "b", SOURCE)
    assert (back.created, back.pins) == (NOW, PINS)
    restore(back, tmp_path / "elsewhere")
    other = FileKeyStore(tmp_path / "elsewhere", PassphraseSource(environ=environ))
    assert other.list() == made
    for info in made:
        info.public.verify_signature(other.unlock(info).sign(b"payload"), b"payload")
        assert stat.S_IMODE(other.path(info.id).stat().st_mode) == 0o600
        assert other.path(info.id).read_bytes() == store.path(info.id).read_bytes()


def test_neither_keys_nor_names_can_be_read_in_it(root: KeyInfo, folder: Path, tmp_path: Path) -> None:
    write(tmp_path / "b", Backup(NOW, collect(folder), PINS), SOURCE)
    text = (tmp_path / "b").read_text()
    assert not any(word in text for word in (root.id, root.id[:16], "PRIVATE KEY", "pins", "role"))
    assert stat.S_IMODE((tmp_path / "b").stat().st_mode) == 0o600


def test_its_passphrase_alone_opens_no_key(root: KeyInfo, folder: Path, tmp_path: Path) -> None:
    write(tmp_path / "b", Backup(NOW, collect(folder), None), SOURCE)
    restore(read(tmp_path / "b", SOURCE), tmp_path / "elsewhere")
    thief = FileKeyStore(tmp_path / "elsewhere", SOURCE)
    with pytest.raises(NoPassphrase):
        thief.unlock(thief.list()[0])


@pytest.fixture(scope="module")
def pool() -> dict[str, bytes]:
    """Files of some keys, two of them on a token."""
    found = {}
    for number, algorithm in enumerate((Algorithm.ED25519, Algorithm.P256, Algorithm.ED25519, Algorithm.P384)):
        private_key = keypairs.generate(algorithm)
        file = KeyFile.seal(private_key, b"a key's own", role=KeyRole.REPOSITORY, gun=GUN)
        place = PlaceFile.of(file.info, parse_uri(f"pkcs11:token=t;object=k{number}"))
        found |= {f"{file.info.id}.uri": place.render()} if number % 2 else {f"{file.info.id}.pem": file.render()}
    return found


@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    chosen=st.sets(st.integers(0, 3)),
    pins=st.text(alphabet=st.characters(max_codepoint=127), max_size=200) | st.none(),
    created=st.integers(0, 10**11),
)
def test_what_goes_in_comes_out(
    pool: dict[str, bytes], tmp_path: Path, chosen: set[int], pins: str | None, created: int
) -> None:
    files = {name: data for number, (name, data) in enumerate(pool.items()) if number in chosen}
    at = datetime.fromtimestamp(created, UTC)
    backup = Backup(at, files, None if pins is None else pins.encode("ascii"))
    with TemporaryDirectory(dir=tmp_path) as made:
        write(Path(made) / "b", backup, SOURCE)
        assert read(Path(made) / "b", SOURCE) == backup
        restore(backup, Path(made) / "keys")
        assert collect(Path(made) / "keys") == files


def test_a_key_is_in_it_once(pool: dict[str, bytes]) -> None:
    """As a file and at a place, nobody could say which of them is meant."""
    name = next(name for name in pool if name.endswith(".pem"))
    info = KeyFile.parse(pool[name]).info
    both = {name: pool[name], f"{info.id}.uri": PlaceFile.of(info, parse_uri("pkcs11:token=t;object=k")).render()}
    with pytest.raises(KeyFileInvalid, match="stands twice"):
        Backup.unpack(Backup(NOW, both, None).pack())


@pytest.mark.parametrize(
    "environ", [{}, {"TRUSTKIT_BACKUP_PASSPHRASE": "short"}, {"TRUSTKIT_ROOT_PASSPHRASE": "a key's own"}]
)
def test_no_file_without_a_good_passphrase(
    environ: dict[str, str], root: KeyInfo, folder: Path, tmp_path: Path
) -> None:
    with pytest.raises((NoPassphrase, WeakPassphrase)):
        write(tmp_path / "b", Backup(NOW, collect(folder), None), PassphraseSource(environ=environ))
    assert not (tmp_path / "b").exists()


def test_the_prompt_asks_twice_for_a_backup(
    root: KeyInfo, folder: Path, tmp_path: Path, typist: Callable[..., Any]
) -> None:
    asked = typist(SECRET, "another", SECRET, SECRET)
    write(
        tmp_path / "b",
        Backup(NOW, collect(folder), None),
        PassphraseSource(environ={}, interactive=True, prompt=asked),
    )
    assert f"Repeat the passphrase for the backup {tmp_path / 'b'}: " in asked.asked
    assert len(asked.asked) == 4
    wrong = typist("not this", SECRET)
    read(tmp_path / "b", PassphraseSource(environ={}, interactive=True, prompt=wrong))
    assert wrong.asked[1].startswith("That passphrase is wrong.")


def test_a_backup_that_reads_back_otherwise_is_none(
    root: KeyInfo, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that loses a byte: the command fails, and leaves no file that looks like a backup."""
    real = private.create

    def losing(path: Path, data: bytes) -> None:
        real(path, data[:-40] + data[-39:])

    monkeypatch.setattr(private, "create", losing)
    with pytest.raises(StateError, match="can't be read back, and was removed"):
        write(tmp_path / "b", Backup(NOW, collect(folder), None), SOURCE)
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("kind", ["file", "link to a file", "link to nothing", "folder"])
def test_nothing_is_written_over(kind: str, root: KeyInfo, folder: Path, tmp_path: Path) -> None:
    target, other = tmp_path / "b", tmp_path / "other"
    other.write_text("something else")
    {
        "file": lambda: target.write_text("mine"),
        "link to a file": lambda: target.symlink_to(other),
        "link to nothing": lambda: target.symlink_to(tmp_path / "missing"),
        "folder": target.mkdir,
    }[kind]()
    with pytest.raises(KeyExists):
        write(target, Backup(NOW, collect(folder), None), SOURCE)
    with pytest.raises(KeyExists):
        private.create(target, b"raced")
    assert other.read_text() == "something else"
    assert not (tmp_path / "missing").exists()


def test_a_file_that_others_may_read_is_not_backed_up(store: FileKeyStore, root: KeyInfo, folder: Path) -> None:
    store.path(root.id).chmod(0o640)
    with pytest.raises(KeyFileInvalid, match="chmod 600"):
        collect(folder)


def test_a_damaged_key_is_not_backed_up(store: FileKeyStore, root: KeyInfo, folder: Path) -> None:
    store.path(root.id).write_bytes(store.path(root.id).read_bytes()[:-10])
    with pytest.raises(KeyFileInvalid, match="can't be backed up"):
        collect(folder)
    assert collect(folder, {"0" * 64}) == {}


@pytest.mark.parametrize("kind", ["folder", "pipe", "missing", "empty"])
def test_what_is_no_backup_is_refused_at_once(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "b"
    {"folder": path.mkdir, "pipe": lambda: os.mkfifo(path), "missing": lambda: None, "empty": path.touch}[kind]()
    with pytest.raises(KeyMissing if kind == "missing" else KeyFileInvalid, match=str(path)):
        read(path, SOURCE)


def test_a_backup_on_a_stick_without_modes_is_read(root: KeyInfo, folder: Path, tmp_path: Path) -> None:
    write(tmp_path / "b", Backup(NOW, collect(folder), None), SOURCE)
    (tmp_path / "b").chmod(0o755)
    assert [info.id for info in read(tmp_path / "b", SOURCE).keys] == [root.id]


@pytest.mark.parametrize("kind", ["other file", "link to nothing", "folder", "unreadable"])
def test_what_is_in_the_way_stays_and_nothing_is_restored(
    kind: str, store: FileKeyStore, root: KeyInfo, folder: Path, tmp_path: Path
) -> None:
    second = store.generate(KeyRole.REPOSITORY, gun=GUN)
    backup = Backup(NOW, collect(folder), None)
    place = tmp_path / "elsewhere"
    private.ensure_folder(place)
    target = place / f"{max(root.id, second.id)}.pem"
    {
        "other file": lambda: private.write_new(target, b"other"),
        "link to nothing": lambda: target.symlink_to(tmp_path / "missing"),
        "folder": target.mkdir,
        "unreadable": lambda: (target.write_bytes(backup.files[target.name]), target.chmod(0o644)),
    }[kind]()
    with pytest.raises((KeyExists, KeyFileInvalid), match=str(target)):
        restore(backup, place)
    assert list(place.iterdir()) == [target]
    assert not (tmp_path / "missing").exists()


def test_all_or_nothing_also_where_somebody_comes_between(
    store: FileKeyStore, root: KeyInfo, folder: Path, tmp_path: Path
) -> None:
    store.generate(KeyRole.REPOSITORY, gun=GUN)
    place = tmp_path / "elsewhere"
    private.ensure_folder(place)
    planned = plan(Backup(NOW, collect(folder), None), place)
    last = list(planned.new)[-1]
    last.write_bytes(b"raced")
    with pytest.raises(KeyExists), private.placing(planned.new):
        raise AssertionError("not reached")
    assert list(place.iterdir()) == [last]
    last.unlink()
    with pytest.raises(KeyboardInterrupt), private.placing(planned.new):
        raise KeyboardInterrupt
    assert list(place.iterdir()) == []


def test_the_same_key_is_skipped_and_a_choice_takes_no_pins(
    store: FileKeyStore, root: KeyInfo, folder: Path, tmp_path: Path
) -> None:
    second = store.generate(KeyRole.REPOSITORY, gun=GUN)
    whole = Backup(NOW, collect(folder), PINS)
    restore(whole.only([root.id[:12]]), tmp_path / "elsewhere")
    planned = plan(whole, tmp_path / "elsewhere")
    assert planned.same == {root.id}
    assert [path.stem for path in planned.new] == [second.id]
    assert whole.only([root.id]).pins is None
    with pytest.raises(KeyMissing, match="No keys"):
        whole.only(["f" * 64])
