"""Online keys on our own disk: Ed25519, each sealed for one collection and one role (TRUST 8.5)."""

from __future__ import annotations

from collections import OrderedDict
from typing import cast

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from securesystemslib.signer import CryptoSigner, Key, Signer, SSlibKey

from trustkit.authority.sealing import Sealer
from trustkit.core.names import Gun
from trustkit.core.ports.service import SealedKey
from trustkit.core.publickeys import check_key
from trustkit.errors import StateError

KEEP_OPEN = 4096


class SealedKeys:
    """Makes and opens sealed keys.  Opened signers stay in this process's memory, the newest 4,096."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer
        self._open: OrderedDict[str, Signer] = OrderedDict()

    def make(self, gun: Gun, role: str) -> SealedKey:
        """A new key for this collection and role."""
        private = Ed25519PrivateKey.generate()
        key = CryptoSigner(private).public_key
        raw = private.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
        sealed = self._sealer.seal(raw, _context(gun, role, key.keyid))
        return SealedKey(role, key.keyid, key.to_dict(), sealed)

    def signer(self, gun: Gun, sealed: SealedKey) -> Signer:
        """Opens a key.

        Raises:
            StateError: it doesn't open under this key-encryption key for this collection and role.
        """
        if sealed.key_id in self._open:
            self._open.move_to_end(sealed.key_id)
            return self._open[sealed.key_id]
        raw = self._sealer.open(sealed.sealed, _context(gun, sealed.role, sealed.key_id))
        signer = CryptoSigner(Ed25519PrivateKey.from_private_bytes(raw))
        if signer.public_key.keyid != sealed.key_id:
            raise StateError(f"The stored {sealed.role} key of {gun} is not the one that it is filed as.")
        self._open[sealed.key_id] = signer
        while len(self._open) > KEEP_OPEN:
            self._open.popitem(last=False)
        return signer


def public_half(sealed: SealedKey) -> Key:
    """The public half, with its id recomputed; raises KeyUnsupported (TRUST 2.1)."""
    key = SSlibKey.from_dict(sealed.key_id, dict(sealed.public))
    check_key(key)
    return cast("Key", key)


def _context(gun: Gun, role: str, key_id: str) -> bytes:
    return f"online-key\n{gun}\n{role}\n{key_id}".encode("ascii")
