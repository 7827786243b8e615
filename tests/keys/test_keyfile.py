"""Key files: round trips, damage, forgeries, and openssl as a second reader."""

from __future__ import annotations

import hashlib
import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from hypothesis import example, given, settings
from hypothesis import strategies as st

from trustkit.core.names import Gun, SignerName
from trustkit.core.ports.keys import KeyRole
from trustkit.errors import InvalidSetting, KeyFileInvalid, KeyUnsupported, WrongPassphrase
from trustkit.keys import keypairs, pbes2
from trustkit.keys.keyfile import KeyFile, is_key_file
from trustkit.keys.keypairs import Algorithm

GUN = Gun.parse("registry.example.com:5000/team/app")
NAME = SignerName.parse("alice")
PASSPHRASE = b"correct horse"
PURPOSES = [
    (KeyRole.ROOT, None, None),
    (KeyRole.REPOSITORY, GUN, None),
    (KeyRole.SNAPSHOT, GUN, None),
    (KeyRole.SIGNER, None, NAME),
]


@cache
def sealed(algorithm: Algorithm = Algorithm.ED25519, role: KeyRole = KeyRole.REPOSITORY) -> KeyFile:
    purpose = next(p for p in PURPOSES if p[0] is role)
    private = keypairs.generate(algorithm, rsa_bits=2048)
    return KeyFile.seal(private, PASSPHRASE, role=purpose[0], gun=purpose[1], name=purpose[2])


def with_checksum(text: str) -> bytes:
    """The text with a checksum that fits it: what a forger writes."""
    bare = re.sub(r"checksum: .*\n", "", text)
    line = f"checksum: sha256:{hashlib.sha256(bare.encode()).hexdigest()}\n"
    return bare.replace("-----BEGIN ENC", f"{line}-----BEGIN ENC", 1).encode()


@pytest.mark.parametrize("algorithm", list(Algorithm))
@pytest.mark.parametrize("role", list(KeyRole))
def test_a_file_gives_back_what_was_sealed(algorithm: Algorithm, role: KeyRole) -> None:
    file = sealed(algorithm, role)
    read = KeyFile.parse(file.render())
    assert read == file
    assert read.info.id == keypairs.public_half(read.open(PASSPHRASE).public_key()).keyid


@pytest.mark.usefixtures("whole_cost")
@settings(max_examples=6, deadline=None)
@given(passphrase=st.binary(min_size=1, max_size=100))
@example(passphrase="pässwörd".encode())
def test_any_bytes_are_a_passphrase(passphrase: bytes) -> None:
    private = keypairs.generate(Algorithm.ED25519)
    file = KeyFile.seal(private, passphrase, role=KeyRole.ROOT)
    assert KeyFile.parse(file.render()).open(passphrase).public_key() == private.public_key()


@settings(max_examples=12, deadline=None)
@given(passphrase=st.binary(max_size=40).filter(lambda value: value != PASSPHRASE))
@example(passphrase=b"")
@example(passphrase=PASSPHRASE + b"\n")
def test_another_passphrase_is_wrong(passphrase: bytes) -> None:
    with pytest.raises(WrongPassphrase):
        sealed().open(passphrase)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_damage_is_told_as_damage(data: st.DataObject) -> None:
    good = sealed(data.draw(st.sampled_from([Algorithm.ED25519, Algorithm.P256]))).render()
    at = data.draw(st.integers(0, len(good)))
    cut = data.draw(st.integers(0, 8))
    put = data.draw(st.binary(max_size=8))
    bad = good[:at] + put + good[at + cut :]
    if bad != good:
        with pytest.raises(KeyFileInvalid):
            KeyFile.parse(bad)


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.binary(max_size=400), st.text(max_size=400).map(str.encode)))
@example(b"")
@example(b"trustkit key file, version 2\n")
@example(b"x" * 70_000)
def test_anything_else_is_no_key_file(data: bytes) -> None:
    with pytest.raises(KeyFileInvalid):
        KeyFile.parse(data)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
@example(b"")
@example(b"\x30")
@example(b"\x30\xff" * 100)
def test_any_bytes_are_no_structure_of_ours(data: bytes) -> None:
    assert not pbes2.is_ours(data)
    assert not pbes2.is_ours(sealed().sealed + data[:1] + b"\0")


@settings(max_examples=100, deadline=None)
@given(at=st.integers(0, 160), value=st.integers(0, 255))
def test_only_salt_iv_and_ciphertext_may_vary(at: int, value: int) -> None:
    good = sealed().sealed
    bad = bytearray(good)
    bad[at % len(good)] = value
    if pbes2.is_ours(bytes(bad)):
        changed = [i for i in range(len(good)) if bad[i] != good[i]]
        salt = good.index(bytes.fromhex("0410")) + 2
        cost_and_cipher = range(salt + 16, good.rindex(bytes.fromhex("0410"), 0, 110) + 2)
        assert all(i >= salt and i not in cost_and_cipher for i in changed)


def test_a_higher_cost_is_refused_before_it_is_paid() -> None:
    cost = (2**14).to_bytes(2, "big")
    forged = sealed().sealed.replace(b"\x02\x02" + cost, b"\x02\x02" + (2**14 + 2**13).to_bytes(2, "big"), 1)
    assert not pbes2.is_ours(forged)
    with pytest.raises(KeyFileInvalid, match="isn't what trustkit writes"):
        KeyFile.parse(replace(sealed(), sealed=forged).render())


def test_an_id_that_is_not_the_keys_hash_is_refused() -> None:
    """TRUST 2.1."""
    file = sealed()
    forged = with_checksum(file.render().decode().replace(file.info.id, "0" * 64))
    with pytest.raises(KeyFileInvalid, match="its key's own id"):
        KeyFile.parse(forged)


def test_a_private_key_under_another_public_one_is_refused() -> None:
    """TRUST 2.1: the id is that of the public half, so the private one is held against it."""
    other = KeyFile.seal(keypairs.generate(Algorithm.ED25519), PASSPHRASE, role=KeyRole.REPOSITORY, gun=GUN)
    forged = KeyFile.parse(replace(sealed(), sealed=other.sealed).render())
    with pytest.raises(KeyFileInvalid, match="another public key"):
        forged.open(PASSPHRASE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("role: repository", "role: targets"),
        ("role: repository", "role: root"),
        ("role: repository", "role: signer"),
        ("gun: registry.example.com:5000/team/app\n", ""),
        ("gun: registry.example.com:5000/team/app", "gun: Registry/App"),
        ("algorithm: ed25519\n", "name: alice\nalgorithm: ed25519\n"),
        ("algorithm: ed25519", "algorithm: ecdsa-p256"),
        ("-----BEGIN ENC", "extra: line\n-----BEGIN ENC"),
        ("-----BEGIN PUB", "\n-----BEGIN PUB"),
        ("version 1", "version 2"),
    ],
)
def test_a_head_that_makes_no_sense_is_refused(old: str, new: str) -> None:
    text = sealed().render().decode()
    assert old in text
    with pytest.raises(KeyFileInvalid):
        KeyFile.parse(with_checksum(text.replace(old, new, 1)))


@pytest.mark.parametrize(
    ("role", "gun", "name"),
    [
        (KeyRole.ROOT, GUN, None),
        (KeyRole.ROOT, None, NAME),
        (KeyRole.REPOSITORY, None, None),
        (KeyRole.REPOSITORY, GUN, NAME),
        (KeyRole.SIGNER, None, None),
    ],
)
def test_a_purpose_without_its_name_is_refused(role: KeyRole, gun: Gun | None, name: SignerName | None) -> None:
    with pytest.raises(InvalidSetting):
        KeyFile.seal(keypairs.generate(Algorithm.ED25519), PASSPHRASE, role=role, gun=gun, name=name)


@pytest.mark.parametrize("bits", [1024, 2047, 4097])
def test_rsa_has_bounds(bits: int) -> None:
    """TRUST 2.2."""
    with pytest.raises(KeyUnsupported):
        keypairs.generate(Algorithm.RSA, rsa_bits=bits)


def test_nothing_secret_is_in_the_repr() -> None:
    assert sealed().sealed.hex() not in repr(sealed())
    assert repr(sealed().sealed) not in repr(sealed())


def test_it_claims_to_be_one() -> None:
    assert is_key_file(sealed().render())
    assert not is_key_file(b"-----BEGIN PRIVATE KEY-----\n")


@pytest.mark.usefixtures("whole_cost")
@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_openssl_and_cryptography_open_the_file_as_it_is(
    algorithm: Algorithm, tmp_path: Path, openssl: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    file = sealed(algorithm)
    path = tmp_path / "key.pem"
    path.write_bytes(file.render())
    done = openssl("pkey", "-in", str(path), "-passin", f"pass:{PASSPHRASE.decode()}", "-pubout")
    assert done.returncode == 0, done.stderr
    assert done.stdout == keypairs.public_pem(file.info.public)
    assert openssl("pkey", "-in", str(path), "-passin", "pass:wrong", "-pubout").returncode != 0
    private = load_pem_private_key(file.render(), PASSPHRASE)
    assert keypairs.public_half(private.public_key()).keyid == file.info.id


def test_openssl_sees_scrypt_with_the_stated_cost(
    tmp_path: Path, openssl: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    path = tmp_path / "key.der"
    path.write_bytes(sealed().sealed)
    shown = openssl("asn1parse", "-inform", "DER", "-in", str(path)).stdout
    words = [line.rsplit(":", 1)[-1] for line in shown.splitlines() if "OBJECT" in line or "INTEGER" in line]
    assert words == ["PBES2", "scrypt" if "scrypt" in shown else "id-scrypt", "4000", "08", "05", "20", "aes-256-cbc"]


@pytest.mark.usefixtures("whole_cost")
def test_no_two_encryptions_are_alike() -> None:
    private = keypairs.generate(Algorithm.ED25519)
    first, second = (KeyFile.seal(private, PASSPHRASE, role=KeyRole.ROOT) for _ in range(2))
    assert first.info == second.info
    assert first.sealed != second.sealed
