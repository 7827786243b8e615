"""What a foreign key file asks its reader to spend on a passphrase, found out before it is spent.

PKCS#8 encrypted by PBES2 with PBKDF2 or scrypt, or by the older schemes of PKCS#5 and PKCS#12 (RFC 8018, RFC 7292).
"""

from __future__ import annotations

import base64
import binascii
import re

from trustkit.keys.der import INTEGER, NULL, OCTETS, OID, SEQUENCE, DerError, Reader

MAX_ROUNDS = 5_000_000
"""Of a hash: one to some seconds."""
MAX_MEMORY = 2**23
"""scrypt's N times r: 1 GiB."""
MAX_PASSES = 16
"""scrypt's p."""
_SCRYPT = bytes.fromhex("2b06010401da47040b")  # 1.3.6.1.4.1.11591.4.11
_SEALED = re.compile(rb"-----BEGIN ENCRYPTED PRIVATE KEY-----([A-Za-z0-9+/=\s]+)-----END ")


def is_affordable(pem: bytes) -> bool:
    """Whether a passphrase may be tried: where nothing says what that costs, and never where it can't be read."""
    found = _SEALED.search(pem)
    if found is None:
        return b"ENCRYPTED PRIVATE KEY" not in pem
    try:
        algorithm = Reader(base64.b64decode(b"".join(found[1].split()), validate=True)).inside().inside()
        return _affordable(algorithm)
    except (DerError, binascii.Error):
        return False


def _affordable(algorithm: Reader) -> bool:
    """One AlgorithmIdentifier with those in its parameters; raises DerError."""
    scrypt, numbers, affordable = algorithm.take(OID) == _SCRYPT, list[int](), True
    waiting = [algorithm]
    while waiting:
        read = waiting.pop()
        while not read.done:
            if read.next_is(INTEGER):
                numbers.append(read.number())
            elif not read.next_is(SEQUENCE):
                read.take(next((tag for tag in (OID, NULL) if read.next_is(tag)), OCTETS))
            elif (inner := read.inside()).next_is(OID):
                affordable = _affordable(inner) and affordable
            else:
                waiting.append(inner)
    if not scrypt:
        return affordable and max(numbers, default=0) <= MAX_ROUNDS
    n, r, p = [*numbers, 0, 0, 0][:3]
    return n * r <= MAX_MEMORY and p <= MAX_PASSES
