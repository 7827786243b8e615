"""PKCS#8 under PBES2 with scrypt and AES-256-CBC, written out.

``cryptography`` reads this form and can't write it: what it writes is PBKDF2 with 2,048 rounds.  The structure is
EncryptedPrivateKeyInfo of RFC 5958, section 3, with PBES2 of RFC 8018, appendix A.4, and scrypt of RFC 7914,
section 7.  The cost is OWASP's N=2^14, r=8, p=5 (16 MiB, about 0.2 s); ``openssl`` refuses to spend the memory
that N=2^17 takes.
"""

from __future__ import annotations

import os

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from cryptography.hazmat.primitives.padding import PKCS7

from trustkit.keys.der import OCTETS, OID, SEQUENCE, integer, tlv

N, R, P = 2**14, 8, 5
KEY_BYTES = 32
SALT_BYTES = 16
BLOCK = 16

_PBES2 = bytes.fromhex("2a864886f70d01050d")  # 1.2.840.113549.1.5.13
_SCRYPT = bytes.fromhex("2b06010401da47040b")  # 1.3.6.1.4.1.11591.4.11
_AES_256_CBC = bytes.fromhex("60864801650304012a")  # 2.16.840.1.101.3.4.1.42


def encrypt(private_key_info: bytes, passphrase: bytes) -> bytes:
    """Encrypts a DER PrivateKeyInfo under a fresh salt and IV.

    Args:
        private_key_info: unencrypted PKCS#8, DER.
        passphrase: not empty; used as the bytes it is.

    Returns:
        The DER of an EncryptedPrivateKeyInfo.
    """
    salt, iv = os.urandom(SALT_BYTES), os.urandom(BLOCK)
    key = Scrypt(salt=salt, length=KEY_BYTES, n=N, r=R, p=P).derive(passphrase)
    padder = PKCS7(BLOCK * 8).padder()
    padded = padder.update(private_key_info) + padder.finalize()
    encryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
    return _structure(salt, iv, encryptor.update(padded) + encryptor.finalize())


def is_ours(der: bytes) -> bool:
    """Whether these bytes are what ``encrypt`` writes: this cost, these algorithms, the one spelling.

    Held before a passphrase is tried, so that no file makes a reader spend a cost of its own choosing.
    """
    start = _content_at(der, 0)
    salt, iv = der[start + _SALT_AT :][:SALT_BYTES], der[start + _IV_AT :][:BLOCK]
    body = der[_content_at(der, start + _ALGORITHM_BYTES) :]
    return bool(body) and len(body) % BLOCK == 0 and der == _structure(salt, iv, body)


def _content_at(der: bytes, at: int) -> int:
    """Where the content of the element at this offset starts, by its length octets; past the end where it is cut."""
    long_form = der[at + 1 : at + 2] >= b"\x80"
    return at + 2 + (der[at + 1] & 0x7F if long_form else 0)


def _structure(salt: bytes, iv: bytes, ciphertext: bytes) -> bytes:
    return tlv(SEQUENCE, _algorithm(salt, iv) + tlv(OCTETS, ciphertext))


def _algorithm(salt: bytes, iv: bytes) -> bytes:
    cost = b"".join(integer(number) for number in (N, R, P, KEY_BYTES))
    scrypt = tlv(SEQUENCE, tlv(OID, _SCRYPT) + tlv(SEQUENCE, tlv(OCTETS, salt) + cost))
    cipher = tlv(SEQUENCE, tlv(OID, _AES_256_CBC) + tlv(OCTETS, iv))
    return tlv(SEQUENCE, tlv(OID, _PBES2) + tlv(SEQUENCE, scrypt + cipher))


_EMPTY = _algorithm(b"\x01" * SALT_BYTES, b"\x02" * BLOCK)
_ALGORITHM_BYTES = len(_EMPTY)
_SALT_AT = _EMPTY.index(b"\x01" * SALT_BYTES)
_IV_AT = _EMPTY.index(b"\x02" * BLOCK)
