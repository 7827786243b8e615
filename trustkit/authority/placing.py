"""An operator puts the online key of one role of one collection on a device, or takes what waits away again.

The key is there already.  It waits for a root that names it, as every new online key does
(``trustkit.authority.rotation``), and comes into use in the publish of that root.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from securesystemslib.signer import Key
from tuf.api.metadata import Root, Targets

from trustkit.authority.onlinekeys import OnlineKeys
from trustkit.authority.publish import closed
from trustkit.core.formats.tuf1 import read
from trustkit.core.names import Gun
from trustkit.core.ports.places import KeyPlaces
from trustkit.core.ports.service import TUF, AuditRow, Store, StoredFile, Transaction
from trustkit.core.publickeys import check_key
from trustkit.core.roots import ONLINE
from trustkit.errors import Conflict, NotFound, StateError


@dataclass(frozen=True, slots=True)
class Placed:
    """What waits now; ``uri`` in its one spelling."""

    key: Key
    uri: str


class Placing:
    """The use cases of ``trustkit admin online-keys use`` and ``drop``.

    Args:
        actor: who does it, for the audit log.
    """

    def __init__(self, store: Store, keys: OnlineKeys, *, actor: str, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._keys = keys
        self._actor = actor
        self._clock = clock

    async def use(self, gun: Gun, role: str, uri: str, places: KeyPlaces) -> Placed:
        """Has the key at a URI wait for the next root; it has signed before anything is written.

        Raises:
            NotFound, CollectionReset: there is no root that could name it.
            StateError: the collection's keys are at a separate signer.
            Conflict: a key waits for this role; or it is another role's, another collection's, or a publisher's key.
            KeyProblem, UsageError, InvalidSetting: as ``KeyPlaces.look``.
        """
        place, public = await asyncio.to_thread(places.look, uri)
        check_key(public)
        async with self._store.write() as tx:
            await self._require_open(tx, gun)
            await _require_unused(tx, gun, role, public)
            now = self._clock()
            await self._keys.stage_place(tx, gun, role, public, place, now)
            detail = {role: public.keyid, "uri": place}
            await tx.audit.append(AuditRow(now, self._actor, "local", "online-keys-staged", str(gun), detail))
        return Placed(public, place)

    async def drop(self, gun: Gun, roles: Iterable[str]) -> Mapping[str, str]:
        """Takes the keys away that wait for these roles; those in use go on.

        Returns:
            By role the ids of the keys that waited.

        Raises:
            NotFound, CollectionReset, StateError: as ``use``.
        """
        async with self._store.write() as tx:
            await self._require_open(tx, gun)
            waiting = await tx.upkeep.pending_keys(gun)
            gone = {role: waiting[role].key_id for role in ONLINE if role in set(roles) & waiting.keys()}
            await tx.upkeep.drop_pending_keys(gun, gone)
            if gone:
                row = AuditRow(self._clock(), self._actor, "local", "online-keys-dropped", str(gun), dict(gone))
                await tx.audit.append(row)
        return gone

    async def _require_open(self, tx: Transaction, gun: Gun) -> None:
        record = await tx.collections.get(gun)
        if record is None:
            raise NotFound(f"There is no collection {gun}.", hint="Its publisher founds it with: trustkit init GUN")
        if record.closed is not None:
            raise closed(record)
        if record.format != TUF:
            raise StateError(
                f"{gun} is in format {record.format}, whose online keys lie in the service's database.",
                hint="Its publisher has new ones made: notary key rotate GUN timestamp -r",
            )
        if await self._keys.are_elsewhere(tx, gun):
            raise StateError(
                f"The online keys of {gun} are at a separate signer, which has keys of its own only.",
                hint="That signer's operator can keep them on a token: trustkit serve-signer --online-key-uri URI",
            )


async def _require_unused(tx: Transaction, gun: Gun, role: str, public: Key) -> None:
    """An online key has one role of one collection, and is nobody's key beside that (TRUST 1.3)."""
    if role in await tx.upkeep.pending_keys(gun):
        raise Conflict(
            f"A new key waits for {role} of {gun} already.",
            hint=f"Have it taken into use, or take it away: trustkit admin online-keys drop {gun} --role {role}",
        )
    holder = await tx.upkeep.online_key_of(public.keyid)
    if holder is not None:
        raise Conflict(
            f"The key {public.keyid[:16]} is an online key of {holder} already, and those are never shared.",
            hint="Make a key of its own for each role of each collection.",
            gun=str(holder),
        )
    if public.keyid in _offline(await tx.collections.current(gun)):
        raise Conflict(
            f"The key {public.keyid[:16]} is a publisher's key of {gun}: what it signs must not be for the service "
            "to sign."
        )


def _offline(files: Mapping[str, StoredFile]) -> set[str]:
    root, targets = read(files["root"].data, Root).signed, read(files["targets"].data, Targets).signed
    return set(root.keys) | set(targets.delegations.keys if targets.delegations else ())
