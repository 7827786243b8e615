"""Proposals, consumed versions and dropped payloads."""

from __future__ import annotations

import builtins
from collections import defaultdict
from collections.abc import Mapping, Sequence

from sqlalchemy import (
    Column,
    ColumnElement,
    Integer,
    Select,
    Text,
    bindparam,
    delete,
    insert,
    literal_column,
    select,
    union_all,
    update,
)

from trustkit.core.names import Gun, PrincipalName
from trustkit.core.ports.proposals import DroppedPayload, OpenProposal, ProposedFile, Standing
from trustkit.store.models import collections, jumps, proposals, proposed_files
from trustkit.store.models import consumed_versions as consumed
from trustkit.store.models import dropped_payloads as payloads
from trustkit.store.statements import Statements

_NO_NUMBER, _NO_TEXT = literal_column("0", Integer), literal_column("''", Text)


def _stands(
    what: str, role: Column[str], *, number: ColumnElement[int] = _NO_NUMBER, text: ColumnElement[str] = _NO_TEXT
) -> Select[str, str, int, str]:
    """One kind of rows of ``STANDING``."""
    kind = literal_column(f"'{what}'", Text).label("what")
    return select(kind, role.label("role"), number.label("number"), text.label("words"))


_LIST = (
    select(proposals.c.id, proposals.c.opened, proposals.c.opened_by)
    .where(proposals.c.gun == bindparam("gun"))
    .order_by(proposals.c.opened, proposals.c.id)
)
_FILES = (
    select(proposed_files.c.proposal, proposed_files.c.role, proposed_files.c.version, proposed_files.c.data)
    .where(proposed_files.c.gun == bindparam("gun"))
    .order_by(proposed_files.c.role)
)
_HOLDERS = select(proposed_files.c.role, proposed_files.c.proposal).where(proposed_files.c.gun == bindparam("gun"))
_CONSUMED = select(consumed.c.role, consumed.c.version).where(consumed.c.gun == bindparam("gun"))
_DROPPED = (
    select(payloads.c.role, payloads.c.version, payloads.c.digest)
    .where(payloads.c.gun == bindparam("gun"))
    .order_by(payloads.c.role, payloads.c.version, payloads.c.digest)
)
STANDING = union_all(
    _stands("held", proposed_files.c.role, text=proposed_files.c.proposal).where(
        proposed_files.c.gun == bindparam("gun")
    ),
    _stands("consumed", consumed.c.role, number=consumed.c.version).where(consumed.c.gun == bindparam("gun")),
    _stands("dropped", payloads.c.role, text=payloads.c.digest).where(payloads.c.gun == bindparam("gun")),
    _stands("ceiling", jumps.c.role, number=jumps.c.ceiling)
    .join(collections, collections.c.id == jumps.c.collection)
    .where(collections.c.gun == bindparam("gun")),
)


class SqlProposals:
    """Satisfies ``core.ports.proposals.Proposals``."""

    def __init__(self, statements: Statements) -> None:
        self._run = statements.run

    async def list(self, gun: Gun) -> Sequence[OpenProposal]:
        files: dict[str, dict[str, ProposedFile]] = defaultdict(dict)
        for row in (await self._run(_FILES, {"gun": str(gun)})).rows:
            files[row.proposal][row.role] = ProposedFile(row.role, row.version, row.data)
        rows = (await self._run(_LIST, {"gun": str(gun)})).rows
        return [OpenProposal(row.id, row.opened, PrincipalName(row.opened_by), files[row.id]) for row in rows]

    async def get(self, gun: Gun, identifier: str) -> OpenProposal | None:
        return next((each for each in await self.list(gun) if each.id == identifier), None)

    async def holders(self, gun: Gun) -> Mapping[str, str]:
        return {row.role: row.proposal for row in (await self._run(_HOLDERS, {"gun": str(gun)})).rows}

    async def standing(self, gun: Gun) -> Standing:
        rows = (await self._run(STANDING, {"gun": str(gun)})).rows
        return Standing(
            {row.role: row.words for row in rows if row.what == "held"},
            {row.role: row.number for row in rows if row.what == "consumed"},
            frozenset(row.words for row in rows if row.what == "dropped"),
            {row.role: row.number for row in rows if row.what == "ceiling"},
        )

    async def add(self, gun: Gun, proposal: OpenProposal) -> None:
        values = {"gun": str(gun), "id": proposal.id, "opened": proposal.opened, "opened_by": str(proposal.by)}
        await self._run(insert(proposals), values)
        await self._run(insert(proposed_files), _rows(gun, proposal.id, proposal.files))

    async def put_files(self, gun: Gun, identifier: str, files: Mapping[str, ProposedFile]) -> None:
        await self._run(delete(proposed_files).where(_of(gun, identifier)))
        await self._run(insert(proposed_files), _rows(gun, identifier, files))

    async def remove(self, gun: Gun, identifier: str) -> None:
        await self._run(delete(proposed_files).where(_of(gun, identifier)))
        await self._run(delete(proposals).where((proposals.c.gun == str(gun)) & (proposals.c.id == identifier)))

    async def consumed(self, gun: Gun) -> Mapping[str, int]:
        return {row.role: row.version for row in (await self._run(_CONSUMED, {"gun": str(gun)})).rows}

    async def consume(self, gun: Gun, role: str, version: int) -> None:
        there = (await self.consumed(gun)).get(role)
        if there is None:
            await self._run(insert(consumed), {"gun": str(gun), "role": role, "version": version})
        elif there < version:
            where = (consumed.c.gun == str(gun)) & (consumed.c.role == role)
            await self._run(update(consumed).where(where).values(version=version))

    async def dropped(self, gun: Gun) -> Sequence[DroppedPayload]:
        rows = (await self._run(_DROPPED, {"gun": str(gun)})).rows
        return [DroppedPayload(row.role, row.version, row.digest) for row in rows]

    async def drop(self, gun: Gun, payload: DroppedPayload) -> None:
        of_role = (payloads.c.gun == str(gun)) & (payloads.c.role == payload.role)
        same = (payloads.c.version == payload.version) & (payloads.c.digest == payload.digest)
        await self._run(delete(payloads).where(of_role & ((payloads.c.version < payload.version) | same)))
        values = {"role": payload.role, "version": payload.version, "digest": payload.digest}
        await self._run(insert(payloads), {"gun": str(gun), **values})


def _of(gun: Gun, identifier: str) -> ColumnElement[bool]:
    return (proposed_files.c.gun == str(gun)) & (proposed_files.c.proposal == identifier)


def _rows(gun: Gun, identifier: str, files: Mapping[str, ProposedFile]) -> builtins.list[dict[str, object]]:
    return [
        {"gun": str(gun), "proposal": identifier, "role": file.role, "version": file.version, "data": file.data}
        for file in files.values()
    ]
