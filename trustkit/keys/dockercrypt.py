"""How Notary encrypts a private key and spells what is inside (tuf/utils/pkcs8.go and x509.go of notary 0.7).

Now: PKCS#8 under PBES2 with PBKDF2 over HMAC-SHA1 and AES-256-CBC.  ``cryptography`` reads the encryption, but not
the inside: elliptic keys of version 1 without a public member, and Ed25519 under an identifier of its own.  What it
writes, over HMAC-SHA256, Notary can't read.  Before version 0.6: OpenSSL's traditional form, whose key is MD5 over
passphrase and IV.  Nothing in either form tells a wrong passphrase from damage.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from dataclasses import dataclass, field

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)

from trustkit.errors import KeyFileInvalid, KeyUnsupported, WrongPassphrase
from trustkit.keys.der import NULL, OCTETS, OID, SEQUENCE, DerError, Reader, integer, tlv

ROUNDS = 600_000
"""Of PBKDF2 in what is written here; Notary writes 2,048 and reads any number."""
MAX_ROUNDS = 2_000_000
"""What a file may make a reader spend: one to three seconds."""
SALT_BYTES = 16
BLOCK = 16
KEY_BYTES = 32

_PBES2 = bytes.fromhex("2a864886f70d01050d")  # 1.2.840.113549.1.5.13
_PBKDF2 = bytes.fromhex("2a864886f70d01050c")  # 1.2.840.113549.1.5.12
_HMAC_SHA1 = bytes.fromhex("2a864886f70d0207")  # 1.2.840.113549.2.7
_AES_256_CBC = bytes.fromhex("60864801650304012a")  # 2.16.840.1.101.3.4.1.42
_RSA = bytes.fromhex("2a864886f70d010101")  # 1.2.840.113549.1.1.1
_NOTARY_ED25519 = bytes.fromhex("2b06010401da470f01")  # 1.3.6.1.4.1.11591.15.1
_ED25519_BYTES = 96
_WRONG = "The passphrase doesn't open the key."


@dataclass(frozen=True, slots=True)
class Sealed:
    """An EncryptedPrivateKeyInfo, taken apart and within bounds: no more than ``MAX_ROUNDS``."""

    salt: bytes
    rounds: int
    iv: bytes
    body: bytes = field(repr=False)

    @classmethod
    def read(cls, der: bytes) -> Sealed:
        """Reads the structure; nothing is derived.

        Raises:
            KeyFileInvalid: no such structure, other algorithms, or a cost beyond the bounds.
        """
        try:
            made = cls._read(der)
        except DerError as error:
            raise KeyFileInvalid(
                "Its encryption is damaged, or not what Notary writes: PBES2 with PBKDF2 over HMAC-SHA1, AES-256-CBC."
            ) from error
        if not 1 <= made.rounds <= MAX_ROUNDS:
            raise KeyFileInvalid(
                f"Its passphrase goes through {made.rounds} rounds; 1 to {MAX_ROUNDS} are tried.",
                hint="No tool of Docker's wrote it. Don't use it: restore it from a backup.",
            )
        return made

    @classmethod
    def _read(cls, der: bytes) -> Sealed:
        outer = Reader(der)
        top = outer.inside()
        outer.end()
        scheme = top.inside()
        _expect(scheme.take(OID), _PBES2)
        parameters = scheme.inside()
        derivation, cipher = parameters.inside(), parameters.inside()
        _expect(derivation.take(OID), _PBKDF2)
        cost = derivation.inside()
        salt, rounds = cost.take(OCTETS), cost.number()
        if not cost.done and not cost.next_is(SEQUENCE) and cost.number() != KEY_BYTES:
            raise DerError("another length of key")
        if not cost.done:
            prf = cost.inside()
            _expect(prf.take(OID), _HMAC_SHA1)
        _expect(cipher.take(OID), _AES_256_CBC)
        iv, body = cipher.take(OCTETS), top.take(OCTETS)
        for read in (top, scheme, parameters, derivation, cost, cipher):
            read.end()
        if not 1 <= len(salt) <= 64 or len(iv) != BLOCK or not body or len(body) % BLOCK:
            raise DerError("a salt, an IV or a text of another size")
        return cls(salt, rounds, iv, body)

    def open(self, passphrase: bytes) -> PrivateKeyTypes:
        """The key; raises WrongPassphrase, KeyFileInvalid, KeyUnsupported."""
        key = hashlib.pbkdf2_hmac("sha1", passphrase, self.salt, self.rounds, KEY_BYTES)
        return inside(_decrypted(key, self.iv, self.body))


def seal(private: PrivateKeyTypes, passphrase: bytes, *, rounds: int = ROUNDS) -> bytes:
    """Encrypts a key as Notary reads it, under a fresh salt and IV; the DER of an EncryptedPrivateKeyInfo."""
    salt, iv = os.urandom(SALT_BYTES), os.urandom(BLOCK)
    key = hashlib.pbkdf2_hmac("sha1", passphrase, salt, rounds, KEY_BYTES)
    padder = PKCS7(BLOCK * 8).padder()
    padded = padder.update(spelt(private)) + padder.finalize()
    encryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
    cost = tlv(SEQUENCE, tlv(OCTETS, salt) + integer(rounds))
    derivation = tlv(SEQUENCE, tlv(OID, _PBKDF2) + cost)
    cipher = tlv(SEQUENCE, tlv(OID, _AES_256_CBC) + tlv(OCTETS, iv))
    scheme = tlv(SEQUENCE, tlv(OID, _PBES2) + tlv(SEQUENCE, derivation + cipher))
    return tlv(SEQUENCE, scheme + tlv(OCTETS, encryptor.update(padded) + encryptor.finalize()))


def spelt(private: PrivateKeyTypes) -> bytes:
    """PrivateKeyInfo as Notary reads it: RSA without the NULL, Ed25519 under Notary's own identifier."""
    if isinstance(private, ed25519.Ed25519PrivateKey):
        raw = private.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
        public = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        return tlv(
            SEQUENCE, integer(0) + tlv(SEQUENCE, tlv(OID, _NOTARY_ED25519)) + tlv(OCTETS, public + raw + public)
        )
    read = Reader(private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())).inside()
    read.number()
    algorithm = read.take(SEQUENCE)
    if Reader(algorithm).take(OID) == _RSA:
        algorithm = tlv(OID, _RSA)
    return tlv(SEQUENCE, integer(0) + tlv(SEQUENCE, algorithm) + tlv(OCTETS, read.take(OCTETS)))


def inside(der: bytes) -> PrivateKeyTypes:
    """The key of a PrivateKeyInfo, as Notary and everybody else spell it.

    Raises:
        WrongPassphrase: it is none, which is all that a wrong passphrase shows.
        KeyFileInvalid: an Ed25519 key whose halves don't belong together.
        KeyUnsupported: a kind of key that is not known here.
    """
    try:
        read = Reader(der).inside()
        read.number()
        algorithm, octets = read.take(SEQUENCE), read.take(OCTETS)
        kind = Reader(algorithm)
        oid = kind.take(OID)
        if kind.next_is(NULL):
            kind.take(NULL)
    except DerError as error:
        raise WrongPassphrase(_WRONG) from error
    if oid == _NOTARY_ED25519:
        return ed25519_of(octets)
    plain = tlv(SEQUENCE, integer(0) + tlv(SEQUENCE, algorithm) + tlv(OCTETS, octets))
    return _loaded(plain)


def ed25519_of(octets: bytes) -> PrivateKeyTypes:
    """The key of Notary's 96 bytes: the public half, the seed, and the public half again; raises KeyFileInvalid."""
    if len(octets) != _ED25519_BYTES:
        raise KeyFileInvalid(f"An Ed25519 key of Notary's has {_ED25519_BYTES} bytes, and it has {len(octets)}.")
    private = ed25519.Ed25519PrivateKey.from_private_bytes(octets[32:64])
    public = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    if not hmac.compare_digest(octets[:32] + octets[64:], public * 2):
        raise KeyFileInvalid(
            "The private key in it belongs to another public key.", hint="Don't use it: restore it from a backup."
        )
    return private


def open_traditional(label: str, iv: bytes | None, body: bytes, passphrase: bytes) -> PrivateKeyTypes:
    """The key of a traditional file.

    Args:
        label: ``EC``, ``RSA`` or ``ED25519``.
        iv: of AES-256-CBC; None for one that isn't encrypted.

    Raises:
        WrongPassphrase, KeyFileInvalid, KeyUnsupported.
    """
    der = body if iv is None else _decrypted(_md5_key(passphrase, iv[:8]), iv, body)
    if label != "ED25519":
        return _loaded(der)
    if iv is not None and len(der) != _ED25519_BYTES:
        raise WrongPassphrase(_WRONG)
    return ed25519_of(der)


def _md5_key(passphrase: bytes, salt: bytes) -> bytes:
    """OpenSSL's EVP_BytesToKey with MD5 and one round: what the form says, and why it isn't written any more."""
    first = hashlib.md5(passphrase + salt, usedforsecurity=False).digest()
    return first + hashlib.md5(first + passphrase + salt, usedforsecurity=False).digest()


def _decrypted(key: bytes, iv: bytes, body: bytes) -> bytes:
    decryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).decryptor()
    unpadder = PKCS7(BLOCK * 8).unpadder()
    try:
        padded = decryptor.update(body) + decryptor.finalize()
        return unpadder.update(padded) + unpadder.finalize()
    except ValueError as error:
        raise WrongPassphrase(_WRONG) from error


def _loaded(der: bytes) -> PrivateKeyTypes:
    try:
        return load_der_private_key(der, None)
    except UnsupportedAlgorithm as error:
        raise KeyUnsupported(
            "A key of this type is not allowed.", hint="Use Ed25519, ECDSA P-256 or P-384, or RSA."
        ) from error
    except (ValueError, TypeError) as error:
        raise WrongPassphrase(_WRONG) from error


def _expect(found: bytes, wanted: bytes) -> None:
    if found != wanted:
        raise DerError("another algorithm")
