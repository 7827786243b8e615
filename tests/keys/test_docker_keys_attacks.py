"""Key files of Docker's form that somebody else has in hand: each is refused by name, and costs next to nothing."""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from trustkit.core.names import Gun, SignerName
from trustkit.core.ports.keys import KeyRole
from trustkit.errors import (
    InvalidName,
    KeyExists,
    KeyFileInvalid,
    KeyMissing,
    KeyProblem,
    KeyUnsupported,
    StateError,
    TrustkitError,
    WeakPassphrase,
    WrongPassphrase,
)
from trustkit.keys import dockercrypt, dockerfolder, dockerkeys, dockerpem, keypairs
from trustkit.keys.der import INTEGER, OCTETS, OID, SEQUENCE, DerError, Reader, integer, tlv
from trustkit.keys.dockerfolder import Place, Unusable
from trustkit.keys.dockerimport import DockerImport, Outcome
from trustkit.keys.dockerkeys import DockerKeyFile, Purpose
from trustkit.keys.dockerstore import DockerKeyStore
from trustkit.keys.keypairs import Algorithm
from trustkit.keys.passphrase import PassphraseSource
from trustkit.keys.store import FileKeyStore

PASSPHRASE = b"a passphrase of tests"
GUN = Gun.parse("registry.example.com/app")
ROOT, SIGNER = Purpose(KeyRole.ROOT), Purpose(KeyRole.SIGNER, None, SignerName.parse("alice"))
PRIVATE = keypairs.generate(Algorithm.P256)
ID = dockerkeys.docker_key(PRIVATE).canonical_id
GOOD = dockerkeys.render(PRIVATE, PASSPHRASE, SIGNER, rounds=1)
OTHER_ID = "0" * 64
PBKDF2, SHA256 = bytes.fromhex("2a864886f70d01050c"), bytes.fromhex("2a864886f70d0209")
PBES2, AES = bytes.fromhex("2a864886f70d01050d"), bytes.fromhex("60864801650304012a")


def sealed(
    *,
    rounds: bytes = integer(1),
    salt: bytes = b"8 bytes.",
    more: bytes = b"",
    iv: bytes = bytes(16),
    cipher: bytes = AES,
    scheme: bytes = PBES2,
    body: bytes = bytes(160),
) -> bytes:
    """An EncryptedPrivateKeyInfo with anything in it."""
    cost = tlv(SEQUENCE, tlv(OCTETS, salt) + rounds + more)
    derivation = tlv(SEQUENCE, tlv(OID, PBKDF2) + cost)
    parameters = tlv(SEQUENCE, derivation + tlv(SEQUENCE, tlv(OID, cipher) + tlv(OCTETS, iv)))
    return tlv(SEQUENCE, tlv(SEQUENCE, tlv(OID, scheme) + parameters) + tlv(OCTETS, body))


def pem(body: bytes, *headers: str, label: str = "ENCRYPTED PRIVATE KEY") -> bytes:
    text = base64.encodebytes(body).decode()
    return "\n".join([f"-----BEGIN {label}-----", *headers, "", text + f"-----END {label}-----", ""]).encode()


LEGACY = ("Proc-Type: 4,ENCRYPTED", "DEK-Info: AES-256-CBC,00112233445566778899aabbccddeeff", "role: root")

BAD_FILES = {
    "empty": (b"", "damaged"),
    "no PEM": (b"role: root\n", "damaged"),
    "binary": (b"\xff\xfe" * 30, "no text"),
    "10 MB": (GOOD + b"\n" * 10_000_000, "longer than"),
    "10 MB in one header": (GOOD.replace(b"alice", b"a" * 10_000_000), "longer than"),
    "cut in its base64": (GOOD[:200], "damaged"),
    "cut in its end": (GOOD[:-10], "damaged"),
    "two keys": (GOOD + GOOD, "2 blocks"),
    "a certificate beside it": (GOOD + pem(b"x", label="CERTIFICATE"), "2 blocks"),
    "a public key": (pem(b"x" * 40, label="PUBLIC KEY"), "damaged"),
    "another end": (GOOD.replace(b"END ENCRYPTED", b"END EC"), "damaged"),
    "a role twice": (GOOD.replace(b"role: alice", b"role: alice\nrole: root"), "twice"),
    "no base64": (GOOD.replace(b"==", b"=").replace(b"=\n-", b"\n-").replace(b"\nM", b"\nMM=", 1), "base64"),
    "no DER": (pem(b"0" * 64), "encryption is damaged"),
    "cut DER": (pem(sealed()[:-5]), "encryption is damaged"),
    "bytes behind the DER": (pem(sealed() + b"\0"), "encryption is damaged"),
    "2^31 rounds": (pem(sealed(rounds=integer(2**31))), "2147483648 rounds"),
    "2^62 rounds": (pem(sealed(rounds=integer(2**62))), "4611686018427387904 rounds"),
    "rounds of 300 bytes": (pem(sealed(rounds=tlv(INTEGER, b"\x01" * 300))), "encryption is damaged"),
    "no rounds": (pem(sealed(rounds=integer(0))), "0 rounds"),
    "fewer rounds than none": (pem(sealed(rounds=tlv(INTEGER, b"\xff"))), "encryption is damaged"),
    "no salt": (pem(sealed(salt=b"")), "encryption is damaged"),
    "a salt without end": (pem(sealed(salt=bytes(65))), "encryption is damaged"),
    "a key of 2^31 bytes": (pem(sealed(more=integer(2**31))), "encryption is damaged"),
    "another hash, which Notary ignores": (
        pem(sealed(more=tlv(SEQUENCE, tlv(OID, SHA256) + b"\5\0"))),
        "not what Notary writes",
    ),
    "another cipher": (pem(sealed(cipher=AES[:-1] + b"\x02")), "encryption is damaged"),
    "PBES1": (pem(sealed(scheme=PBES2[:-1] + b"\x03")), "encryption is damaged"),
    "a short IV": (pem(sealed(iv=bytes(8))), "encryption is damaged"),
    "no text": (pem(sealed(body=b"")), "encryption is damaged"),
    "half a block": (pem(sealed(body=bytes(17))), "encryption is damaged"),
    "DES, traditional": (
        pem(bytes(16), LEGACY[0], "DEK-Info: DES-EDE3-CBC,0011223344556677", label="EC PRIVATE KEY"), "DEK-Info",
    ),
    "no DEK-Info": (pem(bytes(16), LEGACY[0], label="EC PRIVATE KEY"), "DEK-Info"),
    "no Proc-Type": (pem(bytes(16), LEGACY[1], label="EC PRIVATE KEY"), "DEK-Info"),
    "half a block, traditional": (pem(bytes(17), *LEGACY, label="EC PRIVATE KEY"), "DEK-Info"),
    "both forms": (pem(sealed(), *LEGACY), "DEK-Info"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_is_refused_before_a_passphrase_is_tried(name: str) -> None:
    data, why = BAD_FILES[name]
    begun = time.process_time()
    with pytest.raises(KeyFileInvalid, match=why):
        DockerKeyFile.parse(data)
    assert time.process_time() - begun < 0.5


@given(st.integers(0, len(GOOD) - 1), st.integers(1, 255))
def test_no_flipped_bit_makes_another_key_or_an_error_of_somebody_elses(at: int, flip: int) -> None:
    bad = bytearray(GOOD)
    bad[at] ^= flip
    try:
        opened = DockerKeyFile.parse(bytes(bad)).open(PASSPHRASE, stated=ID)
    except TrustkitError:
        return
    assert dockerkeys.docker_key(opened).canonical_id == ID


@given(st.binary(max_size=300))
def test_any_bytes_are_a_key_or_a_clear_error(data: bytes) -> None:
    for body, headers, label in (
        (data, (), "PRIVATE KEY"), (data, (), "ENCRYPTED PRIVATE KEY"), (data, (), "EC PRIVATE KEY"),
        (data, (), "ED25519 PRIVATE KEY"), (data[: len(data) // 16 * 16], LEGACY, "ED25519 PRIVATE KEY"),
    ):  # fmt: skip
        with pytest.raises(KeyProblem):
            DockerKeyFile.parse(pem(body, *headers, label=label)).open(PASSPHRASE)
    with pytest.raises(DerError):
        Reader(tlv(SEQUENCE, data) + b"\0").end()


@pytest.mark.parametrize("passphrase", [b"", b"another one", PASSPHRASE + b"\n", PASSPHRASE.upper()])
def test_a_wrong_passphrase(passphrase: bytes) -> None:
    with pytest.raises(WrongPassphrase) as refused:
        DockerKeyFile.parse(GOOD).open(passphrase, stated=ID)
    assert passphrase.decode() not in repr(refused.value) or not passphrase


def test_a_key_under_another_ones_name_names_both() -> None:
    with pytest.raises(KeyFileInvalid) as refused:
        DockerKeyFile.parse(GOOD).open(PASSPHRASE, stated=OTHER_ID)
    assert ID in refused.value.message
    assert OTHER_ID in refused.value.message


def test_ed25519_halves_that_do_not_belong_together() -> None:
    one, two = (Reader(dockercrypt.spelt(keypairs.generate(Algorithm.ED25519))).inside() for _ in range(2))
    octets = []
    for read in (one, two):
        read.number(), read.take(SEQUENCE)
        octets.append(read.take(OCTETS))
    assert dockercrypt.ed25519_of(octets[0])
    with pytest.raises(KeyFileInvalid, match="another public key"):
        dockercrypt.ed25519_of(octets[1][:32] + octets[0][32:])


def test_a_curve_that_is_not_allowed() -> None:
    body = dockercrypt.seal(ec.generate_private_key(ec.SECP256K1()), PASSPHRASE, rounds=1)
    with pytest.raises(KeyUnsupported):
        DockerKeyFile.parse(pem(body, "role: root")).open(PASSPHRASE)


@pytest.mark.parametrize("value", ["a\nrole: root", "a\r", "", " a", "a\0", "é", "a\n\n-----END"])
def test_no_header_is_written_that_is_more_than_one_line(value: str) -> None:
    with pytest.raises(InvalidName, match="one line"):
        dockerpem.render({"role": value}, b"body")


def test_nothing_of_a_key_is_in_a_repr() -> None:
    file = DockerKeyFile.parse(GOOD)
    body = base64.b64encode(file.pem.body).decode()
    for shown in (repr(file), repr(file.pem), repr(file.sealed)):
        assert body[:16] not in shown
        assert repr(file.pem.body)[2:18] not in shown


Lay = Callable[[Path], object]


def write(path: Path, data: bytes = GOOD, mode: int = 0o600) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    path.chmod(mode)
    return path


def linked(folder: Path) -> None:
    write(folder.parent / "elsewhere" / f"{ID}.key")
    (folder / f"{ID}.key").symlink_to(folder.parent / "elsewhere" / f"{ID}.key")


def linked_folder(folder: Path) -> None:
    write(folder.parent / "elsewhere" / f"{ID}_root.key")
    (folder / "root_keys").symlink_to(folder.parent / "elsewhere")


def hard_link(folder: Path) -> None:
    os.link(write(folder.parent / "theirs.key"), folder / f"{ID}.key")


def says(*headers: str) -> Lay:
    text = "\n".join(headers).encode()
    return lambda folder: write(folder / f"{ID}.key", GOOD.replace(b"role: alice", text))


def at(place: str, data: bytes = GOOD) -> Lay:
    return lambda folder: write(folder / place, data)


LAID: dict[str, tuple[Lay, type[TrustkitError], str]] = {
    "a symbolic link": (linked, KeyFileInvalid, "isn't followed"),
    "a link to a folder": (linked_folder, KeyFileInvalid, "isn't followed"),
    "a hard link": (hard_link, KeyFileInvalid, "2 names"),
    "a pipe": (lambda folder: os.mkfifo(folder / f"{ID}.key"), KeyFileInvalid, "no regular file"),
    "a name that is no id": (at("root.key"), KeyFileInvalid, "no key id"),
    "a name in capitals": (at(f"{ID.upper() if ID.upper() != ID else 'A' * 64}.key"), KeyFileInvalid, "no key id"),
    "another key's name": (at(f"{OTHER_ID}.key"), KeyFileInvalid, "own id"),
    "a role that its name denies": (at(f"{ID}_root.key"), KeyFileInvalid, "by where it lies"),
    "a role that its folder denies": (at(f"root_keys/{ID}.key"), KeyFileInvalid, "by where it lies"),
    "a collection that its folder denies": (
        at(
            f"tuf_keys/a.example.com/x/{ID}.key", GOOD.replace(b"role: alice", b"gun: b.example.com/x\nrole: targets")
        ),
        KeyFileInvalid,
        "by where it lies",
    ),
    "a collection that walks up": (says("gun: ../../etc", "role: targets"), InvalidName, "none"),
    "a collection that is a path": (says("gun: /etc/passwd", "role: targets"), InvalidName, "none"),
    "a collection with dots inside": (says("gun: a.example.com/../b", "role: targets"), InvalidName, "none"),
    "a collection with an escape": (says("gun: a.example.com/\x1b[2J", "role: targets"), InvalidName, "none"),
    "targets of nothing": (says("role: targets"), KeyFileInvalid, "which collection"),
    "a snapshot of nothing": (says("role: snapshot"), KeyFileInvalid, "which collection"),
    "a timestamp": (says("gun: a.example.com/x", "role: timestamp"), KeyFileInvalid, "the service's"),
    "no role": (says("x: y"), KeyFileInvalid, "doesn't say"),
    "a signer that is a path": (says("role: ../../root"), InvalidName, "name of a signer"),
    "releases as a signer": (says("role: targets/releases"), InvalidName, "name of a signer"),
    "in the open": (
        lambda folder: (
            write(folder / f"{ID}.key", pem(dockercrypt.spelt(PRIVATE), "role: alice", label="PRIVATE KEY"), 0o644)
            and None
        ),
        KeyFileInvalid,
        "no passphrase protects it",
    ),
}


@pytest.fixture
def private(tmp_path: Path) -> Path:
    folder = tmp_path / "trust" / "private"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def home(tmp_path: Path) -> FileKeyStore:
    return FileKeyStore(tmp_path / "home", PassphraseSource(environ={}))


def source(passphrase: bytes = PASSPHRASE) -> PassphraseSource:
    return PassphraseSource(environ={"NOTARY_DELEGATION_PASSPHRASE": passphrase.decode()})


@pytest.mark.parametrize("name", LAID)
def test_a_file_that_is_not_what_it_seems_is_told(private: Path, home: FileKeyStore, name: str) -> None:
    lay, error, why = LAID[name]
    lay(private)
    (failed,) = DockerImport(home, source())(private.parent)
    assert failed.outcome is Outcome.FAILED
    assert type(failed.error) is error
    assert why in str(failed.error)
    assert "\x1b" not in str(failed.error)
    assert not home.list()


def test_the_rest_is_taken_in(private: Path, home: FileKeyStore) -> None:
    good = keypairs.generate(Algorithm.ED25519)
    good_id = dockerkeys.docker_key(good).canonical_id
    write(private / f"{good_id}.key", dockerkeys.render(good, PASSPHRASE, SIGNER, rounds=1))
    linked(private)
    write(private / f"{OTHER_ID}.key")
    write(private / "root_keys" / f"{ID}_root.key")
    done = list(DockerImport(home, source())(private.parent))
    assert [found.outcome for found in done].count(Outcome.FAILED) == 3
    assert [found.docker_id for found in done if found.outcome is Outcome.IMPORTED] == [good_id]
    assert len(home.list()) == 1


def test_others_who_may_read_a_file_are_told_of(private: Path, home: FileKeyStore) -> None:
    write(private / f"{ID}.key", mode=0o644)
    (found,) = DockerImport(home, source())(private)
    assert found.outcome is Outcome.IMPORTED
    assert "0644" in found.warning


def test_a_key_that_is_not_protected_gets_a_passphrase(private: Path, home: FileKeyStore) -> None:
    write(private / f"{ID}.key", pem(dockercrypt.spelt(PRIVATE), "role: alice", label="PRIVATE KEY"))
    (failed,) = DockerImport(home, PassphraseSource(environ={}))(private)
    assert failed.outcome is Outcome.FAILED  # there is nobody to ask for one
    new = PassphraseSource(environ={"TRUSTKIT_SIGNER_PASSPHRASE": "a new passphrase"})
    (found,) = DockerImport(home, PassphraseSource(environ={}), new=new)(private)
    assert found.info is not None
    assert FileKeyStore(Path(home.place), new).unlock(found.info)


def test_a_short_passphrase_is_not_kept(private: Path, home: FileKeyStore) -> None:
    write(private / f"{ID}.key", dockerkeys.render(PRIVATE, b"short", SIGNER, rounds=1))
    (failed,) = DockerImport(home, source(b"short"))(private)
    assert isinstance(failed.error, WeakPassphrase)
    assert not home.list()


def test_a_key_that_is_here_for_something_else_stays_that(private: Path, home: FileKeyStore) -> None:
    write(private / f"{ID}.key")
    (first,) = DockerImport(home, source(), name=SignerName.parse("bob"))(private)
    (again,) = DockerImport(home, source())(private)
    assert (again.outcome, again.info) == (Outcome.HERE, first.info)
    assert "kept here as the signer key of bob" in again.warning


def test_a_folder_of_private_keys_that_is_a_link_is_not_followed(tmp_path: Path, home: FileKeyStore) -> None:
    write(tmp_path / "elsewhere" / f"{ID}.key")
    (tmp_path / "trust").mkdir()
    (tmp_path / "trust" / "private").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StateError, match="isn't followed"):
        list(DockerImport(home, source())(tmp_path / "trust"))


@pytest.mark.parametrize("name", ["missing", "file", "empty"])
def test_a_folder_without_keys_is_said_to_be_none(tmp_path: Path, home: FileKeyStore, name: str) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    with pytest.raises(StateError, match="no keys of Docker's"):
        list(DockerImport(home, source())(tmp_path / name))


@pytest.mark.parametrize("name", ["a" * 300, "loop/private"])
def test_a_folder_that_cannot_be_looked_at_is_no_traceback(tmp_path: Path, home: FileKeyStore, name: str) -> None:
    (tmp_path / "loop").symlink_to("loop")
    known = PassphraseSource(environ={"TRUSTKIT_ROOT_PASSPHRASE": "a passphrase"})
    with pytest.raises(StateError, match=r"can't be read|no keys"):
        list(DockerImport(home, source())(tmp_path / name))
    with pytest.raises(StateError):
        DockerKeyStore(tmp_path / name, known).generate(KeyRole.ROOT)


def test_a_folder_that_is_too_deep_is_no_key_folder(private: Path) -> None:
    write(private.joinpath("tuf_keys", *"abcdefghijklmnopqr", f"{ID}.key"))
    with pytest.raises(StateError, match="no key folder"):
        list(dockerfolder.look(private))


def test_a_folder_with_too_many_files_is_no_key_folder(private: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dockerfolder, "MAX_FILES", 3)
    for number in range(4):
        write(private / f"{number}.txt")
    with pytest.raises(StateError, match="no key folder"):
        list(dockerfolder.look(private))


def test_a_store_on_dockers_folder_says_why_it_does_not_use_a_file(private: Path) -> None:
    linked(private)
    store = DockerKeyStore(private.parent, source())
    assert store.list() == []
    assert [found.path.name for found in store.unusable()] == [f"{ID}.key"]
    with pytest.raises(KeyFileInvalid, match="isn't followed"):
        store.find(frozenset({ID}))
    assert not store.find(frozenset({OTHER_ID}))


def test_a_store_on_dockers_folder_refuses_another_ones_key(private: Path) -> None:
    write(private / f"{OTHER_ID}.key")
    store = DockerKeyStore(private.parent, source())
    (info,) = store.list()
    with pytest.raises(WrongPassphrase):
        DockerKeyStore(private.parent, source(b"another one")).unlock(info)
    with pytest.raises(KeyFileInvalid, match="own id"):
        store.unlock(info)
    (private / f"{OTHER_ID}.key").unlink()
    with pytest.raises(KeyMissing):
        store.unlock(info)


def test_a_new_key_is_never_over_a_file(private: Path) -> None:
    target = private.parent.parent / "target"
    (private / f"{ID}.key").symlink_to(target)  # leads nowhere, until somebody writes through it
    with pytest.raises(KeyExists):
        dockerfolder.free_path(private, ID)
    (legacy,) = [write(private / "root_keys" / f"{OTHER_ID}_root.key")]
    with pytest.raises(KeyExists, match=str(legacy)):
        dockerfolder.free_path(private, OTHER_ID)
    assert not target.exists()


def test_what_lies_in_an_old_layout_says_its_role_by_its_place(private: Path) -> None:
    body = GOOD.replace(b"role: alice\n\n", b"\n")
    write(private / "tuf_keys" / str(GUN) / f"{ID}_targets.key", body)
    (found,) = dockerfolder.look(private)
    assert isinstance(found, Place)
    assert found.purpose() == Purpose(KeyRole.REPOSITORY, GUN)


def test_windows_line_ends_are_read() -> None:
    assert DockerKeyFile.parse(GOOD.replace(b"\n", b"\r\n")).open(PASSPHRASE, stated=ID)


def test_unusable_files_keep_their_kind_of_error(private: Path) -> None:
    write(private / "x.key")
    (found,) = dockerfolder.look(private)
    assert isinstance(found, Unusable)
    assert str(private) in found.named.message
