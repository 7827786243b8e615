"""The judge of a separate signer: may this snapshot or timestamp be signed?  Pure; the signer has the records.

The signer believes nothing that the service says.  Whoever took the service over gets no root and no targets signed,
no second file under a version, no step back, no leap, and no state that a client with the collection's root would
refuse (TRUST 3.3, 3.4, 3.6).
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TypeVar

from tuf.api.metadata import Metadata, Root, Snapshot, Targets, Timestamp

from trustkit.core.bins import prefix_of
from trustkit.core.delegations import RELEASES, TARGETS
from trustkit.core.evaluate import evaluate_but_expiry
from trustkit.core.formats.tuf1 import guns, issued, payload, read
from trustkit.core.lifetimes import Lifetimes
from trustkit.core.names import Gun
from trustkit.core.places import read_places
from trustkit.core.roots import ONLINE, check_root_keys, check_threshold
from trustkit.core.saidbins import attributing, own_said, said_in
from trustkit.core.strictjson import serialise
from trustkit.errors import (
    BadDelegation,
    BadExpiry,
    BadVersion,
    Conflict,
    Malformed,
    NotTrusted,
    SignerBehind,
    WrongGun,
)

SKEW = timedelta(minutes=5)
"""How far the service's clock may be from the signer's."""
MAX_RISE = 1000
"""How many versions a role may rise between two states; more than one, because a version may be given up unused."""
_FIXED = frozenset({"root", *ONLINE})

S = TypeVar("S", Snapshot, Timestamp)


@dataclass(frozen=True, slots=True)
class Record:
    """What a signer has signed for one collection, as the bytes that its signatures cover.

    Attributes:
        snapshot: the newest snapshot.
        released: the snapshot that the newest timestamp names; no client has seen a newer one.
        timestamp: the newest timestamp.
        files: the files of the state that ``released`` belongs to, by role, without the timestamp.
        anew: whether an Owner has ended this state; the next one is under a root that this one needn't vouch for.
    """

    snapshot: bytes | None = None
    released: bytes | None = None
    timestamp: bytes | None = None
    files: Mapping[str, bytes] = field(default_factory=dict)
    anew: bool = False

    @property
    def versions(self) -> dict[str, int]:
        """The versions that were used up, 0 for none."""
        snapshot = read_payload(self.snapshot, Snapshot).version if self.snapshot else 0
        timestamp = read_payload(self.timestamp, Timestamp).version if self.timestamp else 0
        return {"snapshot": snapshot, "timestamp": timestamp}


def judge_snapshot(gun: Gun, data: bytes, record: Record, *, now: datetime, lifetimes: Lifetimes) -> Record:
    """Judges the payload of a snapshot.

    Returns:
        The record with this snapshot as its newest; the same record for the payload that it has already.

    Raises:
        Rejected: a leaf for each rule broken.
        Conflict: another payload was signed under this version or a later one; the context has the versions.
    """
    new = read_payload(data, Snapshot)
    if data == record.snapshot and not record.anew:
        return record
    _check_frame(gun, new, record, now, lifetimes)
    versions = named_versions(new)
    before = named_versions(read_payload(record.released, Snapshot)) if record.released else {}
    if missing := sorted(before.keys() - versions.keys()):
        raise BadVersion(f"The snapshot no longer names {missing[0]}, which stays in it for good.")
    for role, version in versions.items():
        last = before.get(role, 0)
        if version < last:
            raise BadVersion(f"The snapshot takes {role} back from version {last} to {version}.")
        if version > last + MAX_RISE:
            raise BadVersion(f"The snapshot takes {role} from version {last} to {version} in one step.")
    return replace(record, snapshot=data)


def judge_timestamp(
    gun: Gun, data: bytes, record: Record, files: Mapping[str, bytes], *, now: datetime, lifetimes: Lifetimes
) -> Record:
    """Judges the payload of a timestamp, which makes the snapshot that it names the current one.

    Args:
        files: the files that this state changes, by role; empty where only the timestamp is new.  ``check_state``
            is for what is in them.

    Returns:
        The record with this timestamp as its newest and these files in it; the same record for the payload that it
        has already.

    Raises:
        Rejected, Conflict: as ``judge_snapshot``.
    """
    new = read_payload(data, Timestamp)
    if data == record.timestamp and not record.anew:
        if any(record.files.get(role) != file for role, file in files.items() if role not in ONLINE):
            raise _signed(gun, new, record)  # snapshots name versions only: other files can have the same payloads
        return record
    _check_frame(gun, new, record, now, lifetimes)
    moment = issued(new)
    if moment is None or abs(moment - now) > SKEW:
        raise BadExpiry(
            f"The timestamp says that it was issued at {moment}, and here it is {now:%Y-%m-%d %H:%M:%S}.",
            hint="Check the clocks of the service and of the signer.",
        )
    if new.snapshot_meta.length is not None or new.snapshot_meta.hashes is not None:
        raise Malformed("The timestamp says more of the snapshot than its version.")
    released = _released(new.snapshot_meta.version, record)
    if released != record.released:
        _check_files(gun, released, record, files)
    elif files:
        raise Malformed("The timestamp names the snapshot before, and files come with it.")
    if record.anew and "root" not in files:
        raise Malformed(f"{gun} was reset, and begins anew with a new root only.")
    if read_payload(released, Snapshot).expires <= now:
        raise BadExpiry("The timestamp names a snapshot that has expired.")
    return replace(record, released=released, timestamp=data, files={**record.files, **files}, anew=False)


def next_root(data: bytes, record: Record) -> Root:
    """A root that comes with what is to be signed: the next one, or once more the one that is there.

    Raises:
        Rejected: its signers don't vouch for it, or it isn't the next one.
    """
    root, old = read(data, Root), known_root(record)
    if old is None or payload(root.signed) != payload(old.signed):
        check_root_follows(root, old, anew=record.anew)
    return root.signed


def check_state(gun: Gun, record: Record, before: Record, timestamp: bytes, now: datetime) -> None:
    """Reads a new state as a client would that has followed the collection's roots: before its timestamp leaves.

    Args:
        record: with the new state's files.
        before: the record that it follows.
        timestamp: the signed timestamp.

    Raises:
        Rejected: a new root that the one before doesn't vouch for, or a state that no client takes.
    """
    if _publishers(record) == _publishers(before):
        return  # it was read when it came; renewals go on also when a publisher's file has expired
    if "root" not in record.files:
        raise Malformed("The state has no root.")
    next_root(record.files["root"], before)
    changed = {role for role, data in _publishers(record).items() if data != before.files.get(role)}
    bins = None if changed & {"root", TARGETS, RELEASES} else changed  # of the others nothing can have changed
    try:  # what expired before may stay so: who renews root can't wait for who renews targets
        files = {**record.files, "timestamp": timestamp}
        evaluate_but_expiry(files, gun, now, fresh={*changed, *ONLINE}, bins=bins)
    except NotTrusted as error:
        raise Malformed(f"No client would take this state: {error.message}") from error
    check_delegated(record.files, changed - {"root", "targets"})


def check_delegated(files: Mapping[str, bytes], changed: Set[str]) -> None:
    """Also what no client reads may rise only by its holders' signatures, or a name could be used up in advance."""
    held = {role: read(files[role], Targets, role).signed for role in (TARGETS, RELEASES) if role in files}
    places = read_places(read(files["root"], Root).signed, held)
    named = {role.name for role in places.delegations.roles} if places.delegations else set()
    heads = {role for role in attributing(places, named) if role in files} if any(map(prefix_of, changed)) else set()
    held |= {role: read(files[role], Targets, role).signed for role in heads}
    said = own_said(places.delegations, held)
    for role in sorted(changed):
        holder = places.granting(role) if places.granting(role) != role else said_in(role, said)
        if role not in named and holder is None:
            raise BadDelegation(f"Nothing delegates to {role[:80]}, and its version rises.")
        delegator = held[holder or TARGETS]
        check_threshold(delegator, role, read(files[role], Targets, f"{role[:80]}.json"))


def signed_file(data: bytes, key_id: str, signature: str) -> bytes:
    """The metadata file of a payload that was judged and its one signature."""
    return b'{"signatures":' + serialise([{"keyid": key_id, "sig": signature}]) + b',"signed":' + data + b"}"


def check_root_follows(new: Metadata[Root], old: Metadata[Root] | None, *, anew: bool = False) -> None:
    """Raises Rejected where ``new`` is not the next root after ``old``, vouched for by both (TRUST 3.3).

    Args:
        anew: an Owner has ended what ``old`` was the root of, so that it vouches for nothing (TRUST 3.5).
    """
    follows = old.signed.version + 1 if old else 1
    if new.signed.version != follows:
        raise BadVersion(f"The state has root version {new.signed.version}; {follows} comes next.")
    check_root_keys(new.signed)
    if old and not anew:
        check_threshold(old.signed, "root", new)
    check_threshold(new.signed, "root", new)


def known_root(record: Record) -> Metadata[Root] | None:
    return read(record.files["root"], Root) if "root" in record.files else None


def read_payload(data: bytes, kind: type[S]) -> S:
    """Reads what a signature covers, as strictly as a file: the canonical bytes, and nothing unknown in them."""
    signed = read(b'{"signatures":[],"signed":' + data + b"}", kind, "The payload").signed
    if payload(signed) != data:
        raise Malformed("The payload is not canonical JSON.")
    return signed


def _check_frame(gun: Gun, new: Snapshot | Timestamp, record: Record, now: datetime, lifetimes: Lifetimes) -> None:
    """What both roles have: this collection's name alone, the next version, an expiry within bounds."""
    if guns(new) != (gun,):
        raise WrongGun(f"The {new.type} belongs to {', '.join(map(str, guns(new)))}, and the key to {gun}.")
    last = record.versions[new.type]
    if new.version <= last:
        raise _signed(gun, new, record)
    if new.version != last + 1:
        raise SignerBehind(
            f"The last {new.type} of {gun} that was signed here has version {last}; {new.version} can't follow it. "
            "Is the signer's database an older copy?",
            hint="Put its newest copy back.",
            versions=record.versions,
        )
    longest = lifetimes.default[new.type]
    if not now + lifetimes.shortest <= new.expires <= now + longest + SKEW:
        raise BadExpiry(
            f"The {new.type} expires at {new.expires:%Y-%m-%d %H:%M}; this signer takes {lifetimes.shortest} to "
            f"{longest.days} days from now.",
            hint=f"Check the clocks, and that TRUSTKIT_{new.type.upper()}_DAYS is the same for signer and service.",
        )


def _signed(gun: Gun, new: Snapshot | Timestamp, record: Record) -> Conflict:
    last = record.versions[new.type]
    return Conflict(
        f"Version {last} of {new.type} of {gun} was signed already.", versions=record.versions, role=new.type
    )


def named_versions(snapshot: Snapshot) -> dict[str, int]:
    """The versions by role; raises Malformed for a name that no role of a publisher has, or more than a version."""
    versions: dict[str, int] = {}
    for name, meta in snapshot.meta.items():
        role = name.removesuffix(".json")
        if role == name or not role or role in _FIXED:
            raise Malformed(f"The snapshot names {ascii(name)[:80]}, which is no role of a publisher.")
        if meta.length is not None or meta.hashes is not None:
            raise Malformed(f"The snapshot says more of {role[:80]} than its version.")
        versions[role] = meta.version
    if "targets" not in versions:
        raise Malformed("The snapshot does not name targets.")
    return versions


def _released(version: int, record: Record) -> bytes:
    """The payload of the snapshot of this version: the newest, or the one that is current."""
    for known in (record.snapshot, record.released):
        if known is not None and read_payload(known, Snapshot).version == version:
            return known
    raise BadVersion(f"The timestamp names snapshot version {version}, which is not the newest that was signed here.")


def _publishers(record: Record) -> Mapping[str, bytes]:
    """The files that publishers have signed."""
    return {role: data for role, data in record.files.items() if role not in ONLINE}


def _check_files(gun: Gun, released: bytes, record: Record, files: Mapping[str, bytes]) -> None:
    """The files are the snapshot and exactly what rises in it, and perhaps a root."""
    if "snapshot" not in files or payload(read(files["snapshot"], Snapshot).signed) != released:
        raise Malformed("The snapshot that the timestamp names did not come with it.")
    after = named_versions(read_payload(released, Snapshot))
    before = named_versions(read_payload(record.released, Snapshot)) if record.released else {}
    rising = {role: version for role, version in after.items() if version != before.get(role)}
    if strange := files.keys() - rising.keys() - {"snapshot", "root"}:
        raise Malformed(f"The file of {ascii(min(strange))[:80]} came with a snapshot that doesn't change it.")
    for role, version in rising.items():
        if role not in files:
            raise Malformed(f"The snapshot has a new version of {role[:80]}, and its file did not come with it.")
        signed = read(files[role], Targets, f"{role[:80]}.json").signed
        if signed.version != version or gun not in guns(signed):
            raise BadVersion(f"The file of {role[:80]} is not the one that the snapshot names.")
