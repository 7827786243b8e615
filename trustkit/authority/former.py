"""The frozen side of a converted collection: what stock docker reads until its final expiry (TRUST 5.4).

The service keeps its timestamp fresh, and never beyond that.  As soon as what is signed in format ``tuf`` takes
back something that the frozen side says, it ends: with a timestamp that names a snapshot of which there is no file.
A mere refusal would not end it for a client that has an older timestamp and falls back on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from securesystemslib.signer import Signer
from tuf.api.metadata import Root, Targets, Timestamp

from trustkit.authority.notary_resign import change_of, named_by, resigned
from trustkit.authority.onlinekeys import OnlineKeys
from trustkit.core.delegations import read_delegations
from trustkit.core.formats import tuf1
from trustkit.core.formats.docker.conversion import NOTHING
from trustkit.core.formats.docker.evaluate import evaluate_but_expiry
from trustkit.core.formats.docker.files import read, sign
from trustkit.core.formats.docker.judge import SNAPSHOT, TIMESTAMP, chain
from trustkit.core.judged import Accepted
from trustkit.core.lifetimes import Lifetimes
from trustkit.core.names import Digest, Gun
from trustkit.core.ports.former import FormerRecord
from trustkit.core.ports.service import AuditRow, StoredFile, Transaction
from trustkit.core.versions import LARGEST
from trustkit.errors import NotFound, StateError, WrongFormat

CLOSING = timedelta(days=365)
"""How long the timestamp counts that ends a side: longer than any timestamp before."""

BY_ITSELF = ("service", "conversion")

SNAPSHOT_LEFT = timedelta(days=200)
"""Stock clients warn of a snapshot that ends within six months."""


def converted(record: FormerRecord, now: datetime) -> WrongFormat:
    """What whoever asks for more than the frozen side has is told; stock clients print it."""
    if record.ended is not None:
        rest = f"What docker read of it ended on {record.ended:%Y-%m-%d}: {record.reason}."
    elif record.until <= now:
        rest = f"What docker read of it ended on {record.until:%Y-%m-%d}."
    else:
        rest = f"Docker reads what was signed before, until {record.until:%Y-%m-%d}, and signs nothing any more."
    return WrongFormat(
        f"{record.gun} was converted to TUF 1.0 on {record.converted:%Y-%m-%d}. {rest}",
        hint="Use trustkit for it.",
        gun=str(record.gun),
        format="tuf",
    )


async def require_unconverted(tx: Transaction, gun: Gun, now: datetime) -> None:
    """Raises WrongFormat, as ``converted`` has it, for a collection that was converted."""
    record = await tx.former.get(gun)
    if record is not None:
        raise converted(record, now)


async def frozen_file(
    tx: Transaction, record: FormerRecord, role: str, version: int | None, digest: str, now: datetime
) -> StoredFile:
    """One file of a frozen side.

    Its roots are always there: they say that it is over, and have the certificates that consumers have pinned.

    Raises:
        WrongFormat: it is over; where it ended early, the timestamp that says so is still there.
        NotFound: it has no such file.
    """
    gun = record.gun
    if record.over(now) and role != "root":
        closing = await tx.former.newest(gun, TIMESTAMP) if record.ended and role == TIMESTAMP else None
        if closing is None:
            raise converted(record, now)
        return closing
    if len(digest) == 64:
        found = await tx.former.file_by_digest(gun, role, Digest.from_hex(digest))
    elif digest:
        found = None
    elif version is not None:
        found = await tx.former.file(gun, role, version)
    else:
        found = await tx.former.newest(gun, role)
        snapshot = await tx.former.newest(gun, SNAPSHOT) if "/" in role else None
        if snapshot is not None and role not in named_by(snapshot.data):
            found = None
    if found is None:
        raise NotFound(f"{gun} has no such {role}.")
    return found


async def end_former(
    tx: Transaction, keys: OnlineKeys, gun: Gun, reason: str, now: datetime, *, by: tuple[str, str] = BY_ITSELF
) -> None:
    """Ends a frozen side for whoever reads it, also for who has read it before; nothing happens where it has.

    Args:
        by: who does, and from where, as the audit log has it.
    """
    record = await tx.former.get(gun)
    if record is None or record.ended is not None:
        return
    last = await tx.former.newest(gun, TIMESTAMP)
    signers = keys.opened(gun, await tx.former.keys(gun))
    closing = _closing(last, signers[TIMESTAMP], now + CLOSING)
    await tx.former.add_files(gun, [closing], now)
    await tx.former.end(gun, reason, now)
    await tx.changefeed.append(change_of(gun, closing, now))
    detail = {"reason": reason, "versions": {TIMESTAMP: closing.version}}
    await tx.audit.append(AuditRow(now, *by, "docker-side-ended", str(gun), detail))


def _closing(last: StoredFile | None, signer: Signer, until: datetime) -> StoredFile:
    """It lives at least as long as any timestamp before it, so that nobody goes back to one of those."""
    if last is None or last.version + 1 >= LARGEST:
        raise StateError("The frozen side has no timestamp, or its versions are used up.")
    expires = max(until, last.expires).replace(microsecond=0)
    data = sign(Timestamp(last.version + 1, None, expires, NOTHING), [(signer.public_key, signer)])
    return StoredFile(TIMESTAMP, last.version + 1, data, expires)


async def end_if_taken_back(
    tx: Transaction,
    keys: OnlineKeys,
    accepted: Accepted,
    before: Mapping[str, bytes],
    gun: Gun,
    now: datetime,
) -> None:
    """Ends the frozen side of a collection whose new state takes back what that says, or whom it believes.

    Args:
        before: the files in format ``tuf`` before the new state, by role; none where it begins.
    """
    record = await tx.former.get(gun)
    if record is None or record.over(now) or not before:
        return
    if gone := _keys_of(before) - _keys_in(accepted):
        reason = f"the key {sorted(gone)[0][:16]} may sign nothing any more"
    elif moved := await _moved(tx, accepted, gun, now):
        reason = f"{moved} was revoked or signed anew since"
    else:
        return
    await end_former(tx, keys, gun, reason, now)


def _keys_of(files: Mapping[str, bytes]) -> frozenset[str]:
    root = tuf1.read(files["root"], Root).signed
    return _keys(root, tuf1.read(files["targets"], Targets).signed)


def _keys_in(accepted: Accepted) -> frozenset[str]:
    return _keys(accepted.root.signed, accepted.targets.signed)


def _keys(root: Root, targets: Targets) -> frozenset[str]:
    """The keys that people sign with."""
    delegations = read_delegations(targets, root)
    named = {key_id for role in ("root", "targets") for key_id in root.roles[role].keyids}
    return frozenset(named) | frozenset(delegations.keys if delegations else ())


async def _moved(tx: Transaction, accepted: Accepted, gun: Gun, now: datetime) -> str:
    """A tag that the frozen side has, and the new state hasn't, or has for another digest."""
    if not accepted.changed:
        return ""
    files = {role: file.data for role, file in (await tx.former.current(gun)).items()}
    frozen = evaluate_but_expiry(files, gun, now, fresh=()).targets
    old = {tag.name: target.digest for tag, target in frozen.items()}
    for path, target in sorted(accepted.changed.items()):
        if path in old and (target is None or target.digest != old[path]):
            return path
    return ""


async def renew_former(
    tx: Transaction, keys: OnlineKeys, gun: Gun, *, lifetimes: Lifetimes, now: datetime, ahead: int = 0
) -> list[StoredFile]:
    """Signs a frozen side's timestamp anew, up to its final expiry, and its snapshot where that is due.

    Args:
        ahead: versions to leave out, after the database came from a backup.

    Raises:
        StateError: a file is missing, or a key doesn't open.
    """
    record = await tx.former.get(gun)
    if record is None or record.over(now):
        return []
    current = await tx.former.current(gun)
    signers = keys.opened(gun, await tx.former.keys(gun))
    if missing := {"root", SNAPSHOT, TIMESTAMP} - current.keys():
        raise StateError(f"The database has no current {', '.join(sorted(missing))} of {gun} in format docker.")
    ours = read(current["root"].data, Root).signed.roles[SNAPSHOT].keyids == [signers[SNAPSHOT].public_key.keyid]
    ends = current[SNAPSHOT].expires
    due = ours and (bool(ahead) or (ends < record.until and ends - now < SNAPSHOT_LEFT))
    files = resigned(
        chain({role: file.data for role, file in current.items()}),
        current,
        signers,
        snapshot=due,
        now=now,
        life=lifetimes.default[TIMESTAMP],
        ahead=ahead,
        until=record.until,
    )
    await tx.former.add_files(gun, files, now)
    await tx.changefeed.append(change_of(gun, files[-1], now))
    versions = {file.role: file.version for file in files}
    detail = {"versions": versions, "format": "docker"}
    await tx.audit.append(AuditRow(now, "service", "renewal", "renewed", str(gun), detail))
    return files
