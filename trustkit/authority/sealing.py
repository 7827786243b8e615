"""Sealing: private keys at rest, encrypted and bound to what they are for (TRUST 8.5)."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from contextlib import suppress

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from trustkit.errors import StateError, TrustkitError

log = logging.getLogger("trustkit.kek")

KEK_BYTES = 32
_VERSION = b"\x01"
_NONCE_BYTES = 12


class Sealer:
    """AES-256-GCM under the key-encryption key.

    A sealed value is ``0x01``, a random 96-bit nonce, the ciphertext and its tag (NIST SP 800-38D); random nonces
    hold for far more values than a service ever seals.

    Args:
        kek: the key-encryption key, 32 bytes.
        older: what may have been sealed under, and still opens.
        again: the keys of where these came from, if they have changed since, the current one first; else none.

    Raises:
        StateError: a key of another length.
    """

    def __init__(self, kek: bytes, *older: bytes, again: Callable[[], Sequence[bytes]] | None = None) -> None:
        self._again = again
        self._keys: list[bytes] = []
        self._take((kek, *older))

    def __repr__(self) -> str:
        return "Sealer(...)"

    def seal(self, plaintext: bytes, context: bytes) -> bytes:
        """Encrypts; ``context`` says what the value is for, is not stored, and is needed to open it."""
        self._look()
        nonce = os.urandom(_NONCE_BYTES)
        return _VERSION + nonce + AESGCM(self._keys[0]).encrypt(nonce, plaintext, _VERSION + context)

    def open(self, sealed: bytes, context: bytes) -> bytes:
        """The plaintext of what ``seal`` made for the same context.

        Raises:
            StateError: made under another key or for another purpose, or changed since.
        """
        nonce, ciphertext = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
        if sealed[:1] == _VERSION and len(nonce) == _NONCE_BYTES:
            for _ in range(2):
                for key in self._keys:
                    with suppress(InvalidTag):
                        return AESGCM(key).decrypt(nonce, ciphertext, _VERSION + context)
                if not self._look():
                    break
        raise StateError(
            "A sealed private key doesn't open.",
            hint="The key-encryption key is another one than it was sealed under, or the database was changed.",
        )

    def _look(self) -> bool:
        """Takes up keys that have come; those that have gone still open, for what is in memory."""
        if self._again is None:
            return False
        try:
            found = self._again()
        except TrustkitError as error:
            log.error("the key-encryption key has changed and can't be used: %s", error)
            return False
        self._take(found)
        return bool(found)

    def _take(self, keys: Sequence[bytes]) -> None:
        if any(len(key) != KEK_BYTES for key in keys):
            raise StateError(f"The key-encryption key is not {KEK_BYTES} bytes long.")
        self._keys = [*keys, *(key for key in self._keys if key not in keys)]
