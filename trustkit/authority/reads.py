"""Collections' files in memory, bounded: read again when something was committed, and no sooner (TRUST 7.1, 8.4)."""

from __future__ import annotations

import hashlib
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from trustkit.authority.freshness import Freshness
from trustkit.authority.publish import closed, require_tuf
from trustkit.authority.settings import default_format, require_content_trust
from trustkit.core.names import Gun
from trustkit.core.ports.service import Store, StoredFile, Transaction
from trustkit.core.stamps import Stamp
from trustkit.errors import NoCollection, NotFound

LIMIT = 32 * 1024 * 1024
"""Bytes that are kept."""
OVERHEAD = 1024
"""What an entry takes besides its file."""
LARGEST_PART = 4
"""A file that takes more than this part of the limit isn't kept."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a read found.

    Attributes:
        generation: the collection's; None where none vouches for the file.
        until: when it counts no more, whatever is committed.
        frozen: whether it is of what a collection in format ``docker`` was converted from.
    """

    file: StoredFile
    generation: int | None = None
    until: datetime | None = None
    frozen: bool = False


@dataclass(frozen=True, slots=True)
class Served:
    """A file to hand out, with the stamp of its read and its entity tag (RFC 9110, 8.8.3)."""

    found: Found
    stamp: Stamp
    etag: str

    @property
    def file(self) -> StoredFile:
        """The file."""
        return self.found.file


@dataclass(frozen=True, slots=True)
class Missing:
    """That there is no such file, without the frames that an exception would keep."""

    kind: type[NotFound | NoCollection]
    message: str
    hint: str
    context: Mapping[str, Any]

    def error(self) -> NotFound | NoCollection:
        """As it was raised."""
        return self.kind(self.message, hint=self.hint, **self.context)


Find = Callable[[Transaction, Found | None], Awaitable[Found]]
"""Finds a file, or finds that what was found before, in the same generation, is still it."""


class Reads:
    """What readers ask for, from memory while it counts.

    That there is no such file is remembered, too: every client of format ``tuf`` asks for the root after the newest.

    Args:
        limit: bytes that are kept; 0 keeps nothing.
    """

    def __init__(self, store: Store, fresh: Freshness, *, clock: Callable[[], datetime], limit: int = LIMIT) -> None:
        self._store = store
        self._fresh = fresh
        self._clock = clock
        self._limit = limit
        self._entries: OrderedDict[Hashable, tuple[Stamp, Served | Missing]] = OrderedDict()
        self.bytes = 0
        self.counts = Counter({"file": 0, "checked": 0, "nothing": 0})
        """``file``: from memory.  ``checked``: from memory, after a look whether it changed.  ``nothing``: read."""

    async def get(self, key: Hashable, gun: Gun, find: Find) -> Served:
        """The file of this key.

        Args:
            key: says everything that ``find`` depends on but the database.

        Raises:
            NotFound, NoCollection: there is none, now or when it was looked for last and nothing was committed since.
            TrustkitError: whatever ``find`` raises.
        """
        now = self._clock()
        stamp, known = self._entries.get(key, (None, None))
        if stamp and known and self._fresh.counts(stamp, now) and not _over(known, now):
            self._entries.move_to_end(key)
            self.counts["file"] += 1
            if isinstance(known, Missing):
                raise known.error()
            return known
        before = known if isinstance(known, Served) else None
        stamp = self._fresh.stamp(gun.repository)
        try:
            async with self._store.read() as tx:
                found = await find(tx, before.found if before else None)
        except (NotFound, NoCollection) as error:
            self.counts["nothing"] += 1
            self._keep(key, stamp, Missing(type(error), error.message, error.hint, dict(error.context)))
            raise
        if before is not None and found.file is before.file:
            self.counts["checked"] += 1
            served = Served(found, stamp, before.etag)
        else:
            self.counts["nothing"] += 1
            served = Served(found, stamp, _etag(found.file.data))
        self._keep(key, stamp, served)
        return served

    def peek(self, key: Hashable) -> Served | None:
        """The file of this key, where it is in memory and counts now."""
        now = self._clock()
        stamp, known = self._entries.get(key, (None, None))
        if stamp is None or not isinstance(known, Served) or _over(known, now) or not self._fresh.counts(stamp, now):
            return None
        return known

    def keep(
        self, gun: Gun, generation: int, files: Iterable[StoredFile], key: Callable[[StoredFile, str], Hashable]
    ) -> None:
        """Remembers what this process has just committed, before anything else goes on; ``get`` then needn't read it.

        It does so only where the database has told that commit already, so that whatever it tells later came later.

        Args:
            key: under which a file is found now, by its SHA-256 or, without one, by its name.
        """
        if not self._fresh.told:
            return
        stamp = self._fresh.stamp(gun.repository)
        for file in files:
            by_name = key(file, "")
            _, known = self._entries.get(by_name, (None, None))
            same = known if isinstance(known, Served) and known.file.data == file.data else None
            etag = same.etag if same else _etag(file.data)
            served = Served(Found(file, generation), stamp, etag)
            for each in (by_name, key(file, etag.strip('"'))):
                self._keep(each, stamp, served)

    def _keep(self, key: Hashable, stamp: Stamp, known: Served | Missing) -> None:
        before = self._entries.pop(key, None)
        if before:
            self.bytes -= _size(before[1])
        if _size(known) * LARGEST_PART > self._limit:
            return
        self._entries[key] = (stamp, known)
        self.bytes += _size(known)
        while self.bytes > self._limit:
            _, (_, oldest) = self._entries.popitem(last=False)
            self.bytes -= _size(oldest)

    async def metadata(self, gun: Gun, role: str, version: int | None) -> Served:
        """A file of a collection in format ``tuf``: of this version, or the newest.

        Raises:
            NoCollection, NotFound: there is none.
            WrongFormat: the collection is in format ``docker``.
            TrustDisabled: content trust is off.
        """

        async def find(tx: Transaction, before: Found | None) -> Found:
            await require_content_trust(tx)
            record = await tx.collections.get(gun)
            if record is None:
                made = await default_format(tx)
                raise NoCollection(f"Nothing is signed under {gun}.", gun=str(gun), default_format=made)
            if record.closed is not None:
                raise closed(record)
            require_tuf(record)
            if before is not None and before.generation == record.generation:
                return before
            if version is None:
                file = await tx.collections.newest(gun, role)
            else:
                file = await tx.collections.file(gun, role, version)
            if file is None:
                raise NotFound(f"{gun} has no {role} version {version}.")
            return Found(file, record.generation)

        return await self.get(file_key(gun, role, version), gun, find)


def file_key(gun: Gun, role: str, version: int | None) -> Hashable:
    """Under what ``Reads.metadata`` keeps a file."""
    return ("tuf", gun, role, version)


def _over(known: Served | Missing, now: datetime) -> bool:
    until = known.found.until if isinstance(known, Served) else None
    return until is not None and until <= now


def _size(known: Served | Missing) -> int:
    return OVERHEAD + (len(known.file.data) if isinstance(known, Served) else 0)


def _etag(data: bytes) -> str:
    return f'"{hashlib.sha256(data).hexdigest()}"'
