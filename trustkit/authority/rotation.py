"""New online keys: made first, used once a root names them (TRUST 3.3, 3.7).

A root is signed by its publisher's offline keys, so the service can't change its own keys alone.  It makes new ones
and keeps them aside, and goes on with the old ones; the publish whose root names the new ones takes them into use, in
its own transaction (``trustkit.authority.publish``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from securesystemslib.signer import Key

from trustkit.authority.onlinekeys import OnlineKeys
from trustkit.authority.publish import Requester, admit_publisher, closed
from trustkit.core.names import Gun
from trustkit.core.ports.service import AuditRow, CollectionRecord, Store, Transaction
from trustkit.core.roots import ONLINE
from trustkit.errors import NoCollection, NotFound, TrustkitError


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a publisher has to know of a collection beyond its metadata.

    Attributes:
        pending: by role the keys that the next root should name in the place of the current ones.
        last: by role the last versions of a collection that was reset, which a new one goes on from.
        ceilings: by role the highest version that the next file may have, after a recovery.
    """

    pending: Mapping[str, Key] = field(default_factory=dict)
    last: Mapping[str, int] = field(default_factory=dict)
    ceilings: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OnlineKey:
    """One key in use, and the id of the one that waits for its place; empty for none.

    Attributes:
        place, pending_place: where the two lie, as ``OnlineKeys.place`` says.
    """

    gun: Gun
    role: str
    key_id: str
    since: datetime
    place: str
    pending: str = ""
    pending_place: str = ""


class Rotation:
    """The use cases of publishers and operators, and of the schedule."""

    def __init__(self, store: Store, keys: OnlineKeys, *, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._keys = keys
        self._clock = clock

    async def outlook(self, gun: Gun) -> Outlook:
        """What a publisher is told with the online keys; the caller has made sure that it is one."""
        async with self._store.read() as tx:
            record = await tx.collections.get(gun)
            if record is None:
                return Outlook()
            if record.closed is not None:
                used = {role: file.version for role, file in (await tx.collections.current(gun)).items()}
                for role, version in (await tx.proposals.consumed(gun)).items():
                    used[role] = max(version, used.get(role, 0))
                return Outlook(last=used)
            return Outlook(await self._keys.pending(tx, gun), {}, await tx.upkeep.jumps(gun))

    async def stage(self, gun: Gun, roles: Iterable[str], who: Requester) -> None:
        """Makes new keys for these roles, for those that none waits for; they are used by nobody yet.

        Raises:
            NoCollection, CollectionReset: there is no root that could name them.
            RoleMissing, NameTaken, TrustDisabled: as ``Publishing.publish``.
            StateError: the keys are at a separate signer.
        """
        async with self._store.write(gun) as tx:
            record = await admit_publisher(tx, gun, who)
            if record is None:
                raise NoCollection(f"Nothing is signed under {gun}.", gun=str(gun))
            await self._stage(tx, record, roles, str(who.principal), who.source)

    async def stage_all(
        self,
        guns: Sequence[Gun] | None,
        roles: Iterable[str],
        *,
        actor: str,
        source: str,
        back: bool = False,
        spare: bool = False,
    ) -> Mapping[Gun, Mapping[str, Key]]:
        """An operator's staging.

        Args:
            guns: the collections; None for all that are open.
            back: as ``OnlineKeys.stage``.
            spare: leave keys on devices as they are, where new ones would lie in the database, instead of refusing.

        Returns:
            What was made, by collection.

        Raises:
            NotFound: no collection of this name.  Nothing was made then for any.
            CollectionReset, StateError: as ``stage``.
        """
        wanted, made = tuple(roles), {}
        async with self._store.write(guns[0] if guns and len(guns) == 1 else None) as tx:
            every = {record.gun: record for record in await tx.collections.list()}
            if strange := [gun for gun in guns or () if gun not in every]:
                raise NotFound(f"There is no collection {strange[0]}.")
            chosen = [every[gun] for gun in guns] if guns is not None else _open(every.values())
            for record in chosen:
                movable = await self._keys.movable(tx, record.gun) if spare and not back else wanted
                these = [role for role in wanted if role in movable]
                made[record.gun] = await self._stage(tx, record, these, actor, source, back=back)
        return made

    async def stage_aged(self, age: timedelta) -> Mapping[Gun, str]:
        """Stages keys in the place of those that are in use for longer than this, but for those on devices.

        Returns:
            By collection why it could not be done; one that fails keeps no other from it.
        """
        failed: dict[Gun, str] = {}
        async with self._store.read() as tx:
            aged = await tx.upkeep.aged(self._clock() - age)
            away = {gun: await self._keys.are_elsewhere(tx, gun) for gun in aged}
            due = {
                gun: roles if away[gun] else roles & await self._keys.movable(tx, gun) for gun, roles in aged.items()
            }
        for gun, roles in due.items():
            if not roles:
                continue
            try:
                await self.stage_all([gun], roles, actor="service", source="schedule")
            except TrustkitError as error:
                failed[gun] = error.message
        return failed

    async def list(self, *, opened: bool = False) -> list[OnlineKey]:
        """Every collection's keys, in order.

        Args:
            opened: with the URIs of those that are on devices.

        Raises:
            StateError: as ``OnlineKeys.place``.
        """
        found = []
        async with self._store.read() as tx:
            for record in await tx.collections.list():
                since = await tx.upkeep.online_keys_since(record.gun)
                waiting = await tx.upkeep.pending_keys(record.gun)
                for role, key in sorted((await tx.collections.online_keys(record.gun)).items()):
                    place = self._keys.place(record.gun, key, opened=opened)
                    found.append(OnlineKey(record.gun, role, key.key_id, since[role], place))
                    if role in waiting:
                        there = self._keys.place(record.gun, waiting[role], opened=opened)
                        found[-1] = replace(found[-1], pending=waiting[role].key_id, pending_place=there)
        return found

    async def _stage(
        self,
        tx: Transaction,
        record: CollectionRecord,
        roles: Iterable[str],
        actor: str,
        source: str,
        *,
        back: bool = False,
    ) -> Mapping[str, Key]:
        if record.closed is not None:
            raise closed(record)
        now, wanted = self._clock(), [role for role in ONLINE if role in set(roles)]
        made = await self._keys.stage(tx, record.gun, wanted, now, back=back)
        if made:
            detail = {role: key.keyid for role, key in made.items()}
            await tx.audit.append(AuditRow(now, actor, source, "online-keys-staged", str(record.gun), detail))
        return made


def _open(records: Iterable[CollectionRecord]) -> list[CollectionRecord]:
    return [record for record in records if record.closed is None]
