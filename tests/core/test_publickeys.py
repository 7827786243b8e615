"""Public keys: only keys of allowed types, under their own ids, spelt the one way."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from securesystemslib.signer import SSlibKey

from trustkit.core.publickeys import algorithm, check_key, check_keys, key_id
from trustkit.errors import KeyUnsupported


def _pem(public: Any) -> str:
    return str(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())


def _made(keytype: str, scheme: str, public: str, **more: str) -> SSlibKey:
    key = SSlibKey("0" * 64, keytype, scheme, {"public": public, **more})
    key.keyid = key_id(key)
    return key


def _ecdsa(curve: ec.EllipticCurve, scheme: str) -> SSlibKey:
    return _made("ecdsa", scheme, _pem(ec.generate_private_key(curve).public_key()))


def _rsa(bits: int, scheme: str = "rsassa-pss-sha256") -> SSlibKey:
    return _made("rsa", scheme, _pem(rsa.generate_private_key(65537, bits).public_key()))


def _ed() -> SSlibKey:
    return _made("ed25519", "ed25519", ed25519.Ed25519PrivateKey.generate().public_key().public_bytes_raw().hex())


def _spki(oid: bytes, parameters: bytes, point: bytes) -> str:
    def tlv(tag: int, body: bytes) -> bytes:
        return bytes([tag, len(body)]) + body

    der = tlv(0x30, tlv(0x30, tlv(6, oid) + parameters) + tlv(3, b"\0" + point))
    return f"-----BEGIN PUBLIC KEY-----\n{base64.b64encode(der).decode()}\n-----END PUBLIC KEY-----\n"


P256 = "ecdsa-sha2-nistp256"
EC_OID = bytes.fromhex("2a8648ce3d0201")
FINE: dict[str, tuple[Callable[[], SSlibKey], str]] = {
    "ed25519": (_ed, "ed25519"),
    "p256": (lambda: _ecdsa(ec.SECP256R1(), P256), "ecdsa-p256"),
    "p384": (lambda: _ecdsa(ec.SECP384R1(), "ecdsa-sha2-nistp384"), "ecdsa-p384"),
    "rsa": (lambda: _rsa(2048), "rsa-2048"),
}


@pytest.mark.parametrize("case", FINE)
def test_allowed_keys(case: str) -> None:
    make, words = FINE[case]
    key = make()
    check_key(key)
    assert algorithm(key) == words


def _respelt(change: Callable[[str], str], make: Callable[[], SSlibKey]) -> SSlibKey:
    key = make()
    return _made(key.keytype, key.scheme, change(key.keyval["public"]))


def _refiled(keyid: Callable[[str], str]) -> SSlibKey:
    key = _ed()
    key.keyid = keyid(key.keyid)
    return key


def _compressed() -> SSlibKey:
    point = ec.generate_private_key(ec.SECP256R1()).public_key()
    raw = point.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    return _made("ecdsa", P256, _spki(EC_OID, bytes.fromhex("06082a8648ce3d030107"), raw))


def _with_member() -> SSlibKey:
    key = _ed()
    key.unrecognized_fields["note"] = "x"
    return key


def _p256() -> SSlibKey:
    return _ecdsa(ec.SECP256R1(), P256)


REFUSED: dict[str, Callable[[], SSlibKey]] = {
    "under another's id": lambda: _refiled(lambda _: _ed().keyid),
    "under its id in upper case": lambda: _refiled(str.upper),
    "under half its id": lambda: _refiled(lambda own: own[:32]),
    "under no id": lambda: _refiled(lambda _: ""),
    "PEM with a blank line": lambda: _respelt(lambda pem: pem + "\n", _p256),
    "PEM without its newline": lambda: _respelt(str.strip, _p256),
    "PEM with a header before it": lambda: _respelt(lambda pem: "note: x\n" + pem, _p256),
    "PEM with CRLF": lambda: _respelt(lambda pem: pem.replace("\n", "\r\n"), _p256),
    "PEM twice": lambda: _respelt(lambda pem: pem + pem, _p256),
    "PEM not ASCII": lambda: _respelt(lambda pem: pem + "é", _p256),
    "PEM with a compressed point": _compressed,
    "hex in upper case": lambda: _respelt(
        lambda raw: raw.upper() + "", lambda: _made("ed25519", "ed25519", "ab" * 32)
    ),
    "hex with spaces": lambda: _respelt(lambda raw: raw[:2] + " " + raw[2:], _ed),
    "hex too short": lambda: _respelt(lambda raw: raw[:-2], _ed),
    "no hex": lambda: _made("ed25519", "ed25519", "z" * 64),
    "empty": lambda: _made("ed25519", "ed25519", ""),
    "a private half": lambda: _made("ed25519", "ed25519", "ab" * 32, private="cd" * 32),
    "an unknown member": _with_member,
    "P-384 as P-256": lambda: _ecdsa(ec.SECP384R1(), P256),
    "P-256 as P-384": lambda: _ecdsa(ec.SECP256R1(), "ecdsa-sha2-nistp384"),
    "secp256k1 as P-256": lambda: _ecdsa(ec.SECP256K1(), P256),
    "P-521": lambda: _ecdsa(ec.SECP521R1(), "ecdsa-sha2-nistp521"),
    "the old name of ecdsa": lambda: _made(P256, P256, _p256().keyval["public"]),
    "RSA 1024": lambda: _rsa(1024),
    "RSA 2048 less one": lambda: _rsa(2047),
    "RSA PKCS#1 v1.5": lambda: _rsa(2048, "rsa-pkcs1v15-sha256"),
    "RSA as ecdsa": lambda: _made("ecdsa", P256, _rsa(2048).keyval["public"]),
    "ecdsa as RSA": lambda: _made("rsa", "rsassa-pss-sha256", _p256().keyval["public"]),
    "Ed448": lambda: _made("ecdsa", P256, _pem(ed448.Ed448PrivateKey.generate().public_key())),
    "DSA": lambda: _made("ecdsa", P256, _pem(dsa.generate_private_key(1024).public_key())),
    "Ed25519 in PEM": lambda: _made("ed25519", "ed25519", _pem(ed25519.Ed25519PrivateKey.generate().public_key())),
    "Ed25519 as RSA": lambda: _made(
        "rsa", "rsassa-pss-sha256", _pem(ed25519.Ed25519PrivateKey.generate().public_key())
    ),
    "a curve that nobody has": lambda: _made(
        "ecdsa", P256, _spki(EC_OID, bytes.fromhex("06052b81040063"), b"\x04" + bytes(64))
    ),
    "an algorithm that nobody has": lambda: _made("ecdsa", P256, _spki(bytes.fromhex("2b6563"), b"", bytes(32))),
    "a point off the curve": lambda: _made(
        "ecdsa", P256, _spki(EC_OID, bytes.fromhex("06082a8648ce3d030107"), b"\x04" + b"\1" * 64)
    ),
    "an unknown scheme": lambda: _made("ed25519", "ed25519ph", "ab" * 32),
    "a sigstore identity": lambda: _made("sigstore-oidc", "Fulcio", "ab" * 32),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_keys(case: str) -> None:
    with pytest.raises(KeyUnsupported):
        check_key(REFUSED[case]())


def test_one_key_under_two_ids_is_refused() -> None:
    key = _ed()
    check_keys([key, _ed()])
    with pytest.raises(KeyUnsupported, match="twice"):
        check_keys([key, key])
    alias = SSlibKey("f" * 64, key.keytype, key.scheme, dict(key.keyval))
    with pytest.raises(KeyUnsupported, match="hashes to another id"):
        check_keys([key, alias])


def test_the_id_is_that_of_python_tuf() -> None:
    private = ed25519.Ed25519PrivateKey.generate()
    key = SSlibKey.from_crypto(private.public_key())
    assert key_id(key) == key.keyid


def test_showing_a_key_that_lies_about_its_type_says_no_size() -> None:
    assert algorithm(REFUSED["ecdsa as RSA"]()) == "rsa/rsassa-pss-sha256"
