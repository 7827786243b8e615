"""What the service's use cases need from its database."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from trustkit.core.names import Digest, Gun, PrincipalName, Repository
from trustkit.core.patterns import RepositoryPattern
from trustkit.core.ports.changefeed import Changefeed
from trustkit.core.ports.former import Former
from trustkit.core.ports.identities import Identities as Identities
from trustkit.core.ports.identities import PrincipalRecord as PrincipalRecord
from trustkit.core.ports.identities import RefreshRecord as RefreshRecord
from trustkit.core.ports.past import Past
from trustkit.core.ports.proposals import Proposals
from trustkit.core.ports.stored import SealedKey as SealedKey
from trustkit.core.ports.stored import StoredFile as StoredFile

TUF, DOCKER = "tuf", "docker"
"""The formats of collections."""

DOCKER_SNAPSHOT = "docker-snapshot"
"""What snapshots of format ``docker`` are counted as: their keys may be publishers', and theirs alone to renew."""


@dataclass(frozen=True, slots=True)
class CollectionRecord:
    """A collection that exists.  ``generation`` rises with every publish and renewal.

    ``closed`` says why an Owner closed it: nothing of it is served until a new root is there (TRUST 3.5).  ``format``
    is ``tuf`` or ``docker``.  ``converted``: it has a frozen side in format ``docker``.
    """

    gun: Gun
    generation: int
    created: datetime
    closed: str | None = None
    format: str = TUF
    converted: bool = False


@dataclass(frozen=True, slots=True)
class RoleExpiry:
    """One role's current files in all open collections.

    Attributes:
        files: how many there are.
        expired, due: how many of them expire at or before each of the two moments that were asked for.
        soonest: when the first one does.
    """

    files: int
    expired: int
    due: int
    soonest: datetime


@dataclass(frozen=True, slots=True)
class Head:
    """A role's current file in an open collection, with the versions of that collection's targets and snapshot."""

    gun: Gun
    role: str
    expires: datetime
    targets: int
    snapshot: int = 0
    format: str = TUF


class Collections(Protocol):
    """Collections and their files.

    Invariants: a (gun, role, series, version) is written once and never changed (TRUST 3.4); a repository has at most
    one collection (1.1); ``current`` gives the highest version of each role's last series.
    """

    async def get(self, gun: Gun) -> CollectionRecord | None: ...
    async def of_repository(self, repository: Repository) -> CollectionRecord | None: ...
    async def list(self) -> list[CollectionRecord]: ...

    async def found(self, gun: Gun, now: datetime, format: str = TUF) -> CollectionRecord:  # noqa: A002 - the word
        """Makes the collection; raises Conflict where the GUN or its repository has one."""
        ...

    async def set_format(self, gun: Gun, format: str) -> None:  # noqa: A002 - the word
        """Says what a closed collection begins anew as.  Raises NotFound; StateError for an open one."""
        ...

    async def current(self, gun: Gun, *, bins: Collection[str] | None = None) -> Mapping[str, StoredFile]:
        """The current file of each role.

        Args:
            bins: of all hash bins only these; None for all, which may be thousands.
        """
        ...

    async def newest(self, gun: Gun, role: str) -> StoredFile | None:
        """The role's file of ``current``."""
        ...

    async def file(self, gun: Gun, role: str, version: int) -> StoredFile | None:
        """The one of the last series that has this version."""
        ...

    async def file_by_digest(self, gun: Gun, role: str, digest: Digest) -> StoredFile | None:
        """The file with these bytes; those that were added before format ``docker`` was known aren't found."""
        ...

    async def add_files(self, gun: Gun, files: Sequence[StoredFile], now: datetime) -> int:
        """Adds files and raises the generation by one; returns it.

        Raises:
            Conflict: a version at or under the last one of the same series, or an older series.
        """
        ...

    async def online_keys(self, gun: Gun) -> Mapping[str, SealedKey]:
        """By role, ``snapshot`` and ``timestamp``; empty before they were made.  Needs no collection."""
        ...

    async def add_online_keys(self, gun: Gun, keys: Sequence[SealedKey], now: datetime) -> None:
        """Raises Conflict where this GUN has keys for one of these roles."""
        ...

    async def expiring(
        self, *, role: str, before: datetime, beyond: datetime | None = None, gun: Gun | None = None
    ) -> Sequence[Gun]:
        """Open collections whose current file of this role expires before this moment, soonest first.

        Args:
            beyond: those come, too, whose file expires after this moment; of snapshots only those in format ``tuf``,
                as in the other one a publisher may hold the key, and sign for years.
            gun: that collection alone is asked about.
        """
        ...

    async def expiry(self, roles: Iterable[str], *, now: datetime, due: datetime) -> Mapping[str, RoleExpiry]:
        """By those of these roles that there are, and ``DOCKER_SNAPSHOT`` apart from the other snapshots."""
        ...

    async def other_heads(self, roles: Iterable[str]) -> Sequence[Head]:
        """The heads of all other roles, soonest first; also of roles that nobody delegates to any more."""
        ...


class Upkeep(Protocol):
    """What befalls collections apart from publishing: new online keys, an Owner's reset, a database from a backup."""

    async def replace_online_keys(self, gun: Gun, keys: Sequence[SealedKey], now: datetime) -> None:
        """Puts these keys in the place of the GUN's keys for their roles, which are gone then."""
        ...

    async def online_keys_since(self, gun: Gun) -> Mapping[str, datetime]:
        """By role when the GUN's key came into use."""
        ...

    async def aged(self, before: datetime) -> Mapping[Gun, frozenset[str]]:
        """By open collection the roles whose key came into use before this moment, and for which none waits."""
        ...

    async def pending_keys(self, gun: Gun) -> Mapping[str, SealedKey]:
        """By role the keys that wait for a root to name them."""
        ...

    async def add_pending_keys(self, gun: Gun, keys: Sequence[SealedKey], now: datetime) -> None:
        """Raises Conflict where a key waits for one of these roles."""
        ...

    async def drop_pending_keys(self, gun: Gun, roles: Iterable[str]) -> None:
        """Those of these roles that there are."""
        ...

    async def online_key_of(self, key_id: str) -> Gun | None:
        """A GUN of which this is an online key, in use or waiting; None for nobody's.  Needs no collection."""
        ...

    async def close(self, gun: Gun, why: str | None) -> None:
        """Closes a collection, or opens it again for None; its generation rises.  Raises NotFound."""
        ...

    async def jumps(self, gun: Gun) -> Mapping[str, int]:
        """By role the highest version that its next file may have, where that is more than the next one."""
        ...

    async def set_jumps(self, gun: Gun, ceilings: Mapping[str, int]) -> None:
        """Allows these jumps and no others.  Raises NotFound."""
        ...

    async def arrivals(self) -> Mapping[Gun, datetime]:
        """By GUN until when it may come from another trust server, lapsed or not; used up ones are gone."""
        ...

    async def arrival(self, gun: Gun) -> datetime | None:
        """That of one GUN."""
        ...

    async def set_arrival(self, gun: Gun, until: datetime | None) -> None:
        """Allows it until this moment and no other, or not at all.  Needs no collection."""
        ...


class ServiceSettings(Protocol):
    """Operator's switches that live in the database, because ``admin`` changes them beside a running service."""

    async def get(self, name: str) -> str | None: ...

    async def several(self, names: Collection[str]) -> Mapping[str, str]:
        """As ``get``, of those that are set, in one statement."""
        ...

    async def put(self, name: str, value: str) -> None: ...
    async def trust_only_patterns(self) -> Mapping[RepositoryPattern, bool]: ...
    async def set_trust_only(self, pattern: RepositoryPattern, *, trust_only: bool) -> None: ...

    async def founders(self) -> Mapping[RepositoryPattern, frozenset[str]]:
        """By pattern the ids of the root keys that may found collections under it (TRUST 3.8); never an empty set."""
        ...

    async def set_founders(self, pattern: RepositoryPattern, key_ids: Set[str]) -> None:
        """Puts this list in the place of the pattern's; an empty one is no list."""
        ...


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One change: who, from where, what, on what.  ``detail`` is JSON-serialisable and holds no secret."""

    at: datetime
    actor: str
    source: str
    action: str
    subject: str
    detail: Mapping[str, object]


class AuditLog(Protocol):
    """Append-only (TRUST 8.4): rows are written in the transaction of the change, never changed or removed."""

    async def append(self, row: AuditRow) -> None: ...
    async def list(self, *, limit: int = 100) -> list[AuditRow]: ...


class Transaction(Protocol):
    """One transaction's view of the database."""

    @property
    def collections(self) -> Collections: ...
    @property
    def upkeep(self) -> Upkeep: ...
    @property
    def identities(self) -> Identities: ...
    @property
    def settings(self) -> ServiceSettings: ...
    @property
    def audit(self) -> AuditLog: ...
    @property
    def proposals(self) -> Proposals: ...
    @property
    def changefeed(self) -> Changefeed: ...
    @property
    def former(self) -> Former: ...
    @property
    def past(self) -> Past: ...

    async def expect(self, gun: Gun, principal: PrincipalName, setting: str, bins: Collection[str] | None) -> None:
        """What a publish reads comes next, for whom and of which collection: a database elsewhere is asked once."""
        ...


Scope = Gun | PrincipalName | None
"""What a write transaction changes: one repository's collection, one principal's tokens, or, for None, anything."""


class Store(Protocol):
    """The database.

    Invariants: ``write`` holds, from before its first statement, the lock of what it changes (BEGIN IMMEDIATE on
    SQLite, which has one for everything; advisory locks on PostgreSQL), so what it reads of that is what it changes.
    Nobody else changes the same collection or principal, and nobody changes anything without a scope, as roles,
    switches and settings are, while any other write goes on.  It commits where the block ends and rolls back where
    it raises.  After a commit nothing is lost by a killed process (synchronous=FULL; synchronous_commit).  ``read``
    sees one moment.
    """

    def read(self) -> AbstractAsyncContextManager[Transaction]: ...

    def write(self, of: Scope = None) -> AbstractAsyncContextManager[Transaction]:
        """Raises DatabaseUnavailable, and OutcomeUnknown where the connection broke in the commit."""
        ...
