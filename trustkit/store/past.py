"""Versions of files that others have taken the place of: what there is of them, and their end."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Integer, Select, bindparam, case, delete, func, literal_column, select

from trustkit.core.names import Gun
from trustkit.core.ports.past import Held, PastFile, Shelf
from trustkit.store.former import IN_TUF
from trustkit.store.models import Moment, collections, files, former
from trustkit.store.statements import Statements

_SHELVES = (
    select(collections.c.id, func.coalesce(former.c.gun, collections.c.gun).label("gun"), former.c.gun.label("side"))
    .select_from(collections.outerjoin(former, former.c.collection == collections.c.id))
    .order_by(func.coalesce(former.c.gun, collections.c.gun), collections.c.id)
)
_LINE = (files.c.role, files.c.series, case((IN_TUF, literal_column("1")), else_=literal_column("0")))
"""What has versions one after the other; a collection may have been in both formats, whose versions both stand."""
_PLACED = (
    select(
        files.c.role,
        files.c.series,
        files.c.version,
        func.length(files.c.data, type_=Integer).label("bytes"),
        func.lead(files.c.stored, type_=Moment).over(partition_by=_LINE, order_by=files.c.version).label("passed"),
        func.row_number().over(partition_by=_LINE, order_by=files.c.version.desc()).label("newer"),
    )
    .where(files.c.collection == bindparam("shelf"))
    .subquery()
)
_IS_PAST: ColumnElement[bool] = (_PLACED.c.role != literal_column("'root'")) & _PLACED.c.passed.is_not(None)
_IS_DUE = _IS_PAST & (_PLACED.c.passed <= bindparam("before", type_=Moment)) & (_PLACED.c.newer > bindparam("keep"))


_ONE, _NONE = literal_column("1", Integer), literal_column("0", Integer)


def _sum(what: ColumnElement[int], where: ColumnElement[bool]) -> ColumnElement[int]:
    return func.coalesce(func.sum(case((where, what), else_=_NONE)), _NONE)


_HELD = select(
    func.count().label("files"),
    func.coalesce(func.sum(_PLACED.c.bytes), 0).label("bytes"),
    _sum(_ONE, _IS_PAST).label("past"),
    _sum(_PLACED.c.bytes, _IS_PAST).label("past_bytes"),
    _sum(_ONE, _IS_DUE).label("due"),
    _sum(_PLACED.c.bytes, _IS_DUE).label("due_bytes"),
).select_from(_PLACED)
_DUE: Select[Any] = (
    select(_PLACED.c.role, _PLACED.c.series, _PLACED.c.version, _PLACED.c.bytes)
    .where(_IS_DUE)
    .order_by(_PLACED.c.role, _PLACED.c.series, _PLACED.c.version)
    .limit(bindparam("most", type_=Integer))
)
_THERE = select(files.c.role, files.c.series, files.c.version).where(
    files.c.collection == bindparam("shelf"),
    files.c.role.in_(bindparam("roles", expanding=True)),
    files.c.version.between(bindparam("least"), bindparam("most")),
)
_REMOVE = delete(files).where(
    files.c.collection == bindparam("at_shelf"),
    files.c.role == bindparam("at_role"),
    files.c.series == bindparam("at_series"),
    files.c.version == bindparam("at_version"),
)
_FIELDS = ("files", "bytes", "past", "past_bytes", "due", "due_bytes")


class SqlPast:
    """Satisfies ``core.ports.past.Past``."""

    def __init__(self, statements: Statements) -> None:
        self._run = statements.run

    async def shelves(self) -> Sequence[Shelf]:
        rows = (await self._run(_SHELVES, scans=True)).rows
        return [Shelf(Gun.parse(row.gun), row.id, frozen=row.side is not None) for row in rows]

    async def held(self, shelf: Shelf, *, before: datetime | None, versions: int) -> Held:
        values = {"shelf": shelf.number, "before": before, "keep": versions + 1}
        row = (await self._run(_HELD, values, scans=True)).first
        return Held(**{name: int(getattr(row, name)) for name in _FIELDS})

    async def due(self, shelf: Shelf, *, before: datetime, versions: int, limit: int) -> Sequence[PastFile]:
        values = {"shelf": shelf.number, "before": before, "keep": versions + 1, "most": limit}
        rows = (await self._run(_DUE, values, scans=True)).rows
        return [PastFile(row.role, row.series, row.version, row.bytes) for row in rows]

    async def remove(self, shelf: Shelf, files: Sequence[PastFile]) -> Sequence[PastFile]:
        if not files:
            return []
        versions = [file.version for file in files]
        among = {"shelf": shelf.number, "roles": sorted({file.role for file in files})}
        rows = (await self._run(_THERE, {**among, "least": min(versions), "most": max(versions)}, scans=True)).rows
        there = {(row.role, row.series, row.version) for row in rows}
        gone = [file for file in files if (file.role, file.series, file.version) in there]
        if gone:
            await self._run(_REMOVE, [_place(shelf, file) for file in gone], scans=True)
        return gone


def _place(shelf: Shelf, file: PastFile) -> dict[str, object]:
    return {
        "at_shelf": shelf.number,
        "at_role": file.role,
        "at_series": file.series,
        "at_version": file.version,
    }
