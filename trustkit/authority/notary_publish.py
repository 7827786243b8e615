"""Accepting an upload of Notary's clients: rights, judgement, the service's own files and the audit row, in one
transaction; for collections in format ``docker`` what ``authority.publish`` is for the others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from securesystemslib.signer import Signer
from tuf.api.metadata import Root

from trustkit.authority import arrivals
from trustkit.authority.former import require_unconverted
from trustkit.authority.founders import require_founder_key
from trustkit.authority.lastviews import LIMIT, Last, LastViews, changed
from trustkit.authority.means import Means
from trustkit.authority.notary_resign import change_of, further, numbered, resigned, stored, with_roots
from trustkit.authority.publish import IN_LOOP_BYTES, Requester, rightful
from trustkit.authority.settings import require_notary_api
from trustkit.core.formats.docker.before import Before, CertifiedRoots
from trustkit.core.formats.docker.conversion import check_goes_on
from trustkit.core.formats.docker.evaluate import evaluate_but_expiry
from trustkit.core.formats.docker.files import read
from trustkit.core.formats.docker.history import ROOT, Former, split_upload, versions_left
from trustkit.core.formats.docker.judge import SNAPSHOT, Accepted, State, chain, judge
from trustkit.core.formats.docker.keys import DockerKey, canonical_ids, key_of
from trustkit.core.formats.docker.roots import root_signers
from trustkit.core.names import Gun
from trustkit.core.ports.service import DOCKER, AuditRow, CollectionRecord, StoredFile, Transaction
from trustkit.core.readings import Reader, Readings
from trustkit.core.roots import ONLINE
from trustkit.core.view import SignedView
from trustkit.errors import Conflict, NotTrusted, WrongFormat


@dataclass(frozen=True, slots=True)
class _Made:
    """A new state: what there is to store, all its files, and what it says."""

    accepted: Accepted
    files: Sequence[StoredFile]
    after: Mapping[str, bytes]
    view: SignedView


class NotaryPublishing:
    """The use case.

    Args:
        served: called after ``Means.changed``, in the same moment, with the generation that was made and its files.
    """

    def __init__(
        self, means: Means, *, served: Callable[[Gun, int, Iterable[StoredFile]], None] = lambda *_: None
    ) -> None:
        self._means = means
        self._served = served
        self._read, self._roots = Readings(read, kept=LIMIT), CertifiedRoots(LIMIT)
        self._views = LastViews()

    async def publish(self, gun: Gun, upload: Mapping[str, bytes], who: Requester) -> Mapping[str, int]:
        """Makes an upload the collection's current state: all roles or none.  One that is empty changes nothing.

        Args:
            upload: bytes by role; what comes along from another server as ``N.root`` and so on.

        Returns:
            The current version of each role of the new state.

        Raises:
            Rejected, Conflict: see ``formats.docker.judge``.
            ConsentMissing: something comes from another server, and no operator has allowed it.
            FounderNotAllowed: a first root that no listed key signed (TRUST 3.8).
            RoleMissing, NameTaken, WrongFormat, TrustDisabled: as ``admit_to_notary``.
            StateError: a new collection, where the service's online keys can't be of this format.
        """
        files, former = split_upload(upload)
        async with self._means.store.write(gun) as tx:
            record = await admit_to_notary(tx, gun, who, self._means.clock())
            if former:
                await arrivals.use(tx, gun, record, self._means.clock())
            if not upload and record is not None and record.closed is None:
                return {role: file.version for role, file in (await tx.collections.current(gun)).items()}
            made, versions, state = await self._accept(tx, gun, record, files, former, who)
        self._views.keep(gun, made.after, made.view, made.accepted.verified)
        self._means.changed(gun)
        self._served(gun, *state)
        return {**made.view.versions, **versions}

    async def _accept(
        self,
        tx: Transaction,
        gun: Gun,
        record: CollectionRecord | None,
        upload: Mapping[str, bytes],
        former: Former,
        who: Requester,
    ) -> tuple[_Made, Mapping[str, int], tuple[int, Iterable[StoredFile]]]:
        """What came of it, the versions of new files, and the generation with the files that are current."""
        now = self._means.clock()
        begins = record is None or record.closed is not None
        if begins:
            await self._means.keys.ensure_docker(tx, gun, now)
        current = await tx.collections.current(gun)
        signers = await self._means.keys.signers(tx, gun)
        waiting = await self._means.keys.pending_signers(tx, gun) if "root" in upload else {}
        last = {role: file.data for role, file in current.items()}
        online, pending = _public(signers), _public(waiting)
        state = State(gun, {} if begins else chain(last, self._read), online, pending, {} if begins else last)
        brought = [data for files in former.values() for data in files.values()]
        size = sum(map(len, (*upload.values(), *brought, *state.files.values())))
        reader = Readings(self._read)

        known = None if begins else self._views.find(gun, last)

        def make() -> _Made:
            return self._make(state, current, upload, former, (signers, waiting), now, reader, known)

        made = await asyncio.to_thread(make) if size > IN_LOOP_BYTES else make()
        accepted = made.accepted
        if begins:
            await _require_founder(tx, gun, accepted, upload)
            if record is None:
                await tx.collections.found(gun, now, DOCKER)
            else:
                await tx.collections.set_format(gun, DOCKER)
                await tx.upkeep.close(gun, None)
        generation = await tx.collections.add_files(gun, made.files, now)
        if adopted := [role for role in waiting if _names(accepted, role, waiting[role])]:
            await self._means.keys.adopt(tx, gun, adopted, now)
        if not accepted.ours and _named_before(state, signers[SNAPSHOT], reader):
            await self._means.keys.remake_docker(tx, gun, SNAPSHOT, now)
        await tx.changefeed.append(change_of(gun, made.files[-1], now))
        before = known.view if known else await asyncio.to_thread(_view, state, last, now, reader)
        versions = {file.role: file.version for file in made.files}
        await tx.audit.append(_row(who, now, made, before, versions, adopted, sorted(former.get(ROOT, ()))))
        there = {**current, **{file.role: file for file in made.files}}
        return made, versions, (generation, [there[role] for role in made.after if role in there])

    def _make(
        self,
        state: State,
        current: Mapping[str, StoredFile],
        upload: Mapping[str, bytes],
        former: Former,
        keys: tuple[Mapping[str, Signer], Mapping[str, Signer]],
        now: datetime,
        reader: Reader,
        known: Last | None,
    ) -> _Made:
        """Judges, signs, and then reads the new state as a client would, before any of it is stored.

        What expired before may stay so, as in the other format: who renews one role can't wait for another.

        Args:
            keys: those in use, and those that wait for a root to name them.
            known: what the stored files are worth, where that is known.
        """
        try:
            accepted = judge(
                state,
                upload,
                now=now,
                lifetimes=self._means.lifetimes,
                reader=reader,
                former=former,
                verified=known.verified if known else (),
            )
        except Conflict as error:
            versions = {role: file.version for role, file in current.items()}
            error.context["versions"] = versions | dict(_mapping(error.context.get("versions")))
            raise
        check_goes_on(accepted.root.signed)
        files = [
            numbered(stored(role, upload[role], reader), current, anew=accepted.founding or role in accepted.begins)
            for role in sorted(upload)
        ]
        if former:
            files = with_roots(files, former[ROOT], current, reader)
            current = further(current, versions_left(former), now)
        signers, waiting = keys
        adopted = {role: signer for role, signer in waiting.items() if _names(accepted, role, signer)}
        signers = {**signers, **adopted}
        life = self._means.lifetimes.default["timestamp"]
        made = resigned(
            accepted.files, current, signers, snapshot=accepted.ours, now=now, life=life, verified_later=True
        )
        after = {**accepted.files, **{file.role: file.data for file in made}}
        before = Before(self._roots, accepted.verified, known.files if known else {}, known.view if known else None)
        view = evaluate_but_expiry(after, state.gun, now, fresh={*upload, *ONLINE}, reader=reader, before=before)
        return _Made(accepted, [*files, *made], after, view)


async def admit_to_notary(tx: Transaction, gun: Gun, who: Requester, now: datetime) -> CollectionRecord | None:
    """The collection that somebody may publish to by Notary's API; None where there is none yet.

    Raises:
        RoleMissing: with every role that publishing takes and ``who`` lacks.
        NameTaken: the repository's collection has another name.
        WrongFormat: it is in format ``tuf``, or was converted to it and then deleted: what was seen so isn't believed
            in format ``docker`` again.
        TrustDisabled: content trust is off, or Notary's API.
    """
    await require_notary_api(tx)
    there = await rightful(tx, gun, who)
    if there is None or there.converted:
        await require_unconverted(tx, gun, now)
    require_docker(there)
    return there


def require_docker(record: CollectionRecord | None) -> None:
    """Raises WrongFormat for an open collection in format ``tuf``."""
    if record is not None and record.closed is None and record.format != DOCKER:
        raise WrongFormat(
            f"{record.gun} is signed in format {record.format}, which Docker's and Notary's own clients can't read.",
            hint="Use trustkit for it.",
            gun=str(record.gun),
            format=record.format,
        )


async def _require_founder(tx: Transaction, gun: Gun, accepted: Accepted, upload: Mapping[str, bytes]) -> None:
    """The list may have the id of the key, or that of its certificate as ``docker trust inspect`` shows it."""
    root = accepted.root
    signed = root_signers(root, upload["root"])
    bare = canonical_ids(root.signed.keys[key_id] for key_id in signed)
    await require_founder_key(tx, gun, signed | bare, root.signed.roles["root"].keyids)


def _public(signers: Mapping[str, Signer]) -> dict[str, DockerKey]:
    return {role: key_of(signer.public_key) for role, signer in signers.items()}


def _names(accepted: Accepted, role: str, signer: Signer) -> bool:
    return signer.public_key.keyid in accepted.root.signed.roles[role].keyids


def _named_before(state: State, signer: Signer, reader: Reader) -> bool:
    """Whether the root that was stored gave the snapshot to this key; what signed once isn't taken again later."""
    root = state.files.get("root")
    named = reader(root, Root).signed.roles[SNAPSHOT].keyids if root else ()
    return signer.public_key.keyid in named


def _view(state: State, last: Mapping[str, bytes], now: datetime, reader: Reader) -> SignedView | None:
    """What was signed before; None where nothing was, or nothing that verifies."""
    if not state.files:
        return None
    try:
        return evaluate_but_expiry(last, state.gun, now, fresh=(), reader=reader)
    except NotTrusted:
        return None


def _mapping(value: object) -> Mapping[str, int]:
    return value if isinstance(value, Mapping) else {}


def _row(
    who: Requester,
    now: datetime,
    made: _Made,
    before: SignedView | None,
    versions: Mapping[str, int],
    adopted: Sequence[str],
    former: Sequence[int],
) -> AuditRow:
    accepted, view = made.accepted, made.view
    tags = changed(before, view)
    detail: dict[str, object] = {"versions": dict(versions), "tags": tags, "roles": sorted(accepted.uploaded)}
    detail["format"] = DOCKER
    if "root" in accepted.uploaded:
        detail["root_keys"] = accepted.root.signed.roles["root"].keyids
    if former:
        detail["former_roots"] = [former[0], former[-1]]
    if accepted.dropped:
        detail["dropped"] = sorted(accepted.dropped)
    if adopted:
        detail["online_keys"] = {role: accepted.root.signed.roles[role].keyids[0] for role in adopted}
    action = "collection-founded" if accepted.founding else "published"
    return AuditRow(now, str(who.principal), who.source, action, str(view.gun), detail)
