"""The files of one collection each: read by role, version or hash, added and never changed (TRUST 3.4)."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, FromClause, Row, ScalarSelect, Select, bindparam, insert, select, update

from trustkit.core.names import BINS, Digest, Gun
from trustkit.core.ports.service import StoredFile
from trustkit.errors import Conflict, StateError
from trustkit.store.models import files as stored_files
from trustkit.store.models import heads
from trustkit.store.statements import Statements

_COLUMNS = (
    stored_files.c.role,
    stored_files.c.version,
    stored_files.c.data,
    stored_files.c.expires,
    stored_files.c.series,
    stored_files.c.stored,
    stored_files.c.collection,
)
_CURRENT = (
    heads.c.role,
    heads.c.version,
    stored_files.c.data,
    stored_files.c.expires,
    heads.c.series,
    stored_files.c.stored,
    heads.c.collection,
)
"""The same of what is current; without data where the file of a head isn't there."""
_ONLY = ~heads.c.role.startswith(BINS, autoescape=True) | heads.c.role.in_(bindparam("bins", expanding=True))
"""All roles, and of hash bins those that are named."""
_ADD, _ADD_HEAD = insert(stored_files), insert(heads)
_HEADS = select(heads.c.role, heads.c.version, heads.c.series).where(
    heads.c.collection == bindparam("collection"), _ONLY
)
_MOVE_HEAD = (
    update(heads)
    .where(heads.c.collection == bindparam("at_collection"), heads.c.role == bindparam("at_role"))
    .values(version=bindparam("to_version"), expires=bindparam("to_expires"), series=bindparam("to_series"))
)


MANY = 64
"""More files than these, as all hash bins are, are added off the event loop."""


@dataclass(frozen=True, eq=False)
class Owned:
    """Which files are a GUN's.

    Args:
        owner: a table with a column ``gun``, in which a GUN stands once.
        collection: its column that names the files' collection.
    """

    owner: FromClause
    collection: ColumnElement[int]

    @property
    def of_gun(self) -> ScalarSelect[int]:
        """The collection of the parameter ``gun``."""
        return select(self.collection).where(self.owner.c.gun == bindparam("gun")).scalar_subquery()


@dataclass(frozen=True, slots=True)
class Seen:
    """Heads as a transaction has read them, which nobody else moves before it ends where it is a write.

    Attributes:
        collection: the row that is the GUN's, unless the transaction itself has given the name to another one since.
        heads: series and version by role.
        bins: of all hash bins those that were looked at; None for all.
    """

    gun: Gun
    collection: int
    heads: Mapping[str, tuple[int, int]]
    bins: Collection[str] | None


class SqlFiles:
    """Reads and adds them."""

    def __init__(self, statements: Statements, owned: Owned) -> None:
        self._run = statements.run
        self._files = _Selects.of(owned)
        self._seen: Seen | None = None

    async def current(self, gun: Gun, *, bins: Collection[str] | None = None) -> Mapping[str, StoredFile]:
        rows = (await self._run(*self.asks_current(gun, bins))).rows
        found = {row.role: _file(gun, row) for row in rows}
        heads_ = {row.role: (row.series, row.version) for row in rows}
        self._seen = Seen(gun, rows[0].collection, heads_, bins) if rows else None
        return found

    def asks_current(self, gun: Gun, bins: Collection[str] | None) -> tuple[Select[Any], Mapping[str, Any]]:
        """The statement of ``current``, with its values."""
        if bins is None:
            return self._files.current, {"gun": str(gun)}
        return self._files.but_bins, {"gun": str(gun), "bins": sorted(bins)}

    def take_seen(self, gun: Gun, files: Sequence[StoredFile]) -> Seen | None:
        """The heads that ``current`` saw last, where they are this collection's and tell of all these files; once."""
        seen, self._seen = self._seen, None
        if seen is None or seen.gun != gun:
            return None
        bins = {file.role for file in files if file.role.startswith(BINS)}
        return seen if seen.bins is None or bins <= set(seen.bins) else None

    async def file(self, gun: Gun, role: str, version: int) -> StoredFile | None:
        row = (await self._run(self._files.version, {"gun": str(gun), "role": role, "version": version})).first
        return _file(gun, row) if row else None

    async def newest(self, gun: Gun, role: str) -> StoredFile | None:
        row = (await self._run(self._files.newest, {"gun": str(gun), "role": role})).first
        return _file(gun, row) if row else None

    async def file_by_digest(self, gun: Gun, role: str, digest: Digest) -> StoredFile | None:
        row = (await self._run(self._files.hashed, {"gun": str(gun), "role": role, "sha256": digest.hex})).first
        return _file(gun, row) if row else None

    async def insert(
        self,
        gun: Gun,
        collection: int,
        files: Sequence[StoredFile],
        now: datetime,
        known: Mapping[str, tuple[int, int]] | None = None,
    ) -> None:
        """Adds files, and moves the heads; a version at or under a role's head was used before (TRUST 3.4).

        Args:
            known: series and version of each of these roles' heads, where this transaction has read them.

        Raises:
            Conflict: such a version.
        """
        heads_ = known if known is not None else await self._heads(collection, files)
        ordered = sorted((_placed(file, heads_) for file in files), key=lambda at: (at[0].role, *at[1]))
        last = dict(heads_)
        for file, place in ordered:
            if place <= last.get(file.role, (0, 0)):
                raise Conflict(
                    f"Version {file.version} of {file.role} of {gun} was used before.",
                    versions={role: version for role, (_, version) in heads_.items()},
                )
            last[file.role] = place
        if ordered:
            many = len(ordered) > MANY
            await self._run(_ADD, [_file_values(collection, *each, now) for each in ordered], scans=many)
        newest = {file.role: (file, place) for file, place in ordered}
        moved = [_move_values(collection, *each) for role, each in newest.items() if role in heads_]
        new = [_head_values(collection, *each) for role, each in newest.items() if role not in heads_]
        if moved:
            await self._run(_MOVE_HEAD, moved)
        if new:
            await self._run(_ADD_HEAD, new)

    async def _heads(self, collection: int, files: Sequence[StoredFile]) -> dict[str, tuple[int, int]]:
        bins = sorted({file.role for file in files if file.role.startswith(BINS)})
        rows = (await self._run(_HEADS, {"collection": collection, "bins": bins})).rows
        return {row.role: (row.series, row.version) for row in rows}


class _Selects:
    """The statements over one choice of files.

    What is current is found from the heads on, of which there are as many as roles.  SQLite begins an inner join with
    the files, all versions that there ever were of all roles: 1.9 ms after 1,600.  It may not do so in an outer one,
    in which a head without a file shows besides.
    """

    def __init__(self, current: Select[Any], newest: Select[Any], version: Select[Any], hashed: Select[Any]) -> None:
        self.current = current
        self.but_bins = current.where(_ONLY)
        self.newest = newest
        self.version = version
        self.hashed = hashed

    @classmethod
    @functools.cache  # a transaction takes 0.7 ms to begin without
    def of(cls, owned: Owned) -> _Selects:
        role = stored_files.c.role == bindparam("role")
        files = select(*_COLUMNS).where(stored_files.c.collection == owned.of_gun)
        current = (
            select(*_CURRENT)
            .select_from(heads)
            .join(
                stored_files,
                (stored_files.c.collection == heads.c.collection)
                & (stored_files.c.role == heads.c.role)
                & (stored_files.c.series == heads.c.series)
                & (stored_files.c.version == heads.c.version),
                isouter=True,
            )
            .where(heads.c.collection == owned.of_gun)
        )
        last = stored_files.c.series.desc()
        return cls(
            current,
            current.where(heads.c.role == bindparam("role")),
            files.where(role, stored_files.c.version == bindparam("version")).order_by(last).limit(1),
            files.where(stored_files.c.sha256 == bindparam("sha256"), role).order_by(last).limit(1),
        )


def _file(gun: Gun, row: Row[Any]) -> StoredFile:
    if row.data is None:
        raise StateError(
            f"The database says that version {row.version} of {row.role} of {gun} is current, and doesn't have it.",
            hint="Restore it from a backup. What else is damaged: trustkit db check",
        )
    return StoredFile(row.role, row.version, row.data, row.expires, row.series, row.stored)


def _placed(file: StoredFile, heads_: Mapping[str, tuple[int, int]]) -> tuple[StoredFile, tuple[int, int]]:
    """A file with its series and version."""
    series = heads_.get(file.role, (0, 0))[0] if file.series is None else file.series
    return file, (series, file.version)


def _file_values(collection: int, file: StoredFile, place: tuple[int, int], now: datetime) -> dict[str, Any]:
    sha256 = hashlib.sha256(file.data).hexdigest()
    return {**_head_values(collection, file, place), "data": file.data, "stored": now, "sha256": sha256}


def _head_values(collection: int, file: StoredFile, place: tuple[int, int]) -> dict[str, Any]:
    return {
        "collection": collection,
        "role": file.role,
        "series": place[0],
        "version": file.version,
        "expires": file.expires,
    }


def _move_values(collection: int, file: StoredFile, place: tuple[int, int]) -> dict[str, Any]:
    return {
        "at_collection": collection,
        "at_role": file.role,
        "to_series": place[0],
        "to_version": file.version,
        "to_expires": file.expires,
    }
