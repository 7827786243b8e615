"""Converting a collection from format ``docker`` to ``tuf`` (TRUST 3.1, 5.4): rights, both judgements, what stays
behind, the audit row, in one transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from securesystemslib.signer import Key
from tuf.api.metadata import Root

from trustkit.authority.former import converted, end_former
from trustkit.authority.means import Means
from trustkit.authority.notary_resign import change_of, resigned
from trustkit.authority.notary_resign import stored as stored_docker
from trustkit.authority.publish import Requester, closed, rightful
from trustkit.authority.resign import resign_snapshot, resign_timestamp, stored
from trustkit.authority.sealedkeys import public_half
from trustkit.authority.settings import require_content_trust
from trustkit.authority.stored import judged
from trustkit.core.convertjudge import check_kept, check_last
from trustkit.core.evaluate import evaluate_but_expiry
from trustkit.core.formats.docker import judge as docker_judge
from trustkit.core.formats.docker.evaluate import evaluate_but_expiry as evaluate_docker
from trustkit.core.formats.docker.files import read
from trustkit.core.formats.docker.keys import key_of
from trustkit.core.judge import Accepted, State, judge
from trustkit.core.names import Gun
from trustkit.core.ports.former import FormerRecord
from trustkit.core.ports.service import DOCKER, TUF, AuditRow, CollectionRecord, StoredFile, Transaction
from trustkit.core.readings import Readings
from trustkit.core.roots import ONLINE
from trustkit.core.view import SignedView
from trustkit.errors import Conflict, NoCollection, NotFound, WrongFormat

ENDED_AT_ONCE = "its publisher ended it with the conversion"
ENDED_LATER = "its publisher ended it"


@dataclass(frozen=True, slots=True)
class ConversionState:
    """How far a collection is with it.

    Attributes:
        record: the collection.
        former: the frozen side, once it was converted.
        keys: the service's keys that the new root has to name, by role; empty before they were asked for.
        last: by role versions that were used before, which first ones follow.
    """

    record: CollectionRecord
    former: FormerRecord | None
    keys: Mapping[str, Key]
    last: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class _Frozen:
    """The last state in format ``docker``."""

    files: Sequence[StoredFile]
    root: Root
    view: SignedView
    until: datetime


class Conversions:
    """The use case."""

    def __init__(self, means: Means) -> None:
        self._means = means

    async def state(self, gun: Gun, who: Requester) -> ConversionState:
        """How far it is; changes nothing.

        Raises:
            RoleMissing, NameTaken, TrustDisabled: as ``Publishing.online_keys``.
            NoCollection, CollectionReset: there is nothing to convert.
        """
        async with self._means.store.read() as tx:
            return await self._state(tx, gun, who)

    async def prepare(self, gun: Gun, who: Requester) -> ConversionState:
        """As ``state``, with keys of the service's for the new root, made where there are none.

        Raises:
            WrongFormat: it isn't in format ``docker``; and as ``state``.
        """
        async with self._means.store.write(gun) as tx:
            state = await self._state(tx, gun, who)
            self._require_docker(state)
            if not state.keys:
                now, made = self._means.clock(), await self._means.keys.fresh(gun)
                await tx.former.add_coming_keys(gun, made, now)
                detail = {key.role: key.key_id for key in made}
                row = AuditRow(now, str(who.principal), who.source, "conversion-prepared", str(gun), detail)
                await tx.audit.append(row)
                state = replace(state, keys={key.role: public_half(key) for key in made})
        return state

    async def former(self, gun: Gun) -> FormerRecord | None:
        """The frozen side of a collection, for whoever reads it; None where it has none.

        Raises:
            TrustDisabled.
            NoCollection: there is nothing.
        """
        async with self._means.store.read() as tx:
            await require_content_trust(tx)
            if await tx.collections.get(gun) is None:
                raise NoCollection(f"Nothing is signed under {gun}.", gun=str(gun))
            return await tx.former.get(gun)

    async def end(self, gun: Gun, who: Requester) -> FormerRecord:
        """Ends the frozen side, for good, though nothing was taken back; where it is over, it stays as it is.

        It takes no key: it makes nobody trust anything, and no one who reads it can go on without the publisher.

        Raises:
            NotFound: it has none.
            RoleMissing, NameTaken, TrustDisabled, NoCollection, CollectionReset: as ``state``.
        """
        async with self._means.store.write(gun) as tx:
            record, now = (await self._state(tx, gun, who)).former, self._means.clock()
            if record is None:
                raise NotFound(f"{gun} was never converted, so there is nothing of docker's to end.")
            if record.over(now):
                return record
            await end_former(tx, self._means.keys, gun, ENDED_LATER, now, by=(str(who.principal), who.source))
        self._means.changed(gun)
        return replace(record, ended=now, reason=ENDED_LATER)

    async def _state(self, tx: Transaction, gun: Gun, who: Requester) -> ConversionState:
        await require_content_trust(tx)
        record = await rightful(tx, gun, who)
        if record is None:
            raise NoCollection(f"Nothing is signed under {gun}.", gun=str(gun))
        if record.closed is not None:
            raise closed(record)
        keys = {role: public_half(key) for role, key in (await tx.former.coming_keys(gun)).items()}
        last = await tx.former.versions(gun) if record.format == DOCKER else {}
        return ConversionState(record, await tx.former.get(gun), keys, last)

    def _require_docker(self, state: ConversionState) -> None:
        if state.former is not None:
            raise converted(state.former, self._means.clock())
        if state.record.format != DOCKER:
            raise WrongFormat(f"{state.record.gun} is in format {TUF} already.", format=TUF)

    async def convert(
        self, gun: Gun, upload: Mapping[str, bytes], last: Mapping[str, bytes], who: Requester
    ) -> Mapping[str, int]:
        """Makes it a collection in format ``tuf``, and what it was its frozen side: all or nothing.

        Args:
            upload: root, targets and signers in format ``tuf``, by role.
            last: the last root, targets and delegations in format ``docker``.

        Returns:
            The current version of each role in format ``tuf``.

        Raises:
            Rejected, Conflict: see both judges and ``core.convertjudge``.
            WrongFormat: it was converted before, or isn't in format ``docker``.
            RoleMissing, NameTaken, TrustDisabled, NoCollection, CollectionReset: as ``state``.
            StateError: nobody has asked for keys for the new root.
        """
        async with self._means.store.write(gun) as tx:
            state = await self._state(tx, gun, who)
            self._require_docker(state)
            now = self._means.clock()
            frozen = await self._frozen(tx, gun, last, now)
            coming = await tx.former.coming_keys(gun)
            if set(coming) != set(ONLINE):
                raise Conflict(f"No keys were asked for to convert {gun}.", hint="Run it again.")
            await tx.former.begin(gun, frozen.until, now)
            await tx.former.add_files(gun, frozen.files, now)
            accepted, files = await self._made(tx, gun, upload, frozen, now)
            await tx.collections.add_files(gun, files, now)
            await tx.changefeed.append(change_of(gun, frozen.files[-1], now))
            versions = {file.role: file.version for file in files}
            await tx.audit.append(_row(who, gun, accepted, frozen, versions, now))
            if frozen.until < now + self._means.lifetimes.shortest:
                await end_former(tx, self._means.keys, gun, ENDED_AT_ONCE, now)
        self._means.changed(gun)
        return versions

    async def _frozen(self, tx: Transaction, gun: Gun, last: Mapping[str, bytes], now: datetime) -> _Frozen:
        current = await tx.collections.current(gun)
        signers = await self._means.keys.signers(tx, gun)
        files = {role: file.data for role, file in current.items()}
        online = {role: key_of(signer.public_key) for role, signer in signers.items()}
        state = docker_judge.State(gun, docker_judge.chain(files), online, {}, files)
        bounds = replace(self._means.lifetimes, shortest=-timedelta(days=1))  # it may end at once

        def make() -> _Frozen:
            reader = Readings(read)
            before = evaluate_docker(files, gun, now, fresh=(), reader=reader)
            accepted = docker_judge.judge(state, last, now=now, lifetimes=bounds, reader=reader)
            until = check_last(state.files, accepted, reader)
            named = [stored_docker(role, last[role], reader) for role in sorted(last)]
            life = self._means.lifetimes.default["timestamp"]
            online_files = resigned(
                accepted.files, current, signers, snapshot=accepted.ours, now=now, life=life, until=until
            )
            after = {**accepted.files, **{file.role: file.data for file in online_files}}
            evaluate_docker(after, gun, now, fresh=(), reader=reader)
            return _Frozen([*named, *online_files], reader(files["root"], Root).signed, before, until)

        try:
            return await asyncio.to_thread(make)
        except Conflict as error:
            error.context["versions"] = {role: file.version for role, file in current.items()}
            raise

    async def _made(
        self, tx: Transaction, gun: Gun, upload: Mapping[str, bytes], frozen: _Frozen, now: datetime
    ) -> tuple[Accepted, Sequence[StoredFile]]:
        """The new collection: judged as a first one is, held to the frozen one, signed and read as a client would."""
        current = await tx.collections.current(gun)
        signers = await self._means.keys.signers(tx, gun)
        online = {role: signer.public_key for role, signer in signers.items()}
        consumed = await tx.proposals.consumed(gun)
        dropped = frozenset(payload.digest for payload in await tx.proposals.dropped(gun))
        before = {role: file.version for role, file in current.items()}
        state = State(gun, {}, online, consumed=consumed, dropped=dropped, last=before)
        lifetimes = self._means.lifetimes

        def make() -> tuple[Accepted, Sequence[StoredFile]]:
            accepted = judged(judge, state, upload, current, now=now, lifetimes=lifetimes)
            check_kept(gun, frozen.root, frozen.view, accepted)
            files = [stored(accepted.signed(role), upload[role], role) for role in sorted(upload)]
            versions = {file.role: file.version for file in files if file.role != "root"}
            root = upload["root"]
            snapshot = resign_snapshot(
                gun, current, versions, signers["snapshot"], now=now, lifetimes=lifetimes, root=root
            )
            files.append(snapshot)
            timestamp = resign_timestamp(
                gun, current, snapshot.version, signers["timestamp"], now=now, lifetimes=lifetimes, changed=files
            )
            files.append(timestamp)
            evaluate_but_expiry({file.role: file.data for file in files}, gun, now, fresh={*upload, *ONLINE})
            return accepted, files

        return await asyncio.to_thread(make)


def _row(
    who: Requester, gun: Gun, accepted: Accepted, frozen: _Frozen, versions: Mapping[str, int], now: datetime
) -> AuditRow:
    detail: dict[str, object] = {
        "versions": dict(versions),
        "tags": {tag: str(target.digest) for tag, target in accepted.changed.items() if target},
        "roles": sorted(accepted.uploaded),
        "root_keys": accepted.root.signed.roles["root"].keyids,
        "docker_until": frozen.until.isoformat(),
        "docker_versions": {file.role: file.version for file in frozen.files},
    }
    return AuditRow(now, str(who.principal), who.source, "collection-converted", str(gun), detail)
