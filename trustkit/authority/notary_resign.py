"""What a publish in format ``docker`` stores: the uploaded files in their series, and the service's own roles."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from securesystemslib.signer import Signer
from tuf.api.metadata import Root, Snapshot, Timestamp

from trustkit.core.formats.docker.files import meta_name, meta_of, read, role_kind, sign
from trustkit.core.formats.docker.judge import SNAPSHOT, TIMESTAMP, chain
from trustkit.core.names import Gun
from trustkit.core.ports.changefeed import UPDATE, Change
from trustkit.core.ports.service import StoredFile
from trustkit.core.readings import Reader
from trustkit.core.versions import LARGEST
from trustkit.errors import StateError

SNAPSHOT_LIFE = timedelta(days=365)
"""Not the service's setting: stock clients warn of a snapshot that ends within six months, at every command.  What it
says is no older for that, as the timestamp names it by its hash."""

_SNAPSHOT_AGE = timedelta(days=30)


def stored(role: str, data: bytes, reader: Reader) -> StoredFile:
    """A file with its version and expiry, as the store keeps it."""
    signed = reader(data, role_kind(role)).signed
    return StoredFile(role, signed.version, data, signed.expires)


def resigned(
    files: Mapping[str, bytes],
    current: Mapping[str, StoredFile],
    signers: Mapping[str, Signer],
    *,
    snapshot: bool,
    now: datetime,
    life: timedelta,
    ahead: int = 0,
    until: datetime | None = None,
    verified_later: bool = False,
) -> list[StoredFile]:
    """A new timestamp, and before it a new snapshot where that is asked for.

    Args:
        files: what the snapshot names: root, targets and delegations.  The snapshot itself, where it isn't made.
        current: the last files of all roles, whose versions these follow.
        life: that of the timestamp.
        ahead: versions to leave out, after the database came from a backup.
        until: a moment that nothing may outlive.
        verified_later: whoever calls evaluates the state that these make, signatures and all.
    """
    made = []
    named = files.get(SNAPSHOT, b"")
    if snapshot:
        meta = {meta_name(role): meta_of(data) for role, data in sorted(files.items()) if role != SNAPSHOT}
        version = _next(SNAPSHOT, current, ahead)
        expires = _ends(now + SNAPSHOT_LIFE, until)
        made.append(_signed(SNAPSHOT, Snapshot(version, None, expires, meta), signers[SNAPSHOT], verified_later))
        named = made[0].data
    expires = _ends(now + life, until)
    timestamp = Timestamp(_next(TIMESTAMP, current, ahead), None, expires, meta_of(named))
    return [*made, _signed(TIMESTAMP, timestamp, signers[TIMESTAMP], verified_later)]


def _ends(expires: datetime, until: datetime | None) -> datetime:
    return (expires if until is None else min(expires, until)).replace(microsecond=0)


def renewed(
    current: Mapping[str, StoredFile],
    signers: Mapping[str, Signer],
    *,
    now: datetime,
    life: timedelta,
    ahead: int = 0,
) -> list[StoredFile]:
    """As ``resigned``, of what is stored; a snapshot only where its key is the service's, and it is a month old.

    Raises:
        StateError: a file is missing.
    """
    if missing := {"root", SNAPSHOT, TIMESTAMP} - current.keys():
        raise StateError(f"The database has no current {', '.join(sorted(missing))}.")
    files = chain({role: file.data for role, file in current.items()})
    life_left = current[SNAPSHOT].expires - now
    aged = bool(ahead) or not SNAPSHOT_LIFE - _SNAPSHOT_AGE < life_left <= SNAPSHOT_LIFE + timedelta(days=1)
    ours = aged and _holds_snapshot(files["root"], signers)
    return resigned(files, current, signers, snapshot=ours, now=now, life=life, ahead=ahead)


def _holds_snapshot(root: bytes, signers: Mapping[str, Signer]) -> bool:
    """Whether a root gives the snapshot to the service's key."""
    return read(root, Root).signed.roles[SNAPSHOT].keyids == [signers[SNAPSHOT].public_key.keyid]


def change_of(gun: Gun, timestamp: StoredFile, now: datetime) -> Change:
    """What the changefeed says of a new timestamp."""
    return Change(now, gun, timestamp.version, hashlib.sha256(timestamp.data).hexdigest(), UPDATE)


def named_by(snapshot: bytes) -> frozenset[str]:
    """The roles that a stored snapshot names."""
    return frozenset(name.removesuffix(".json") for name in read(snapshot, Snapshot).signed.meta)


def _next(role: str, current: Mapping[str, StoredFile], ahead: int) -> int:
    version = ahead + (current[role].version + 1 if role in current else 1)
    if version >= LARGEST:
        raise StateError(f"The versions of {role} are used up.")
    return version


def _signed(role: str, signed: Any, signer: Signer, verified_later: bool) -> StoredFile:
    data = sign(signed, [(signer.public_key, signer)], verified_later=verified_later)
    return StoredFile(role, signed.version, data, signed.expires)


def numbered(file: StoredFile, current: Mapping[str, StoredFile], *, anew: bool) -> StoredFile:
    """A file with its series: a new one where its versions begin anew at a number that was used."""
    head = current.get(file.role)
    if head is None or not anew or file.version > head.version:
        return file
    return replace(file, series=(head.series or 0) + 1)


def further(current: Mapping[str, StoredFile], left: Mapping[str, int], now: datetime) -> dict[str, StoredFile]:
    """The last files, as if those of the service had come to these versions; what came further stays."""
    there = {role: current[role].version if role in current else 0 for role in left}
    return {**current, **{role: StoredFile(role, max(left[role], there[role]), b"", now) for role in left}}


def with_roots(
    files: list[StoredFile], former: Mapping[int, bytes], current: Mapping[str, StoredFile], reader: Reader
) -> list[StoredFile]:
    """The files and the former roots before them: all roots in one series, which is new where one was before."""
    series = (current["root"].series or 0) + 1 if "root" in current else 0
    roots = [stored("root", former[version], reader) for version in sorted(former)]
    return [replace(f, series=series) if f.role == "root" else f for f in [*roots, *files]]
