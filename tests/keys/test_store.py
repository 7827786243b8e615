"""The key store on a real folder: what is on disk, who may read it, several processes, import and export."""

from __future__ import annotations

import stat
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from securesystemslib.signer import Signer

from trustkit.core.names import Gun, SignerName
from trustkit.core.ports.keys import KeyInfo, KeyRole, KeyStore
from trustkit.errors import (
    KeyExists,
    KeyFileInvalid,
    KeyMissing,
    KeyUnsupported,
    NoPassphrase,
    StateError,
    UsageError,
    WeakPassphrase,
    WrongPassphrase,
)
from trustkit.keys import keypairs
from trustkit.keys.keypairs import Algorithm
from trustkit.keys.passphrase import PassphraseSource
from trustkit.keys.store import FileKeyStore

GUN = Gun.parse("registry.example.com/app")
ALICE = SignerName.parse("alice")
NEW = PassphraseSource(environ={"TRUSTKIT_ROOT_PASSPHRASE": "another one"})


def again(store: FileKeyStore, **settings: Any) -> FileKeyStore:
    """A second run on the same folder: nothing is open."""
    return FileKeyStore(store.path("x").parent, PassphraseSource(**{"environ": {}, **settings}))


def signs(signer: Signer, info: KeyInfo) -> bool:
    info.public.verify_signature(signer.sign(b"payload"), b"payload")
    return True


def test_it_is_a_key_store(store: FileKeyStore) -> None:
    as_port: KeyStore = store
    assert as_port.list() == []
    assert as_port.find(frozenset({"0" * 64})) == []


def test_each_purpose_is_kept_and_listed_in_order(store: FileKeyStore, environ: dict[str, str]) -> None:
    signer = store.generate(KeyRole.SIGNER, name=ALICE)
    repository = store.generate(KeyRole.REPOSITORY, gun=GUN)
    root = store.generate(KeyRole.ROOT)
    other = again(store, environ=environ)
    assert other.list() == [root, repository, signer]
    assert other.find(frozenset({signer.id, root.id, "f" * 64})) == [root, signer]
    assert all(signs(other.unlock(info), info) for info in other.list())


@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_every_algorithm_signs(store: FileKeyStore, algorithm: Algorithm, environ: dict[str, str]) -> None:
    info = store.generate(KeyRole.ROOT, algorithm=algorithm, rsa_bits=2048)
    assert signs(store.unlock(info), info)
    assert signs(again(store, environ=environ).unlock(info), info)


def test_files_are_private_and_nothing_else_is_left(store: FileKeyStore) -> None:
    info = store.generate(KeyRole.ROOT)
    path = store.path(info.id)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert list(path.parent.iterdir()) == [path]
    assert b"-----BEGIN PRIVATE KEY" not in path.read_bytes()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o666])
def test_a_file_that_others_may_use_is_refused(store: FileKeyStore, mode: int) -> None:
    info = store.generate(KeyRole.ROOT)
    store.path(info.id).chmod(mode)
    for call in (store.list, lambda: store.find(frozenset({info.id})), lambda: again(store).unlock(info)):
        with pytest.raises(KeyFileInvalid, match="chmod 600"):
            call()


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777])
def test_no_key_is_made_where_others_may_write(store: FileKeyStore, mode: int) -> None:
    folder = store.path("x").parent
    folder.mkdir()
    folder.chmod(mode)
    with pytest.raises(StateError, match="chmod 700"):
        store.generate(KeyRole.ROOT)
    assert list(folder.iterdir()) == []


def test_a_folder_that_is_none(store: FileKeyStore) -> None:
    store.path("x").parent.write_text("")
    for call in (store.list, lambda: store.generate(KeyRole.ROOT)):
        with pytest.raises(StateError):
            call()


def test_a_file_under_another_name_is_refused(store: FileKeyStore) -> None:
    """TRUST 2.1."""
    info = store.generate(KeyRole.ROOT)
    store.path(info.id).rename(store.path("f" * 64))
    calls: list[Callable[[], object]] = [store.list, lambda: store.find(frozenset({"f" * 64}))]
    for call in calls:
        with pytest.raises(KeyFileInvalid, match="not the one of its name"):
            call()
    with pytest.raises(KeyMissing):
        again(store).unlock(info)


def test_what_is_no_regular_file(store: FileKeyStore) -> None:
    info = store.generate(KeyRole.ROOT)
    store.path("e" * 64).mkdir(mode=0o700)
    with pytest.raises(KeyFileInvalid):
        store.list()
    assert store.find(frozenset({info.id})) == [info], "another file's fault stops nobody from signing"


def test_a_passphrase_is_asked_for_once(store: FileKeyStore, typist: Callable[..., Any]) -> None:
    info = store.generate(KeyRole.ROOT)
    asked = typist("correct horse")
    other = again(store, interactive=True, prompt=asked)
    assert other.unlock(info) is other.unlock(info)
    assert len(asked.asked) == 1


def test_a_prompt_is_asked_three_times(store: FileKeyStore, typist: Callable[..., Any]) -> None:
    info = store.generate(KeyRole.ROOT)
    asked = typist("wrong", "again", "correct horse")
    assert signs(again(store, interactive=True, prompt=asked).unlock(info), info)
    assert asked.asked[1].startswith("That passphrase is wrong. ")
    asked = typist("wrong", "again", "wrong", "correct horse")
    with pytest.raises(WrongPassphrase):
        again(store, interactive=True, prompt=asked).unlock(info)
    assert len(asked.asked) == 3


def test_a_wrong_one_from_elsewhere_fails_at_once_and_names_key_and_source(
    store: FileKeyStore, typist: Callable[..., Any]
) -> None:
    info = store.generate(KeyRole.REPOSITORY, gun=GUN)
    asked = typist("battery staple")
    environ = {"TRUSTKIT_REPOSITORY_PASSPHRASE": "hunter2hunter2"}
    with pytest.raises(WrongPassphrase) as caught:
        again(store, environ=environ, interactive=True, prompt=asked).unlock(info)
    assert asked.asked == []
    text = f"{caught.value} {caught.value!r} {caught.value.context} {caught.value.__cause__!r}"
    assert "hunter2" not in text
    for part in (str(GUN), info.id[:8], "TRUSTKIT_REPOSITORY_PASSPHRASE"):
        assert part in text


def test_without_a_passphrase_no_key_is_made(store: FileKeyStore) -> None:
    with pytest.raises(NoPassphrase):
        again(store).generate(KeyRole.ROOT)
    with pytest.raises(WeakPassphrase):
        again(store, environ={"TRUSTKIT_ROOT_PASSPHRASE": "short"}).generate(KeyRole.ROOT)
    assert store.list() == []


def test_resolve(store: FileKeyStore) -> None:
    info = store.generate(KeyRole.ROOT)
    assert store.resolve(info.id[:8]) == store.resolve(info.id) == info
    for bad in (info.id[:7], info.id.upper() + "Z", "../../etc", "*" * 8, ""):
        with pytest.raises(UsageError):
            store.resolve(bad)
    with pytest.raises(KeyMissing):
        store.resolve("f" * 64 if info.id[0] != "f" else "0" * 64)
    twin = info.id[:8] + ("0" * 56)
    store.path(twin).write_bytes(b"")
    with pytest.raises(UsageError, match="2 keys"):
        store.resolve(info.id[:8])


def test_a_changed_passphrase(store: FileKeyStore) -> None:
    info = store.generate(KeyRole.ROOT)
    store.change_passphrase(info, NEW)
    assert stat.S_IMODE(store.path(info.id).stat().st_mode) == 0o600
    with pytest.raises(WrongPassphrase):
        again(store, environ={"TRUSTKIT_ROOT_PASSPHRASE": "correct horse"}).unlock(info)
    assert signs(again(store, environ={"TRUSTKIT_ROOT_PASSPHRASE": "another one"}).unlock(info), info)


def test_a_refused_new_passphrase_changes_nothing(store: FileKeyStore) -> None:
    info = store.generate(KeyRole.ROOT)
    before = store.path(info.id).read_bytes()
    with pytest.raises(WeakPassphrase):
        store.change_passphrase(info, PassphraseSource(environ={"TRUSTKIT_ROOT_PASSPHRASE": "short"}))
    assert store.path(info.id).read_bytes() == before


def test_a_removed_key_is_gone(store: FileKeyStore) -> None:
    info = store.generate(KeyRole.ROOT)
    store.remove(info)
    assert store.list() == []
    for call in (lambda: store.remove(info), lambda: store.unlock(info)):
        with pytest.raises(KeyMissing):
            call()


def test_export_and_import_give_the_same_key(store: FileKeyStore, tmp_path: Path, environ: dict[str, str]) -> None:
    info = store.generate(KeyRole.REPOSITORY, gun=GUN)
    copy = store.export(info)
    elsewhere = FileKeyStore(tmp_path / "elsewhere", PassphraseSource(environ=environ))
    assert elsewhere.import_key(copy, role=None) == info
    assert signs(elsewhere.unlock(info), info)
    with pytest.raises(KeyExists):
        elsewhere.import_key(copy, role=None)


def test_export_under_a_new_passphrase(
    store: FileKeyStore, tmp_path: Path, openssl: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    info = store.generate(KeyRole.ROOT)
    path = tmp_path / "copy.pem"
    path.write_bytes(store.export(info, NEW))
    assert openssl("pkey", "-in", str(path), "-passin", "pass:correct horse").returncode != 0
    done = openssl("pkey", "-in", str(path), "-passin", "pass:another one", "-pubout")
    assert done.stdout == keypairs.public_pem(info.public)


@pytest.mark.parametrize(
    "arguments",
    [
        ("genpkey", "-algorithm", "ed25519"),
        ("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"),
        ("ecparam", "-name", "secp384r1", "-genkey", "-noout"),
        ("genrsa", "-traditional", "2048"),
        ("genpkey", "-algorithm", "ed25519", "-aes256", "-pass", "pass:correct horse"),
        ("genrsa", "-traditional", "-aes128", "-passout", "pass:correct horse", "2048"),
    ],
    ids=" ".join,
)
def test_import_of_what_openssl_makes(
    store: FileKeyStore, openssl: Callable[..., subprocess.CompletedProcess[str]], arguments: tuple[str, ...]
) -> None:
    made = openssl(*arguments)
    assert made.returncode == 0, made.stderr
    info = store.import_key(made.stdout.encode(), role=KeyRole.ROOT)
    assert signs(again(store, environ={"TRUSTKIT_ROOT_PASSPHRASE": "correct horse"}).unlock(info), info)


def _pem(private: Any) -> bytes:
    done: bytes = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return done


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", KeyFileInvalid),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", KeyFileInvalid),
        (b"\xff\xfe", KeyFileInvalid),
        (b"trustkit key file, version 1\n", KeyFileInvalid),
        (
            keypairs.public_pem(keypairs.public_half(keypairs.generate(Algorithm.P256).public_key())).encode(),
            KeyFileInvalid,
        ),
        (_pem(ed448.Ed448PrivateKey.generate()), KeyUnsupported),
        (_pem(ec.generate_private_key(ec.SECP521R1())), KeyUnsupported),
        (_pem(dsa.generate_private_key(1024)), KeyUnsupported),
    ],
    ids=["empty", "no key", "no text", "cut", "public", "ed448", "p521", "dsa"],
)
def test_what_cannot_be_imported(store: FileKeyStore, data: bytes, error: type[Exception]) -> None:
    with pytest.raises(error, match="can't be imported"):
        store.import_key(data, role=KeyRole.ROOT, origin="backup.pem")
    assert store.list() == []


def test_import_with_another_passphrase(store: FileKeyStore, typist: Callable[..., Any]) -> None:
    info = store.generate(KeyRole.ROOT)
    copy = store.export(info)
    store.remove(info)
    with pytest.raises(WrongPassphrase, match=r"the key in backup\.pem"):
        again(store, environ={"TRUSTKIT_ROOT_PASSPHRASE": "hunter2hunter2"}).import_key(
            copy, role=None, origin="backup.pem"
        )
    asked = typist("correct horse")
    again(store, interactive=True, prompt=asked).import_key(copy, role=None, origin="backup.pem", new=NEW)
    assert asked.asked == ["Passphrase for the key in backup.pem: "]
    assert signs(again(store, environ={"TRUSTKIT_ROOT_PASSPHRASE": "another one"}).unlock(info), info)


def test_a_foreign_file_does_not_say_what_it_is_for(store: FileKeyStore) -> None:
    with pytest.raises(UsageError, match="--role"):
        store.import_key(_pem(ec.generate_private_key(ec.SECP256R1())), role=None)


def test_one_key_imported_at_once_is_there_once(store: FileKeyStore, environ: dict[str, str]) -> None:
    data = _pem(keypairs.generate(Algorithm.ED25519))

    def attempt(_: int) -> str:
        try:
            return again(store, environ=environ).import_key(data, role=KeyRole.ROOT).id
        except KeyExists:
            return ""

    with ThreadPoolExecutor(4) as pool:
        ids = list(pool.map(attempt, range(6)))
    assert sorted(map(bool, ids)) == [False] * 5 + [True]
    assert [info.id for info in store.list()] == [max(ids)]


def test_processes_that_generate_at_once_lose_nothing(store: FileKeyStore) -> None:
    folder = store.path("x").parent
    code = (
        "import sys; from pathlib import Path; from trustkit.keys.store import FileKeyStore;"
        "from trustkit.keys.passphrase import PassphraseSource; from trustkit.core.ports.keys import KeyRole;"
        "s = FileKeyStore(Path(sys.argv[1]), PassphraseSource(environ={'TRUSTKIT_ROOT_PASSPHRASE': sys.argv[2]}));"
        "print(*(s.generate(KeyRole.ROOT).id for _ in range(3)))"
    )
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(folder), "correct horse"], stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    made = [word for run in runs for word in run.communicate()[0].split()]
    assert len(set(made)) == 12
    assert sorted(made) == sorted(info.id for info in store.list())
    assert len(list(folder.iterdir())) == 12


def test_no_repr_holds_a_secret(store: FileKeyStore) -> None:
    info = store.generate(KeyRole.ROOT)
    assert "correct horse" not in f"{store!r} {info!r} {store.unlock(info)!r} {vars(store)}"
