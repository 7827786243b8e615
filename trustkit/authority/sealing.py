"""Sealing: private keys at rest, encrypted and bound to what they are for (TRUST 8.5)."""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from trustkit.errors import StateError

KEK_BYTES = 32
_VERSION = b"\x01"
_NONCE_BYTES = 12


class Sealer:
    """AES-256-GCM under the key-encryption key.

    A sealed value is ``0x01``, a random 96-bit nonce, the ciphertext and its tag (NIST SP 800-38D); random nonces
    hold for far more values than a service ever seals.

    Args:
        kek: the key-encryption key, 32 bytes.

    Raises:
        StateError: a key of another length.
    """

    def __init__(self, kek: bytes) -> None:
        if len(kek) != KEK_BYTES:
            raise StateError(f"The key-encryption key is not {KEK_BYTES} bytes long.")
        self._cipher = AESGCM(kek)

    def __repr__(self) -> str:
        return "Sealer(...)"

    def seal(self, plaintext: bytes, context: bytes) -> bytes:
        """Encrypts; ``context`` says what the value is for, is not stored, and is needed to open it."""
        nonce = os.urandom(_NONCE_BYTES)
        return _VERSION + nonce + self._cipher.encrypt(nonce, plaintext, _VERSION + context)

    def open(self, sealed: bytes, context: bytes) -> bytes:
        """The plaintext of what ``seal`` made for the same context.

        Raises:
            StateError: made under another key or for another purpose, or changed since.
        """
        nonce, ciphertext = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
        try:
            if sealed[:1] != _VERSION or len(nonce) != _NONCE_BYTES:
                raise InvalidTag
            return self._cipher.decrypt(nonce, ciphertext, _VERSION + context)
        except InvalidTag as error:
            raise StateError(
                "A sealed private key doesn't open.",
                hint="The key-encryption key is another one than it was sealed under, or the database was changed.",
            ) from error
