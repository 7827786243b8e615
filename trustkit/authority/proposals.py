"""Proposals: changes that wait for the signatures of others (TRUST 3.10).

One is opened by an upload whose only fault is that it has too few signatures, and published, as any upload is, when
the last one comes.  Each step is one write transaction, judged against the state of that moment.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tuf.api.metadata import Metadata

from trustkit.authority.dropping import require_free, use_up
from trustkit.authority.onlinekeys import OnlineKeys
from trustkit.authority.publish import IN_LOOP_BYTES, Publishing, Requester, admit_publisher
from trustkit.authority.stored import judged, state_of
from trustkit.core.formats.tuf1 import read, role_kind
from trustkit.core.judge import Accepted, State, judge_start
from trustkit.core.lifetimes import Lifetimes
from trustkit.core.names import Gun
from trustkit.core.needs import Lack, Need, needs_of
from trustkit.core.ports.proposals import OpenProposal, ProposedFile, Standing
from trustkit.core.ports.service import AuditRow, Store, StoredFile, Transaction
from trustkit.core.proposals import Proposal, merged, proposal_id, stripped
from trustkit.core.saidbins import attributing
from trustkit.errors import Conflict, Failed, NotFound, NotTrusted, ProposalStale, Rejected, TooLarge

MAX_DROPPED = 256
"""Payloads of one role that are remembered at a time; then proposing it has to wait for a publish."""


@dataclass(frozen=True, slots=True)
class Step:
    """What came of opening or approving: still a proposal, or the versions that are current now."""

    proposal: Proposal | None = None
    versions: Mapping[str, int] | None = None


@dataclass(frozen=True, slots=True)
class _Now:
    """A collection at the moment of a step."""

    gun: Gun
    at: datetime
    current: Mapping[str, StoredFile]
    state: State
    lifetimes: Lifetimes
    standing: Standing

    async def start(self, upload: Mapping[str, bytes]) -> Accepted:
        """Judges as a start; large states in a thread."""

        def judge() -> Accepted:
            return judged(judge_start, self.state, upload, self.current, now=self.at, lifetimes=self.lifetimes)

        size = sum(map(len, upload.values())) + sum(map(len, self.state.files.values()))
        return await asyncio.to_thread(judge) if size > IN_LOOP_BYTES else judge()

    def needs(self, accepted: Accepted, role: str) -> list[Need]:
        """Who has to sign a role's file in the state that an upload makes."""
        old = read(self.current["root"].data, role_kind("root")).signed
        root, targets, holder = accepted.root.signed, accepted.targets.signed, accepted.holders.get(role)
        return needs_of(role, old_root=old, root=root, targets=targets, holder=holder)


class Proposing:
    """The use cases.  All take what publishing takes: AcrPush and AcrImageSigner, and content trust switched on."""

    def __init__(
        self,
        store: Store,
        keys: OnlineKeys,
        publishing: Publishing,
        *,
        lifetimes: Lifetimes,
        clock: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._keys = keys
        self._publishing = publishing
        self._lifetimes = lifetimes
        self._clock = clock

    async def list(self, gun: Gun, who: Requester) -> list[Proposal]:
        """Every open proposal, the oldest first, as it stands against the current state.

        Raises:
            RoleMissing, NameTaken, TrustDisabled: as publishing.
        """
        async with self._store.read() as tx:
            now = await self._now(tx, gun, who)
            return [(await self._described(now, each)) for each in await tx.proposals.list(gun)]

    async def get(self, gun: Gun, identifier: str, who: Requester) -> tuple[Proposal, Mapping[str, bytes]]:
        """A proposal with its files by role; raises NotFound, and as ``list``."""
        async with self._store.read() as tx:
            now = await self._now(tx, gun, who)
            found = await _found(tx, gun, identifier)
            return await self._described(now, found), _data(found)

    async def open(self, gun: Gun, upload: Mapping[str, bytes], who: Requester) -> Step:
        """Opens a proposal; an upload that lacks nothing is published.

        Raises:
            ProposalOpen: another one has a role of this.
            Rejected, Conflict, NoCollection: see ``core.judge.judge_start``.
            TooLarge: too many of a role were dropped since its last publish.
        """

        async def work(tx: Transaction) -> Step:
            now = await self._now(tx, gun, who)
            require_free(gun, upload, now.standing.holders)
            accepted = await now.start(upload)
            if not accepted.lacks:
                return Step(versions=await self._publishing.accept(tx, gun, upload, who))
            await _require_room(tx, gun, upload)
            files = {role: accepted.file(role) for role in sorted(upload)}
            kept = {role: stripped(file, now.needs(accepted, role)) for role, file in files.items()}
            identifier = proposal_id(files, accepted.places)
            opened = OpenProposal(identifier, now.at, who.principal, _proposed(files, kept))
            await tx.proposals.add(gun, opened)
            await tx.audit.append(_row(now, who, "proposal-opened", opened, accepted))
            return Step(_proposal(opened, accepted.lacks))

        return await self._publishing.transact(gun, work)

    async def approve(self, gun: Gun, identifier: str, upload: Mapping[str, bytes], who: Requester) -> Step:
        """Adds signatures; with the last one, publishes.

        Args:
            upload: the proposal's own files with the approver's signatures alone; beside them, files of roles that
                only attribute, to say what the approver signed.

        Raises:
            NotFound: there is no such proposal.
            ProposalStale: it can't become current any more; it stays until it is dropped.
            Rejected, BadSignature: another file than the proposed one, or a signature that doesn't count.
            Conflict: it has all of these signatures already.
        """

        async def work(tx: Transaction) -> Step:
            now = await self._now(tx, gun, who)
            found = await _found(tx, gun, identifier)
            try:
                before = await now.start(_data(found))
            except (Rejected, Failed, NotTrusted) as error:
                raise _stale(gun, identifier, error) from error
            whole = self._merged(now, found, before, upload)
            accepted = await now.start(whole)
            files = {role: accepted.file(role) for role in whole}
            after = OpenProposal(found.id, found.opened, found.by, _proposed(files, whole))
            if accepted.lacks:
                await tx.proposals.put_files(gun, identifier, after.files)
                await tx.audit.append(_row(now, who, "proposal-approved", after, accepted))
                return Step(_proposal(after, accepted.lacks))
            await tx.proposals.remove(gun, identifier)
            await tx.audit.append(_row(now, who, "proposal-completed", after, accepted))
            return Step(versions=await self._publishing.accept(tx, gun, whole, who))

        return await self._publishing.transact(gun, work)

    async def drop(self, gun: Gun, identifier: str, who: Requester) -> None:
        """Ends a proposal: what was signed for it never comes back.  Raises NotFound."""
        async with self._store.write(gun) as tx:
            now = await self._now(tx, gun, who)
            found = await _found(tx, gun, identifier)
            await use_up(tx, gun, found, now.current)
            await tx.audit.append(_row(now, who, "proposal-dropped", found))

    async def _now(self, tx: Transaction, gun: Gun, who: Requester) -> _Now:
        record = await admit_publisher(tx, gun, who)
        current = await tx.collections.current(gun)
        online, pending = await self._keys.public(tx, gun), await self._keys.pending(tx, gun)
        standing = await tx.proposals.standing(gun)
        state = state_of(gun, record, current, standing, online=online, pending=pending)
        return _Now(gun, self._clock(), current, state, self._lifetimes, standing)

    async def _described(self, now: _Now, proposal: OpenProposal) -> Proposal:
        try:
            return _proposal(proposal, (await now.start(_data(proposal))).lacks)
        except (Rejected, Failed, NotTrusted) as error:
            return _proposal(proposal, (), error.message)

    @staticmethod
    def _merged(now: _Now, found: OpenProposal, before: Accepted, upload: Mapping[str, bytes]) -> Mapping[str, bytes]:
        if strange := sorted(set(upload) - set(found.files) - attributing(before.places, upload)):
            raise Rejected(f"Proposal {found.id} has no {strange[0][:64]!r}.")
        whole, added = {role: data for role, data in upload.items() if role not in found.files}, 0
        for role in found.files:
            needs, joined = now.needs(before, role), before.file(role)
            if role in upload:
                given = read(upload[role], role_kind(role), f"{role}.json")
                joined = merged(role, joined, given, needs)
                added += len(joined.signatures) - len(before.file(role).signatures)
            whole[role] = stripped(joined, needs)  # not those of keys that were removed since
        if not added:
            raise Conflict(f"Proposal {found.id} of {now.gun} has these signatures already.")
        return whole


async def _found(tx: Transaction, gun: Gun, identifier: str) -> OpenProposal:
    found = await tx.proposals.get(gun, identifier)
    if found is None:
        raise NotFound(
            f"{gun} has no open proposal {identifier}.",
            hint=f"It was published or dropped, or there never was one. See: trustkit proposal list {gun}",
        )
    return found


async def _require_room(tx: Transaction, gun: Gun, roles: Mapping[str, bytes]) -> None:
    dropped = [payload.role for payload in await tx.proposals.dropped(gun)]
    for role in roles:
        if dropped.count(role) >= MAX_DROPPED:
            raise TooLarge(
                f"{MAX_DROPPED} proposals of {role} of {gun} were dropped since it was published last.",
                hint="Publish it once with enough signatures; then it can be proposed again.",
            )


def _stale(gun: Gun, identifier: str, error: Rejected | Failed | NotTrusted) -> ProposalStale:
    return ProposalStale(
        f"Proposal {identifier} of {gun} can't become current any more: {error.message}",
        hint=f"Drop it and propose anew: trustkit proposal drop {gun} {identifier}",
        id=identifier,
        reason=error.slug,
    )


def _proposed(files: Mapping[str, Metadata[Any]], data: Mapping[str, bytes]) -> dict[str, ProposedFile]:
    return {role: ProposedFile(role, file.signed.version, data[role]) for role, file in files.items()}


def _data(proposal: OpenProposal) -> Mapping[str, bytes]:
    return {role: file.data for role, file in proposal.files.items()}


def _proposal(proposal: OpenProposal, lacks: tuple[Lack, ...], stale: str = "") -> Proposal:
    versions = {role: file.version for role, file in proposal.files.items()}
    return Proposal(proposal.id, proposal.opened, str(proposal.by), versions, lacks, stale)


def _row(
    now: _Now, who: Requester, action: str, proposal: OpenProposal, accepted: Accepted | None = None
) -> AuditRow:
    detail: dict[str, object] = {"id": proposal.id, "versions": {r: f.version for r, f in proposal.files.items()}}
    if accepted is not None:
        detail["tags"] = {tag: str(new.digest) if new else None for tag, new in accepted.changed.items()}
        detail["signed_by"] = {role: sorted(accepted.file(role).signatures) for role in proposal.files}
    return AuditRow(now.at, str(who.principal), who.source, action, str(now.gun), detail)
