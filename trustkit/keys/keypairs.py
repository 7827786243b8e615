"""Key pairs: making them, reading foreign ones, and their public half as TUF has it.

The one place where what ``cryptography`` raises about a private key becomes ours.
"""

from __future__ import annotations

import enum
import re
from typing import TypeAlias, cast

from cryptography.exceptions import InternalError, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
    load_pem_private_key,
    load_pem_public_key,
)
from securesystemslib.signer import Key, SSlibKey

from trustkit.core.publickeys import RSA_BITS, check_key, key_id
from trustkit.errors import KeyFileInvalid, KeyUnsupported, WrongPassphrase
from trustkit.keys.foreigncost import is_affordable

SIGNING_KEYS = (ed25519.Ed25519PrivateKey, ec.EllipticCurvePrivateKey, rsa.RSAPrivateKey)
SigningPublicKey: TypeAlias = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey
DEFAULT_RSA_BITS = 3072
_PRIVATE = re.compile(rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----")


class Algorithm(enum.StrEnum):
    """What a new key can be; Ed25519 unless Docker must read it."""

    ED25519 = "ed25519"
    P256 = "ecdsa-p256"
    P384 = "ecdsa-p384"
    RSA = "rsa"


def generate(algorithm: Algorithm, *, rsa_bits: int = DEFAULT_RSA_BITS) -> PrivateKeyTypes:
    """A new private key.

    Args:
        rsa_bits: 2048 to 4096; only RSA looks at it.

    Raises:
        KeyUnsupported: an RSA size outside that range.
    """
    match algorithm:
        case Algorithm.ED25519:
            return ed25519.Ed25519PrivateKey.generate()
        case Algorithm.P256:
            return ec.generate_private_key(ec.SECP256R1())
        case Algorithm.P384:
            return ec.generate_private_key(ec.SECP384R1())
        case Algorithm.RSA:
            if rsa_bits not in RSA_BITS:
                raise KeyUnsupported(f"RSA keys have 2048 to 4096 bits, not {rsa_bits}.")
            return rsa.generate_private_key(public_exponent=65537, key_size=rsa_bits)


def public_half(public: PublicKeyTypes) -> Key:
    """The TUF key of a public key, its id computed from its value (TRUST 2.1).

    Raises:
        KeyUnsupported: a type or size that is not allowed (TRUST 2.2).
    """
    try:
        read = SSlibKey.from_crypto(public)
    except ValueError as error:
        raise KeyUnsupported(
            "A key of this type is not allowed.",
            hint="Use Ed25519, ECDSA P-256 or P-384, or RSA with 2048 to 4096 bits.",
        ) from error
    key = SSlibKey(key_id(read), read.keytype, read.scheme, read.keyval)
    check_key(key)
    return key


def public_pem(key: Key) -> str:
    """The PEM ``PUBLIC KEY`` (SubjectPublicKeyInfo) of a key that ``check_key`` accepts."""
    return loaded_public(key).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii")


def loaded_public(key: Key) -> SigningPublicKey:
    """The key itself of one that ``check_key`` accepts."""
    value = str(key.keyval["public"])
    if key.keytype == "ed25519":
        return ed25519.Ed25519PublicKey.from_public_bytes(bytes.fromhex(value))
    return cast("SigningPublicKey", load_pem_public_key(value.encode("ascii")))


def read_public_pem(pem: str) -> Key:
    """The key of a PEM ``PUBLIC KEY``.

    Raises:
        KeyFileInvalid: it can't be read; KeyUnsupported.
    """
    try:
        public = load_pem_public_key(pem.encode("ascii"))
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyFileInvalid("The public key can't be read.") from error
    return public_half(public)


def private_der(private: PrivateKeyTypes) -> bytes:
    """Unencrypted PKCS#8, DER: what gets encrypted, and never written as it is."""
    return private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def open_der(sealed: bytes, passphrase: bytes) -> PrivateKeyTypes:
    """Decrypts what ``pbes2.encrypt`` wrote.

    Raises:
        WrongPassphrase: also for damage inside the ciphertext, which nothing tells from a wrong passphrase.
        KeyFileInvalid: this machine can't spend the 16 MiB that opening takes.
    """
    try:
        return load_der_private_key(sealed, passphrase)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise WrongPassphrase("The passphrase doesn't open the key.") from error
    except (InternalError, MemoryError) as error:
        raise KeyFileInvalid("It can't be opened on this machine: too little memory is free.") from error


def is_encrypted(pem: bytes) -> bool:
    """Whether a PEM private key says that it is encrypted, as PKCS#8 or in OpenSSL's traditional form."""
    return b"-----BEGIN ENCRYPTED PRIVATE KEY-----" in pem or b"Proc-Type: 4,ENCRYPTED" in pem


def read_foreign(pem: bytes, passphrase: bytes | None) -> PrivateKeyTypes:
    """Reads another tool's private key: PKCS#8, SEC1 or PKCS#1 in PEM.

    Args:
        passphrase: what opens it; None where ``is_encrypted`` says that it needs none.

    Raises:
        KeyFileInvalid: not one private key, damaged, or a passphrase would cost more than a file may say.
        WrongPassphrase: encrypted, and this doesn't open it.
        KeyUnsupported: a type or size that is not allowed (TRUST 2.2).
    """
    if (blocks := len(_PRIVATE.findall(pem))) > 1:
        raise KeyFileInvalid(f"It holds {blocks} private keys.", hint="Split it, a file for each.")
    if passphrase is not None and not is_affordable(pem):
        raise KeyFileInvalid(
            "To try a passphrase on it costs more than a key file may, or its encryption can't be read.",
            hint="Encrypt it anew: openssl pkcs8 -topk8 -in FILE -out NEW",
        )
    try:
        private = load_pem_private_key(pem, passphrase)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        if passphrase is not None:
            raise WrongPassphrase("The passphrase doesn't open the key.") from error
        raise KeyFileInvalid("It holds no private key in PEM that can be read.") from error
    except (InternalError, MemoryError) as error:  # a key derivation of no meaning, or beyond this machine's memory
        raise KeyFileInvalid("Its encryption can't be tried on this machine.") from error
    if not isinstance(private, SIGNING_KEYS):
        raise KeyUnsupported("A key of this type is not allowed.", hint="Use Ed25519, ECDSA or RSA.")
    public_half(private.public_key())
    return private
