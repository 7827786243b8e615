"""The service's own two roles: the snapshot and the timestamp that make a new state current (TRUST 3.6)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Signed, Snapshot, Timestamp

from trustkit.core.build import next_snapshot, next_timestamp
from trustkit.core.formats.tuf1 import read, sign
from trustkit.core.lifetimes import Lifetimes
from trustkit.core.names import Gun
from trustkit.core.ports.service import StoredFile


def stored(signed: Signed, data: bytes, role: str = "") -> StoredFile:
    """A file with its version and expiry, as the store keeps it; ``role`` names a delegation's."""
    return StoredFile(role or signed.type, signed.version, data, signed.expires)


def resign_snapshot(
    gun: Gun,
    current: Mapping[str, StoredFile],
    versions: Mapping[str, int],
    signer: CryptoSigner,
    *,
    now: datetime,
    lifetimes: Lifetimes,
) -> StoredFile:
    """The next snapshot, with these versions put in."""
    old = read(current["snapshot"].data, Snapshot).signed if "snapshot" in current else None
    snapshot = next_snapshot(gun, old, versions, now=now, life=lifetimes.default["snapshot"])
    return stored(snapshot, sign(snapshot, {signer.public_key.keyid: signer}))


def resign_timestamp(
    gun: Gun,
    current: Mapping[str, StoredFile],
    snapshot_version: int,
    signer: CryptoSigner,
    *,
    now: datetime,
    lifetimes: Lifetimes,
) -> StoredFile:
    """The next timestamp, naming this snapshot."""
    old = read(current["timestamp"].data, Timestamp).signed if "timestamp" in current else None
    timestamp = next_timestamp(gun, old, snapshot_version, now=now, life=lifetimes.default["timestamp"])
    return stored(timestamp, sign(timestamp, {signer.public_key.keyid: signer}))
