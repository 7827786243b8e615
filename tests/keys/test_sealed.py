"""The envelope of a backup: what an attacker's file gets, and what opens."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trustkit.errors import KeyFileInvalid, TrustkitError, WrongPassphrase
from trustkit.keys import sealed
from trustkit.keys.sealed import Sealed

PASSPHRASE = b"correct horse"
PLAIN = b"what nobody else may read" * 20


@pytest.fixture(scope="module")
def envelope() -> Sealed:
    return Sealed.seal(PLAIN, PASSPHRASE)


def mended(data: bytes) -> bytes:
    """The file with the checksum that fits it, as an attacker writes it."""
    rest = re.sub(rb"checksum: sha256:[0-9a-f]{64}\n", b"", data)
    line = b"checksum: sha256:%s\n" % hashlib.sha256(rest).hexdigest().encode()
    return rest.replace(b"-----BEGIN", line + b"-----BEGIN", 1)


def with_body(data: bytes, base64: bytes) -> bytes:
    return re.sub(rb"(BACKUP-----\n).*?\n-", rb"\1" + base64 + b"\n-", data, flags=re.DOTALL)


def never(*_: object) -> bytes:
    raise AssertionError("a key was derived")


def test_it_opens_with_its_passphrase_only(envelope: Sealed) -> None:
    again = Sealed.parse(envelope.render())
    assert again == envelope
    assert again.open(PASSPHRASE) == PLAIN
    for wrong in (b"", b"correct horsf", PASSPHRASE + b" "):
        with pytest.raises(WrongPassphrase):
            again.open(wrong)


@pytest.mark.usefixtures("whole_cost")
def test_two_of_the_same_share_nothing(envelope: Sealed) -> None:
    other = Sealed.seal(PLAIN, PASSPHRASE)
    assert {other.salt, other.nonce, other.body}.isdisjoint({envelope.salt, envelope.nonce, envelope.body})


@pytest.mark.usefixtures("whole_cost")
@settings(max_examples=4)
@given(plain=st.binary(max_size=5000), passphrase=st.binary(min_size=1, max_size=64))
def test_what_goes_in_comes_out(plain: bytes, passphrase: bytes) -> None:
    assert Sealed.parse(Sealed.seal(plain, passphrase).render()).open(passphrase) == plain


@settings(max_examples=50)
@given(plain=st.binary(max_size=5000))
def test_any_content_comes_out(plain: bytes) -> None:
    assert Sealed.parse(Sealed.seal(plain, PASSPHRASE).render()).open(PASSPHRASE) == plain


def test_no_flipped_bit_is_taken_for_the_file(envelope: Sealed) -> None:
    data = envelope.render()
    for at in range(len(data)):
        changed = bytearray(data)
        changed[at] ^= 1 << at % 8
        with pytest.raises(KeyFileInvalid):
            Sealed.parse(bytes(changed))


@pytest.mark.parametrize("field", ["salt", "nonce", "first byte", "last byte of the tag", "cut tag", "added byte"])
def test_no_forged_file_opens_whatever_its_checksum(envelope: Sealed, field: str) -> None:
    salt, nonce, body = envelope.salt, envelope.nonce, envelope.body
    forged = {
        "salt": lambda: Sealed(bytes(16), nonce, body),
        "nonce": lambda: Sealed(salt, bytes(12), body),
        "first byte": lambda: Sealed(salt, nonce, bytes([body[0] ^ 1]) + body[1:]),
        "last byte of the tag": lambda: Sealed(salt, nonce, body[:-1] + bytes([body[-1] ^ 1])),
        "cut tag": lambda: Sealed(salt, nonce, body[:-1]),
        "added byte": lambda: Sealed(salt, nonce, body + b"\0"),
    }[field]()
    with pytest.raises(WrongPassphrase):
        Sealed.parse(forged.render()).open(PASSPHRASE)


def test_the_lines_of_the_head_are_authenticated(envelope: Sealed, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a later version reads from the head is what was sealed: another text there doesn't open."""
    monkeypatch.setattr(sealed, "_CIPHER", "cipher: AES-256-GCM, and more")
    with pytest.raises(WrongPassphrase):
        envelope.open(PASSPHRASE)


Change = Callable[[bytes], bytes]
HUGE = "9" * 12
REFUSED: dict[str, tuple[Change, str]] = {
    "100 GiB": (lambda data: data.replace(b"N=131072", b"N=%d" % 2**27), "another key derivation"),
    "costs of no meaning": (lambda data: data.replace(b"N=131072", HUGE.encode()), "another key derivation"),
    "many lanes": (lambda data: data.replace(b"p=1", b"p=4294967295"), "another key derivation"),
    "no cost": (lambda data: data.replace(b"N=131072", b"N=2"), "another key derivation"),
    "no cipher": (lambda data: data.replace(b"AES-256-GCM", b"none"), "another key derivation or cipher"),
    "a version from the future": (lambda data: data.replace(b"version 1", b"version 2"), "version"),
    "a version that only begins like ours": (lambda data: data.replace(b"version 1", b"version 11"), "version"),
    "salt too short": (lambda data: re.sub(rb"salt: ..", b"salt: ", data), "damaged"),
    "salt in capitals": (lambda data: re.sub(rb"salt: \S+", lambda m: m[0].upper(), data), "damaged"),
    "two heads": (lambda data: data.replace(b"nonce:", b"salt: 00\nnonce:"), "damaged"),
    "CRLF": (lambda data: data.replace(b"\n", b"\r\n"), "version"),
    "other line breaks": (lambda data: data.replace(b"\n-----END", b"\n\n-----END"), "damaged"),
    "something after the end": (lambda data: data + b"\n", "damaged"),
    "something before the start": (lambda data: b"\n" + data, "damaged"),
    "a body that is shorter than a tag": (lambda data: with_body(data, b"QUJD"), "damaged"),
    "base64 without its padding": (lambda data: with_body(data, b"QUJDR"), "damaged"),
    "no text": (lambda data: data.replace(b"salt", b"s\xe4lt"), "no text"),
    "nothing": (lambda _: b"", "damaged"),
    "a key file": (lambda _: b"trustkit key file, version 1\n", "no backup"),
    "too long": (lambda data: data + b"A" * sealed.MAX_BYTES, "longer than"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_before_any_cost(envelope: Sealed, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealed, "_derive", never)
    change, words = REFUSED[case]
    changed = change(envelope.render())
    assert changed != envelope.render()
    for data in (changed, mended(changed)):
        with pytest.raises(KeyFileInvalid, match=words):
            Sealed.parse(data)


def test_no_truncated_file_is_taken(envelope: Sealed) -> None:
    data = envelope.render()
    for length in range(len(data)):
        with pytest.raises(KeyFileInvalid):
            Sealed.parse(data[:length])


@settings(max_examples=200)
@given(st.binary(max_size=400))
def test_any_bytes_are_refused_as_no_backup(data: bytes) -> None:
    with pytest.raises(TrustkitError):
        Sealed.parse(data)
