"""The service's snapshot and timestamp keys: one of each a collection, never shared (TRUST 8.5).

They lie sealed in the service's database or, where the operator wants the split, at a separate signer, of whose keys
the database has the public halves only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from securesystemslib.signer import Key, Signer

from trustkit.authority.judgedsigner import JudgedSigner as JudgedSigner
from trustkit.authority.notary_keys import is_docker
from trustkit.authority.sealedkeys import DeviceSigner, SealedKeys, on_device, public_half
from trustkit.authority.sealing import Sealer
from trustkit.core.bounded import Bounded
from trustkit.core.names import Gun
from trustkit.core.ports.forging import KeyForge
from trustkit.core.ports.places import KeyPlaces
from trustkit.core.ports.service import SealedKey, Transaction
from trustkit.core.ports.signing import SeparateSigner
from trustkit.core.roots import ONLINE
from trustkit.errors import ConsentMissing, StateError

ELSEWHERE = b""
"""What stands for the private half of a key that a separate signer holds."""
KEEP_USED = 1024
"""Collections whose separate signer has signed ahead, as far as that is remembered; else it says so again."""


class OnlineKeys:
    """Makes, opens and keeps online keys.

    Args:
        separate: makes and holds the keys of new collections.  Collections whose keys lie here keep them here.
        forge: the device on which new keys are made, where they lie here.
        places: reaches the devices that keys are on, that of ``forge`` included.
    """

    def __init__(
        self,
        sealer: Sealer,
        separate: SeparateSigner | None = None,
        forge: KeyForge | None = None,
        places: KeyPlaces | None = None,
    ) -> None:
        self._sealed = SealedKeys(sealer, forge, places)
        self._separate = separate
        self._used: Bounded[Gun, Mapping[str, int]] = Bounded(KEEP_USED)

    async def public(self, tx: Transaction, gun: Gun) -> Mapping[str, Key]:
        """The public halves by role; empty where none were made yet."""
        return {role: public_half(sealed) for role, sealed in (await tx.collections.online_keys(gun)).items()}

    async def ensure(self, tx: Transaction, gun: Gun, now: datetime) -> Mapping[str, Key]:
        """The public halves by role, made and stored first where there are none; ``tx`` is a write.

        Raises:
            ServerFailed, StateError: the separate signer can't be reached, or refuses.
        """
        return {role: public_half(sealed) for role, sealed in (await self._made(tx, gun, now)).items()}

    async def ensure_open(self, tx: Transaction, gun: Gun, now: datetime) -> Mapping[str, Signer]:
        """The signers by role, made and stored first where there are none; ``tx`` is a write.

        Raises:
            ServerFailed, StateError: as ``ensure`` and ``signers``.
        """
        return self.opened(gun, await self._made(tx, gun, now))

    async def signers(self, tx: Transaction, gun: Gun) -> Mapping[str, Signer]:
        """The signers by role.

        Raises:
            StateError: a key is missing, doesn't open under this key-encryption key for this collection and role, or
                is at a separate signer and this service has none.
        """
        return self.opened(gun, await tx.collections.online_keys(gun))

    async def pending(self, tx: Transaction, gun: Gun) -> Mapping[str, Key]:
        """The public halves of the keys that wait for a root to name them, by role."""
        return {role: public_half(sealed) for role, sealed in (await tx.upkeep.pending_keys(gun)).items()}

    async def pending_signers(self, tx: Transaction, gun: Gun) -> Mapping[str, Signer]:
        """The signers of ``pending``; raises StateError as ``signers``."""
        return {role: self._signer(gun, sealed) for role, sealed in (await tx.upkeep.pending_keys(gun)).items()}

    async def stage(
        self, tx: Transaction, gun: Gun, roles: Iterable[str], now: datetime, *, back: bool = False
    ) -> Mapping[str, Key]:
        """Makes a new key for each of these roles that none waits for, used by nobody yet; ``tx`` is a write.

        Args:
            back: a new key may lie in the database although the one before it is on a device.

        Returns:
            What was made; empty where keys wait for all of these roles already.

        Raises:
            ServerFailed, StateError: the keys are at a separate signer, which can't be reached, or refuses, or which
                isn't this process's.
            ConsentMissing: the new keys would come back from a device.
        """
        there = await tx.upkeep.pending_keys(gun)
        wanted = [role for role in ONLINE if role in set(roles) and role not in there]
        if wanted and (separate := await self._elsewhere(tx, gun)):
            waiting = await asyncio.to_thread(separate.stage, gun, wanted)
            made = [_remote(role, waiting[role]) for role in wanted if role in waiting]
        else:
            if not back and (kept := set(wanted) - await self.movable(tx, gun)):
                raise _on_a_device(gun, sorted(kept))
            docker = any(map(is_docker, (await tx.collections.online_keys(gun)).values()))
            made = await self._make(gun, wanted, docker=docker)
        await tx.upkeep.add_pending_keys(gun, made, now)
        return {key.role: public_half(key) for key in made}

    async def movable(self, tx: Transaction, gun: Gun) -> frozenset[str]:
        """The roles whose key can have a new one in its place that is kept no worse."""
        there = await tx.collections.online_keys(gun)
        kept = [] if self._sealed.slow else [role for role, key in there.items() if on_device(key)]
        return frozenset(ONLINE) - set(kept)

    async def stage_place(self, tx: Transaction, gun: Gun, role: str, key: Key, place: str, now: datetime) -> None:
        """Has the key at this place wait for a root that names it; raises Conflict where one waits for the role."""
        await tx.upkeep.add_pending_keys(gun, [self._sealed.at(gun, role, key, place)], now)

    async def adopt(self, tx: Transaction, gun: Gun, roles: Iterable[str], now: datetime) -> None:
        """Takes the keys that waited for these roles into use; the ones before are gone with this transaction."""
        pending = await tx.upkeep.pending_keys(gun)
        keys = [pending[role] for role in roles]
        await tx.upkeep.drop_pending_keys(gun, [key.role for key in keys])
        await tx.upkeep.replace_online_keys(gun, keys, now)

    async def replace(self, tx: Transaction, gun: Gun, now: datetime) -> Mapping[str, Key]:
        """New keys in the place of all that there are, for a collection that begins anew; ``tx`` is a write.

        They lie where the service makes keys: it has no other device at hand, and those before may be lost.

        Raises:
            ServerFailed, StateError: as ``stage``.
        """
        if separate := await self._elsewhere(tx, gun):
            keys = await asyncio.to_thread(separate.replace, gun)
            made = [_remote(role, key) for role, key in keys.items()]
        else:
            docker = any(map(is_docker, (await tx.collections.online_keys(gun)).values()))
            made = await self._make(gun, ONLINE, docker=docker)
        await tx.upkeep.drop_pending_keys(gun, ONLINE)
        await tx.upkeep.replace_online_keys(gun, made, now)
        return {key.role: public_half(key) for key in made}

    async def follow(self, tx: Transaction, gun: Gun, keys: Mapping[str, Key], now: datetime) -> None:
        """Takes these keys of a separate signer for those in use, where a root was taken from there."""
        there = await tx.collections.online_keys(gun)
        other = [_remote(role, key) for role, key in keys.items() if there[role].key_id != key.keyid]
        await tx.upkeep.drop_pending_keys(gun, [key.role for key in other])
        await tx.upkeep.replace_online_keys(gun, other, now)

    async def _elsewhere(self, tx: Transaction, gun: Gun) -> SeparateSigner | None:
        """The separate signer, where the keys of this collection are there; None where they lie here."""
        if not await self.are_elsewhere(tx, gun):
            return None
        if self._separate is None:
            raise _without_signer(gun)
        return self._separate

    async def are_elsewhere(self, tx: Transaction, gun: Gun) -> bool:
        """Whether the private online keys of this collection are at a separate signer."""
        return any(key.sealed == ELSEWHERE for key in (await tx.collections.online_keys(gun)).values())

    async def ensure_docker(self, tx: Transaction, gun: Gun, now: datetime) -> None:
        """Keys for a collection in format ``docker`` that begins, unless they were made already; ``tx`` is a write.

        Those that were made for a collection in format ``tuf`` under this name, which nobody founded or an Owner
        closed, are gone then.

        Raises:
            StateError: keys are made at a separate signer or on a device, which can't be such keys.
        """
        there = await tx.collections.online_keys(gun)
        if set(there) == set(ONLINE) and all(map(is_docker, there.values())):
            return
        if self._separate is not None or self._sealed.slow:
            raise StateError(
                "This service makes its online keys at a separate signer or on a token, and those can't sign for a "
                "collection in format docker.",
                hint=f"Sign {gun} with trustkit, in format tuf.",
            )
        await tx.upkeep.drop_pending_keys(gun, ONLINE)
        await tx.upkeep.replace_online_keys(gun, await self._make(gun, ONLINE, docker=True), now)

    async def remake_docker(self, tx: Transaction, gun: Gun, role: str, now: datetime) -> None:
        """A new key of format ``docker`` in the place of one that no root names any more."""
        await tx.upkeep.drop_pending_keys(gun, [role])
        await tx.upkeep.replace_online_keys(gun, await self._make(gun, [role], docker=True), now)

    def place(self, gun: Gun, key: SealedKey, *, opened: bool) -> str:
        """Where a key lies: ``database``, ``signer`` or ``device``; with ``opened`` the URI of what is on a device.

        Raises:
            StateError: the URI doesn't open under this key-encryption key.
        """
        if not on_device(key):
            return "signer" if key.sealed == ELSEWHERE else "database"
        return self._sealed.place(gun, key) if opened else "device"

    async def on_devices(self, tx: Transaction, gun: Gun) -> list[SealedKey]:
        """Those keys that are on a device, as they are stored; raises StateError where a row can't be read."""
        return [key for key in (await tx.collections.online_keys(gun)).values() if on_device(key)]

    def on_device(self, gun: Gun, sealed: SealedKey) -> Signer:
        """The signer of a key that is on a device; raises StateError, KeyUnsupported where it doesn't open."""
        return self._sealed.signer(gun, sealed)

    async def here(self, tx: Transaction) -> list[Gun]:
        """The collections whose private online keys lie in this database."""
        records = await tx.collections.list()
        keys = {record.gun: await tx.collections.online_keys(record.gun) for record in records}
        return [gun for gun, sealed in keys.items() if any(key.sealed != ELSEWHERE for key in sealed.values())]

    def note_used(self, gun: Gun, versions: Mapping[str, int]) -> None:
        """Remembers which versions a separate signer has used up; an empty mapping forgets."""
        if versions:
            self._used.keep(gun, versions)
        else:
            self._used.drop(gun)

    async def _made(self, tx: Transaction, gun: Gun, now: datetime) -> Mapping[str, SealedKey]:
        there = await tx.collections.online_keys(gun)
        if there and not any(map(is_docker, there.values())):
            return there
        if self._separate is None:
            made = await self._make(gun, ONLINE)
        else:
            keys = await asyncio.to_thread(self._separate.make, gun)
            made = [_remote(role, key) for role, key in keys.items()]
        await tx.upkeep.drop_pending_keys(gun, list(there))
        await tx.upkeep.replace_online_keys(gun, made, now)
        return {key.role: key for key in made}

    async def fresh(self, gun: Gun) -> list[SealedKey]:
        """Keys for a collection that is converted, stored nowhere yet; as its keys lie here, they do.

        Raises:
            ServerFailed: the device that they are made on can't be used.
        """
        return await self._make(gun, ONLINE)

    async def _make(self, gun: Gun, roles: Iterable[str], *, docker: bool = False) -> list[SealedKey]:
        if docker or not self._sealed.slow:
            return [self._sealed.make(gun, role, docker=docker) for role in roles]
        return [await asyncio.to_thread(self._sealed.make, gun, role) for role in roles]

    def opened(self, gun: Gun, sealed: Mapping[str, SealedKey]) -> Mapping[str, Signer]:
        """The signers of stored keys, by role; raises StateError as ``signers``."""
        if set(sealed) != set(ONLINE):
            raise StateError(f"The online keys of {gun} are incomplete.")
        return {role: self._signer(gun, key) for role, key in sealed.items()}

    def _signer(self, gun: Gun, sealed: SealedKey) -> Signer:
        if sealed.sealed != ELSEWHERE:
            return self._sealed.signer(gun, sealed)
        if self._separate is None:
            raise _without_signer(gun)
        used = (self._used.get(gun) or {}).get(sealed.role, 0)
        return JudgedSigner(self._separate, gun, sealed.role, public_half(sealed), used=used)


def _remote(role: str, key: Key) -> SealedKey:
    return SealedKey(role, key.keyid, key.to_dict(), ELSEWHERE)


def _without_signer(gun: Gun) -> StateError:
    return StateError(
        f"The online keys of {gun} are at a separate signer, and this service was started without --signer.",
        hint="Start trustkit serve with the --signer options.",
    )


def _on_a_device(gun: Gun, roles: Sequence[str]) -> ConsentMissing:
    which = f"{' and '.join(roles)} {'key' if len(roles) == 1 else 'keys'}"
    return ConsentMissing(
        f"The {which} of {gun} would come from a token or a key service back into the service's database, and only "
        "its operator may move them there.",
        hint="Operators: online-keys use names the next key, --online-key-uri makes it on a token, and online-keys "
        "rotate --to-database goes back.",
    )


def slow(signers: Mapping[str, Signer]) -> bool:
    """Whether signing with these may wait for a network: then it is for a thread, whatever the size."""
    return any(isinstance(signer, JudgedSigner | DeviceSigner) for signer in signers.values())
