"""What else Notary's API does to a collection: the service's keys, its end, the changefeed."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from datetime import datetime

from tuf.api.metadata import Root

from trustkit.authority.former import frozen_file, require_unconverted
from trustkit.authority.freshness import Freshness
from trustkit.authority.notary_publish import admit_to_notary, require_docker
from trustkit.authority.notary_resign import named_by
from trustkit.authority.onlinekeys import OnlineKeys
from trustkit.authority.publish import Requester
from trustkit.authority.reads import Found, Reads, Served
from trustkit.authority.reset import Resetting
from trustkit.authority.settings import require_notary_api
from trustkit.core.formats.docker.files import read
from trustkit.core.formats.docker.keys import DockerKey, key_of
from trustkit.core.names import Digest, Gun
from trustkit.core.ports.changefeed import Change
from trustkit.core.ports.service import AuditRow, CollectionRecord, Store, StoredFile, Transaction
from trustkit.errors import Conflict, NoCollection, NotFound

MOST_CHANGES = 1000
"""Entries of the changefeed in one answer."""

_USUAL_CHANGES = 100


class Notary:
    """The use cases but for publishing.

    Args:
        resetting: ends collections.
        reads: keeps what is read of them; None keeps nothing.
    """

    def __init__(
        self,
        store: Store,
        keys: OnlineKeys,
        resetting: Resetting,
        *,
        clock: Callable[[], datetime],
        reads: Reads | None = None,
    ) -> None:
        self._store = store
        self._reads = reads or Reads(store, Freshness(clock=clock), clock=clock, limit=0)
        self._keys = keys
        self._resetting = resetting
        self._clock = clock

    async def file(self, gun: Gun, role: str, version: int | None, digest: str) -> Served:
        """One file of a collection: the current one, that of a version, or that with a hash.

        Raises:
            NoCollection, NotFound: there is none.
            WrongFormat: the collection is in format ``tuf``.
            TrustDisabled: content trust is off, or Notary's API.
        """

        async def find(tx: Transaction, before: Found | None) -> Found:
            await require_notary_api(tx)
            if former := await tx.former.get(gun):
                now = self._clock()
                file = await frozen_file(tx, former, role, version, digest, now)
                return Found(file, until=None if former.over(now) else former.until, frozen=True)
            record = await tx.collections.get(gun)
            require_docker(record)
            if record is None or record.closed is not None:
                raise NoCollection(f"Nothing is signed under {gun}.", gun=str(gun))
            if before is not None and before.generation == record.generation:
                return before
            return Found(await self._open_file(tx, gun, role, version, digest), record.generation)

        return await self._reads.get(notary_key(gun, role, version, digest), gun, find)

    def served(self, gun: Gun, generation: int, files: Iterable[StoredFile]) -> None:
        """Keeps what a publish has just made current, under what its readers will ask for: see ``Reads.keep``."""
        self._reads.keep(gun, generation, files, lambda file, digest: notary_key(gun, file.role, digest=digest))

    async def _open_file(self, tx: Transaction, gun: Gun, role: str, version: int | None, digest: str) -> StoredFile:
        if len(digest) == 64:
            found = await tx.collections.file_by_digest(gun, role, Digest.from_hex(digest))
        elif digest:
            found = None  # SHA-384 and SHA-512 have routes, and nobody stores by them
        elif version is not None:
            found = await tx.collections.file(gun, role, version)
        else:
            found = await self._current(tx, gun, role)
        if found is None:
            raise NotFound(f"{gun} has no such {role}.")
        return found

    async def _current(self, tx: Transaction, gun: Gun, role: str) -> StoredFile | None:
        """A delegation that the snapshot doesn't name any more has no current file."""
        found = await tx.collections.newest(gun, role)
        if found is None or "/" not in role:
            return found
        snapshot = await tx.collections.newest(gun, "snapshot")
        return found if snapshot and role in named_by(snapshot.data) else None

    async def key(self, gun: Gun, role: str, who: Requester) -> DockerKey:
        """The service's public key of a role, made where there is none yet; the same one until a root names another.

        Raises:
            RoleMissing, NameTaken, WrongFormat, TrustDisabled: as ``NotaryPublishing.publish``.
            StateError: a new collection, where the service's online keys can't be of this format.
        """
        async with self._store.read() as tx:
            record = await admit_to_notary(tx, gun, who, self._clock())
            there = await self._keys.public(tx, gun)
            if role in there and (_is_open(record) or all(isinstance(key, DockerKey) for key in there.values())):
                return key_of(there[role])
        async with self._store.write(gun) as tx:
            await admit_to_notary(tx, gun, who, self._clock())
            return key_of((await self._made(tx, gun, who))[role])

    async def next_key(self, gun: Gun, role: str, who: Requester) -> DockerKey:
        """A key of the role that has never signed, for a root that rotates to it; the same one until it has.

        Raises:
            RoleMissing, NameTaken, WrongFormat, TrustDisabled, StateError: as ``key``.
        """
        async with self._store.write(gun) as tx:
            record = await admit_to_notary(tx, gun, who, self._clock())
            if not _is_open(record):
                return key_of((await self._made(tx, gun, who))[role])
            current = (await self._keys.public(tx, gun))[role]
            root = await tx.collections.newest(gun, "root")
            if root is not None and current.keyid not in read(root.data, Root).signed.roles[role].keyids:
                return key_of(current)
            now = self._clock()
            if made := await self._keys.stage(tx, gun, [role], now):
                detail = {role: key.keyid for role, key in made.items()}
                await tx.audit.append(
                    AuditRow(now, str(who.principal), who.source, "online-keys-staged", str(gun), detail)
                )
            return key_of((await self._keys.pending(tx, gun))[role])

    async def _made(self, tx: Transaction, gun: Gun, who: Requester) -> dict[str, DockerKey]:
        before, now = await self._keys.public(tx, gun), self._clock()
        await self._keys.ensure_docker(tx, gun, now)
        made = {role: key_of(key) for role, key in (await self._keys.public(tx, gun)).items()}
        detail = {role: key.keyid for role, key in made.items()}
        if {role: key.keyid for role, key in before.items()} != detail:
            await tx.audit.append(AuditRow(now, str(who.principal), who.source, "online-keys-made", str(gun), detail))
        return made

    async def delete(self, gun: Gun, who: Requester) -> None:
        """Ends the collection, which leaves its files and versions behind (TRUST 3.5); one that isn't there is gone.

        Raises:
            RoleMissing: who asks is no Owner of the repository.
            WrongFormat: it is in format ``tuf``.
            TrustDisabled: content trust is off, or Notary's API.
        """
        async with self._store.read() as tx:
            await require_notary_api(tx)
            await require_unconverted(tx, gun, self._clock())
            require_docker(await tx.collections.get(gun))
        try:
            await self._resetting.reset(gun, who, confirmed=str(gun), why="deleted")
        except (NoCollection, Conflict):
            return

    async def changes(self, gun: Gun | None, change_id: int | None, records: int) -> Sequence[Change]:
        """Entries of the changefeed, oldest first; see the reference for what the two numbers mean.

        Args:
            gun: of one collection; None for all.
            change_id: the entry to go on from; below zero or None, the newest or the oldest.
            records: how many after it, or, below zero, before it.

        Raises:
            TrustDisabled: content trust is off, or Notary's API.
        """
        limit = min(abs(records) or _USUAL_CHANGES, MOST_CHANGES)
        async with self._store.read() as tx:
            await require_notary_api(tx)
            if change_id is not None and change_id < 0:
                return await tx.changefeed.before(None, limit, gun)
            if records < 0:
                return await tx.changefeed.before(change_id or None, limit, gun)
            return await tx.changefeed.after(change_id or 0, limit, gun)


def notary_key(gun: Gun, role: str, version: int | None = None, digest: str = "") -> Hashable:
    """Under what ``Notary.file`` keeps a file."""
    return ("docker", gun, role, version, digest)


def _is_open(record: CollectionRecord | None) -> bool:
    return record is not None and record.closed is None
