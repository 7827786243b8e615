"""Foreign private keys: whatever is in the file, one of our errors comes out."""

from __future__ import annotations

import base64
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from securesystemslib.signer import CryptoSigner

from tests.conftest import Need
from trustkit.core.publickeys import check_key
from trustkit.errors import KeyFileInvalid, KeyUnsupported, WrongPassphrase
from trustkit.keys import keypairs, pbes2
from trustkit.keys.keypairs import Algorithm

ENCRYPTED = "ENCRYPTED PRIVATE KEY"


@cache
def private(algorithm: Algorithm) -> Any:
    return keypairs.generate(algorithm, rsa_bits=2048)


def pem(der: bytes, label: str = "PRIVATE KEY") -> bytes:
    return f"-----BEGIN {label}-----\n{base64.encodebytes(der).decode()}-----END {label}-----\n".encode()


@settings(max_examples=300, deadline=None)
@given(data=st.data(), algorithm=st.sampled_from(list(Algorithm)))
def test_damaged_foreign_keys_give_our_errors(data: st.DataObject, algorithm: Algorithm) -> None:
    form = data.draw(st.sampled_from([PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL]))
    if algorithm is Algorithm.ED25519:
        form = PrivateFormat.PKCS8
    der = private(algorithm).private_bytes(Encoding.DER, form, NoEncryption())
    at = data.draw(st.integers(0, len(der)))
    bad = der[:at] + data.draw(st.binary(max_size=4)) + der[at + data.draw(st.integers(0, 4)) :]
    label = data.draw(st.sampled_from(["PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY", "OPENSSH PRIVATE KEY"]))
    try:
        read = keypairs.read_foreign(pem(bad, label), None)
    except (KeyFileInvalid, KeyUnsupported):
        return
    check_key(keypairs.public_half(read.public_key()))
    CryptoSigner(read)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_anything_is_read_or_refused(data: bytes) -> None:
    for text in (data, pem(data), b"-----BEGIN PRIVATE KEY-----\n" + data):
        with pytest.raises((KeyFileInvalid, KeyUnsupported)):
            keypairs.read_foreign(text, None)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300))
def test_anything_as_a_public_key_is_refused(data: bytes) -> None:
    with pytest.raises((KeyFileInvalid, KeyUnsupported)):
        keypairs.read_public_pem(pem(data, "PUBLIC KEY").decode())


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_encrypted_foreign_keys(form: PrivateFormat) -> None:
    text = private(Algorithm.P256).private_bytes(Encoding.PEM, form, BestAvailableEncryption(b"right"))
    assert keypairs.is_encrypted(text)
    with pytest.raises(WrongPassphrase):
        keypairs.read_foreign(text, b"wrong")
    with pytest.raises(KeyFileInvalid):
        keypairs.read_foreign(text, None)
    assert keypairs.read_foreign(text, b"right").public_key() == private(Algorithm.P256).public_key()


@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_a_public_half_survives_its_pem(algorithm: Algorithm) -> None:
    key = keypairs.public_half(private(algorithm).public_key())
    assert keypairs.read_public_pem(keypairs.public_pem(key)) == key


@pytest.mark.parametrize("cost", [0x4001, 0x0000, 0x7FFF])
def test_a_foreign_key_derivation_of_no_meaning(cost: int) -> None:
    """scrypt takes powers of two only; cryptography reports another N as an internal error of OpenSSL."""
    der = pbes2.encrypt(keypairs.private_der(private(Algorithm.ED25519)), b"right")
    forged = der.replace(b"\x02\x02\x40\x00", b"\x02\x02" + cost.to_bytes(2, "big"), 1)
    assert forged != der
    with pytest.raises((KeyFileInvalid, WrongPassphrase)):
        keypairs.read_foreign(pem(forged, "ENCRYPTED PRIVATE KEY"), b"right")


@pytest.mark.parametrize("kdf", ["pbkdf2", "scrypt", "v1"])
def test_a_foreign_key_makes_nobody_spend_what_it_likes(kdf: str, need: Need, tmp_path: Path) -> None:
    """A file says itself what a passphrase costs: hours or gigabytes, before anything tells that it is wrong."""
    openssl, plain = need("openssl", "openssl"), tmp_path / "plain.pem"
    plain.write_bytes(private(Algorithm.P256).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    how, cheap, dear = {
        "pbkdf2": (["-v2", "aes256", "-iter", "65537"], b"\x02\x03\x01\x00\x01", b"\x02\x03\x7f\xff\xff"),
        "scrypt": (["-scrypt"], b"\x02\x01\x08\x02\x01\x01", b"\x02\x01\x08\x02\x01\x7f"),
        "v1": (["-v1", "PBE-SHA1-3DES", "-iter", "65537"], b"\x02\x03\x01\x00\x01", b"\x02\x03\x7f\xff\xff"),
    }[kdf]  # fmt: skip
    command = [openssl, "pkcs8", "-topk8", "-in", plain, "-outform", "DER", "-passout", "pass:right", *how]
    der = subprocess.run(command, capture_output=True, check=True).stdout
    assert keypairs.read_foreign(pem(der, ENCRYPTED), b"right").public_key() == private(Algorithm.P256).public_key()
    with pytest.raises(KeyFileInvalid, match="costs more"):
        keypairs.read_foreign(pem(der.replace(cheap, dear, 1), ENCRYPTED), b"right")


def test_a_file_of_two_private_keys_is_none(need: Need) -> None:
    """Which one would be used is the reader's choice, and the other one is what somebody meant."""
    one, other = (
        private(algorithm).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        for algorithm in (Algorithm.P256, Algorithm.ED25519)
    )
    with pytest.raises(KeyFileInvalid, match="2 private keys"):
        keypairs.read_foreign(one + other, None)
    curve = subprocess.run(
        [need("openssl", "openssl"), "ecparam", "-name", "prime256v1", "-genkey"], capture_output=True, check=True
    )
    assert curve.stdout.count(b"-----BEGIN") == 2
    assert keypairs.read_foreign(curve.stdout, None)
