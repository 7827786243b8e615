"""The service's snapshot and timestamp keys: one of each a collection, never shared, sealed at rest (TRUST 8.5)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from datetime import datetime
from typing import cast

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from securesystemslib.signer import CryptoSigner, Key, SSlibKey

from trustkit.authority.sealing import Sealer
from trustkit.core.names import Gun
from trustkit.core.ports.service import SealedKey, Transaction
from trustkit.core.publickeys import check_key
from trustkit.core.roots import ONLINE
from trustkit.errors import StateError

KEEP_OPEN = 4096


class OnlineKeys:
    """Makes, opens and keeps online keys.  Opened signers stay in this process's memory, the newest 4,096."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer
        self._open: OrderedDict[str, CryptoSigner] = OrderedDict()

    async def public(self, tx: Transaction, gun: Gun) -> Mapping[str, Key]:
        """The public halves by role; empty where none were made yet."""
        return {role: _public(sealed) for role, sealed in (await tx.collections.online_keys(gun)).items()}

    async def ensure(self, tx: Transaction, gun: Gun, now: datetime) -> Mapping[str, Key]:
        """The public halves by role, made and stored first where there are none; ``tx`` is a write."""
        return {role: _public(sealed) for role, sealed in (await self._made(tx, gun, now)).items()}

    async def ensure_open(self, tx: Transaction, gun: Gun, now: datetime) -> Mapping[str, CryptoSigner]:
        """The signers by role, made and stored first where there are none; ``tx`` is a write.

        Raises:
            StateError: as ``signers``.
        """
        return self._opened(gun, await self._made(tx, gun, now))

    async def signers(self, tx: Transaction, gun: Gun) -> Mapping[str, CryptoSigner]:
        """The signers by role.

        Raises:
            StateError: a key is missing, or doesn't open under this key-encryption key for this collection and role.
        """
        return self._opened(gun, await tx.collections.online_keys(gun))

    async def _made(self, tx: Transaction, gun: Gun, now: datetime) -> Mapping[str, SealedKey]:
        if there := await tx.collections.online_keys(gun):
            return there
        made = [self._make(gun, role) for role in ONLINE]
        await tx.collections.add_online_keys(gun, made, now)
        return {key.role: key for key in made}

    def _opened(self, gun: Gun, sealed: Mapping[str, SealedKey]) -> Mapping[str, CryptoSigner]:
        if set(sealed) != set(ONLINE):
            raise StateError(f"The online keys of {gun} are incomplete.")
        return {role: self._signer(gun, key) for role, key in sealed.items()}

    def _make(self, gun: Gun, role: str) -> SealedKey:
        private = Ed25519PrivateKey.generate()
        signer = CryptoSigner(private)
        key = signer.public_key
        raw = private.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
        sealed = self._sealer.seal(raw, _context(gun, role, key.keyid))
        return SealedKey(role, key.keyid, key.to_dict(), sealed)

    def _signer(self, gun: Gun, sealed: SealedKey) -> CryptoSigner:
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


def _context(gun: Gun, role: str, key_id: str) -> bytes:
    return f"online-key\n{gun}\n{role}\n{key_id}".encode("ascii")


def _public(sealed: SealedKey) -> Key:
    key = SSlibKey.from_dict(sealed.key_id, dict(sealed.public))
    check_key(key)
    return cast("Key", key)
