"""Accepting a publish: rights, judgement, the service's own signatures and the audit row, in one transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TypeVar

from securesystemslib.signer import Key, Signer
from tuf.api.metadata import Metadata, Root

from trustkit.authority.admission import Requester as Requester
from trustkit.authority.admission import admit_publisher as admit_publisher
from trustkit.authority.admission import closed as closed
from trustkit.authority.admission import require_tuf as require_tuf
from trustkit.authority.admission import rightful as rightful
from trustkit.authority.ahead import AHEAD_TRIES, Ahead, Moved, is_large
from trustkit.authority.dropping import require_free, use_up
from trustkit.authority.former import end_if_taken_back
from trustkit.authority.founders import require_founder
from trustkit.authority.lastviews import LIMIT, Last, LastViews, said
from trustkit.authority.means import Means
from trustkit.authority.onlinekeys import JudgedSigner, slow
from trustkit.authority.publishaudit import publish_row
from trustkit.authority.resign import resign_snapshot, resign_timestamp, stored
from trustkit.authority.settings import CONTENT_TRUST
from trustkit.authority.stored import judged, looks_at, state_of
from trustkit.core.bins import prefix_of
from trustkit.core.evaluate import Before, evaluate_but_expiry
from trustkit.core.formats.docker.keys import DockerKey
from trustkit.core.formats.tuf1 import read
from trustkit.core.judge import FOUNDING, Accepted, State, judge
from trustkit.core.names import Gun
from trustkit.core.ports.service import TUF, AuditRow, CollectionRecord, StoredFile, Transaction
from trustkit.core.readings import Reader, Readings
from trustkit.core.roots import ONLINE, SoundRoots, check_root_keys
from trustkit.core.view import SignedView

T = TypeVar("T")

IN_LOOP_BYTES = 64 * 1024
"""Up to this size a state is judged on the event loop; above it in a thread, so that others are served meanwhile."""


@dataclass(frozen=True, slots=True)
class _Made:
    """A new state: what there is to store, all its files that were looked at, and what it says."""

    accepted: Accepted
    files: Sequence[StoredFile]
    after: Mapping[str, bytes]
    view: SignedView


class Publishing:
    """The publish use case."""

    def __init__(self, means: Means) -> None:
        self._means = means
        self._read, self._sound, self._views = Readings(kept=LIMIT), SoundRoots(LIMIT), LastViews()

    async def online_keys(self, gun: Gun, who: Requester) -> Mapping[str, Key]:
        """The public online keys of a collection, made where there are none yet.

        Raises:
            RoleMissing: with every role that publishing takes and ``who`` lacks.
            NameTaken: the repository's collection has another name.
            TrustDisabled: content trust is off.
        """
        async with self._means.store.read() as tx:
            await admit_publisher(tx, gun, who)
            there = await self._means.keys.public(tx, gun)
            if there and not any(isinstance(key, DockerKey) for key in there.values()):
                return there
        async with self._means.store.write(gun) as tx:
            await admit_publisher(tx, gun, who)
            now = self._means.clock()
            made = await self._means.keys.ensure(tx, gun, now)
            detail = {role: key.keyid for role, key in made.items()}
            await tx.audit.append(AuditRow(now, str(who.principal), who.source, "online-keys-made", str(gun), detail))
            return made

    async def publish(self, gun: Gun, upload: Mapping[str, bytes], who: Requester) -> Mapping[str, int]:
        """Makes an upload the collection's current state: all roles or none.

        Returns:
            The current version of each role afterwards.

        Raises:
            Rejected, Conflict: see ``core.judge``.
            FounderNotAllowed: a first root that no listed key signed (TRUST 3.8).
            RoleMissing, NameTaken, TrustDisabled: as ``online_keys``.
        """
        if is_large(upload):
            for _ in range(AHEAD_TRIES):
                if (ahead := await self._ahead(gun, upload, who)) is None:
                    break
                with suppress(Moved):
                    return await self.transact(
                        gun, partial(self.accept, gun=gun, upload=upload, who=who, ahead=ahead)
                    )
        return await self.transact(gun, lambda tx: self.accept(tx, gun, upload, who))

    async def _ahead(self, gun: Gun, upload: Mapping[str, bytes], who: Requester) -> Ahead[_Made] | None:
        """A large upload to a collection that is there, judged and signed while nobody waits for it.

        The transaction looks again at all that it was judged against.  None where it can't be: a separate signer that
        has signed a state takes no other one in its place.
        """
        async with self._means.store.read() as tx:
            record, now = await admit_publisher(tx, gun, who), self._means.clock()
            if record is None or record.closed is not None or await self._means.keys.are_elsewhere(tx, gun):
                return None
            standing = await tx.proposals.standing(gun)
            require_free(gun, upload, standing.holders)
            signers = await self._means.keys.signers(tx, gun)
            current = await tx.collections.current(gun, bins=looks_at(upload))
            waiting = await self._means.keys.pending_signers(tx, gun) if "root" in upload else {}
            if any(isinstance(signer, JudgedSigner) for signer in waiting.values()):
                return None
            online, pending, whole = _public(signers), _public(waiting), looks_at(upload) is None
            state = state_of(gun, record, current, standing, online=online, pending=pending, whole=whole)
        last = self._views.find(gun, {role: file.data for role, file in current.items()})
        made = await asyncio.to_thread(self._prepare, state, current, upload, signers, waiting, now, last, anew=False)
        return Ahead(record, current, state, made)

    async def transact(self, gun: Gun, work: Callable[[Transaction], Awaitable[T]]) -> T:
        """Runs, in one write transaction, what may give the collection a new state."""
        async with self._means.store.write(gun) as tx:
            done = await work(tx)
        self._means.changed(gun)
        return done

    async def accept(
        self,
        tx: Transaction,
        gun: Gun,
        upload: Mapping[str, bytes],
        who: Requester,
        ahead: Ahead[_Made] | None = None,
    ) -> Mapping[str, int]:
        """``publish``, inside a write transaction.

        Args:
            ahead: the upload as it was judged before the transaction began; raises Moved where that holds no more.
        """
        seen = looks_at(upload)
        await tx.expect(gun, who.principal, CONTENT_TRUST, seen if ahead is None else ())
        record, now = await admit_publisher(tx, gun, who), self._means.clock()
        known = ahead.files_of(record) if ahead is not None else None
        current = known if known is not None else await tx.collections.current(gun, bins=seen)
        if record is not None and record.closed is not None:
            await _founded_anew(tx, record, upload, current)
        standing = await tx.proposals.standing(gun)
        require_free(gun, upload, standing.holders)
        if "root" in upload and (record is None or record.closed is not None):
            await require_founder(
                tx, gun, _first_root(upload["root"])
            )  # a signer keeps to the first one that it sees
        signers = await self._means.keys.ensure_open(tx, gun, now)
        waiting = await self._means.keys.pending_signers(tx, gun) if "root" in upload else {}
        online, pending = _public(signers), _public(waiting)
        state = state_of(gun, record, current, standing, online=online, pending=pending, whole=seen is None)
        anew = record is not None and record.format != TUF
        last = self._views.find(gun, {role: file.data for role, file in current.items()})
        prepare = partial(self._prepare, state, current, upload, signers, waiting, now, last, anew=anew)
        size = sum(map(len, upload.values())) + sum(map(len, state.files.values()))
        if ahead is not None:
            made = ahead.made_of(state)
        elif size > IN_LOOP_BYTES or slow(signers) or slow(waiting):
            made = await asyncio.to_thread(prepare)
        else:
            made = prepare()
        accepted, files = made.accepted, made.files
        if accepted.founding:
            if record is None:
                await tx.collections.found(gun, now)
            else:
                await tx.collections.set_format(gun, TUF)
                await tx.upkeep.close(gun, None)
        await tx.collections.add_files(gun, files, now)
        if adopted := _adopted(accepted, waiting):
            await self._means.keys.adopt(tx, gun, adopted, now)
        if accepted.jumped:
            await tx.upkeep.set_jumps(gun, _without(state.ceilings, accepted.jumped))
        if record is not None and record.converted:
            await end_if_taken_back(tx, self._means.keys, accepted, state.files, gun, now)
        now_there = {**{role: file for role, file in current.items() if not prefix_of(role)}, **_by_role(files)}
        versions = {role: file.version for role, file in now_there.items()}
        await tx.audit.append(publish_row(gun, who, accepted, versions, now, adopted))
        self._views.keep(gun, made.after, made.view)  # of these very bytes, whether they come to be stored or not
        return versions

    def _prepare(
        self,
        state: State,
        current: Mapping[str, StoredFile],
        upload: Mapping[str, bytes],
        signers: Mapping[str, Signer],
        waiting: Mapping[str, Signer],
        now: datetime,
        last: Last | None,
        *,
        anew: bool,
    ) -> _Made:
        """Judges, signs, and then reads the new state as a client would, before any of it is stored.

        What expired before may stay so: root and targets may be in different hands, and who renews one can't wait for
        the other.  Clients and the gate refuse the state until the last of it is renewed.

        Args:
            last: what the current files say, where that is known.
        """
        reader: Reader = Readings(self._read)
        judging = partial(judge, reader=reader)
        accepted = judged(judging, state, upload, current, now=now, lifetimes=self._means.lifetimes)
        signers = {**signers, **_adopted(accepted, waiting)}
        files = [stored(accepted.signed(role), upload[role], role) for role in sorted(upload)]
        versions = {"targets": accepted.targets.signed.version}
        versions |= {role: accepted.signed(role).version for role in upload if role != "root"}
        gun, lifetimes = state.gun, self._means.lifetimes
        root = upload.get("root")
        snapshot = resign_snapshot(
            gun,
            current,
            versions,
            signers["snapshot"],
            now=now,
            lifetimes=lifetimes,
            root=root,
            anew=anew,
            reader=reader,
        )
        files.append(snapshot)
        timestamp = resign_timestamp(
            gun,
            current,
            snapshot.version,
            signers["timestamp"],
            now=now,
            lifetimes=lifetimes,
            changed=files,
            anew=anew,
            reader=reader,
        )
        files.append(timestamp)
        after = {role: file.data for role, file in {**current, **_by_role(files)}.items()}
        known = (accepted.root, accepted.targets, accepted.delegated)
        view = evaluate_but_expiry(
            after,
            gun,
            now,
            fresh={*upload, *ONLINE},
            known=known,
            bins=accepted.delegated.keys(),
            reader=reader,
            before=Before(self._sound, {"targets", *accepted.delegated}, said(last, accepted.changed)),
        )
        return _Made(accepted, files, after, view)


async def _founded_anew(
    tx: Transaction, record: CollectionRecord, upload: Mapping[str, bytes], current: Mapping[str, StoredFile]
) -> None:
    """Uses up what was proposed before a reset; raises CollectionReset for anything but a first upload."""
    if not set(upload) >= FOUNDING:
        raise closed(record)
    for proposal in await tx.proposals.list(record.gun):
        await use_up(tx, record.gun, proposal, current)


def _public(signers: Mapping[str, Signer]) -> dict[str, Key]:
    return {role: signer.public_key for role, signer in signers.items()}


def _first_root(data: bytes) -> Metadata[Root]:
    root = read(data, Root)
    check_root_keys(root.signed)
    return root


def _adopted(accepted: Accepted, waiting: Mapping[str, Signer]) -> dict[str, Signer]:
    """Those of the keys that wait which an uploaded root names."""
    roles = accepted.root.signed.roles
    return {role: signer for role, signer in waiting.items() if signer.public_key.keyid in roles[role].keyids}


def _without(ceilings: Mapping[str, int], roles: frozenset[str]) -> dict[str, int]:
    return {role: ceiling for role, ceiling in ceilings.items() if role not in roles}


def _by_role(files: Sequence[StoredFile]) -> dict[str, StoredFile]:
    return {file.role: file for file in files}
