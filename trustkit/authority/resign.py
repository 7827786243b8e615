"""The service's own two roles: the snapshot and the timestamp that make a new state current (TRUST 3.6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from securesystemslib.signer import Signer
from tuf.api.metadata import Signed, Snapshot, Timestamp

from trustkit.authority.onlinekeys import JudgedSigner
from trustkit.core.build import next_snapshot, next_timestamp
from trustkit.core.formats.tuf1 import read, sign
from trustkit.core.lifetimes import Lifetimes
from trustkit.core.names import Gun
from trustkit.core.ports.service import StoredFile
from trustkit.core.readings import Reader


def stored(signed: Signed, data: bytes, role: str = "") -> StoredFile:
    """A file with its version and expiry, as the store keeps it; ``role`` names a delegation's."""
    return StoredFile(role or signed.type, signed.version, data, signed.expires)


def resign_snapshot(
    gun: Gun,
    current: Mapping[str, StoredFile],
    versions: Mapping[str, int],
    signer: Signer,
    *,
    now: datetime,
    lifetimes: Lifetimes,
    root: bytes | None = None,
    anew: bool = False,
    reader: Reader = read,
) -> StoredFile:
    """The next snapshot, with these versions put in.

    Args:
        root: the root of the new state, where that is new; a separate signer signs with the key that it names.
        anew: the one before is in another format: nothing of it counts but its version.
        reader: reads the one before.

    Raises:
        ServerFailed, StateError, SignerAhead: a separate signer that can't be reached, refuses, or has signed more.
    """
    old = reader(current["snapshot"].data, Snapshot).signed if "snapshot" in current and not anew else None
    snapshot = next_snapshot(gun, old, versions, now=now, life=lifetimes.default["snapshot"])
    snapshot.version = max(snapshot.version, _used(signer) + 1, _last("snapshot", current) + 1)
    if isinstance(signer, JudgedSigner) and root is not None:
        signer.files = {"root": root}
    return stored(snapshot, sign(snapshot, {signer.public_key.keyid: signer}))


def resign_timestamp(
    gun: Gun,
    current: Mapping[str, StoredFile],
    snapshot_version: int,
    signer: Signer,
    *,
    now: datetime,
    lifetimes: Lifetimes,
    changed: Sequence[StoredFile] = (),
    anew: bool = False,
    reader: Reader = read,
) -> StoredFile:
    """The next timestamp, naming this snapshot.

    Args:
        changed: the files that this state changes, the snapshot among them; a separate signer reads and keeps them.
        anew, reader: as ``resign_snapshot``.

    Raises:
        ServerFailed, StateError, SignerAhead: as ``resign_snapshot``.
    """
    old = reader(current["timestamp"].data, Timestamp).signed if "timestamp" in current and not anew else None
    timestamp = next_timestamp(gun, old, snapshot_version, now=now, life=lifetimes.default["timestamp"])
    timestamp.version = max(timestamp.version, _used(signer) + 1, _last("timestamp", current) + 1)
    if isinstance(signer, JudgedSigner):
        signer.files = {file.role: file.data for file in changed}
    return stored(timestamp, sign(timestamp, {signer.public_key.keyid: signer}))


def _last(role: str, current: Mapping[str, StoredFile]) -> int:
    return current[role].version if role in current else 0


def _used(signer: Signer) -> int:
    """The last version that a separate signer is known to have used up; our own database tells those of our own."""
    return signer.used if isinstance(signer, JudgedSigner) else 0
