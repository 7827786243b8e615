"""What a collection's files are worth at one moment: the one evaluation that clients and the gate share (TRUST 7.1).

It repeats the checks that python-tuf's updater makes on the way in, on the files as they lie there, because it adds
what that doesn't check: key ids, aliases, the collection's name in every file, and one ``now`` for all of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

from tuf.api.exceptions import LengthOrHashMismatchError
from tuf.api.metadata import Metadata, MetaFile, Root, Signed, Snapshot, Targets, Timestamp

from trustkit.core.formats.tuf1 import issued, meta_name, meta_version, read
from trustkit.core.names import Gun
from trustkit.core.roots import check_gun, check_root_keys, check_threshold
from trustkit.core.targets import read_target
from trustkit.core.view import SignedView
from trustkit.errors import (
    BadDelegation,
    BadKeys,
    BadSignature,
    BadTarget,
    Expired,
    Garbage,
    Malformed,
    NotTrusted,
    SignatureInvalid,
    TooLarge,
    WrongCollection,
    WrongGun,
)

_AS_NOT_TRUSTED: Mapping[type[Exception], type[NotTrusted]] = {
    Malformed: Garbage,
    TooLarge: Garbage,
    BadTarget: Garbage,
    BadDelegation: Garbage,
    WrongGun: WrongCollection,
    BadKeys: SignatureInvalid,
    BadSignature: SignatureInvalid,
}


_KINDS: Mapping[str, type[Any]] = {
    "root": Root,
    "timestamp": Timestamp,
    "snapshot": Snapshot,
    "targets": Targets,
}

Known: TypeAlias = tuple[Metadata[Root], Metadata[Targets]]


@dataclass(frozen=True, slots=True)
class _Roles:
    root: Metadata[Root]
    timestamp: Metadata[Timestamp]
    snapshot: Metadata[Snapshot]
    targets: Metadata[Targets]

    @property
    def signed(self) -> tuple[Signed, ...]:
        return self.root.signed, self.timestamp.signed, self.snapshot.signed, self.targets.signed


def evaluate(files: Mapping[str, bytes], gun: Gun, now: datetime, *, known: Known | None = None) -> SignedView:
    """Judges root, timestamp, snapshot and targets as one state at ``now``.

    The root is taken as the anchor: whoever calls has walked to it from a pin, or holds it in its own database.

    Args:
        files: bytes by role, exactly as received.
        known: root and targets, where the caller has read these very bytes with ``read`` already.

    Raises:
        Expired, SignatureInvalid, WrongCollection, Garbage: the first rule that is broken.
    """
    try:
        roles = _read(files, known)
        for signed in roles.signed:
            check_gun(signed, gun)
        check_root_keys(roles.root.signed)
        check_threshold(roles.root.signed, "root", roles.root)
        check_threshold(roles.root.signed, "timestamp", roles.timestamp)
        check_threshold(roles.root.signed, "snapshot", roles.snapshot)
        check_threshold(roles.root.signed, "targets", roles.targets)
        _check_versions(roles)
        _check_bytes(roles.timestamp.signed.snapshot_meta, files["snapshot"], "snapshot")
        _check_bytes(roles.snapshot.signed.meta[meta_name("targets")], files["targets"], "targets")
        for signed in roles.signed:
            check_not_expired(signed, gun, now)
        return _view(roles, gun)
    except tuple(_AS_NOT_TRUSTED) as error:
        raise _AS_NOT_TRUSTED[type(error)](f"{gun}: {error}") from error


def check_received(role: str, data: bytes, gun: Gun) -> None:
    """Holds one file, just received, to what it has to be whoever signed it (TRUST 1.3, 2, 3.2).

    A client does so before it keeps the file or walks on from it.  ``evaluate`` alone comes too late: a root in the
    middle of the walk may be another collection's, and hand this one to whoever owns that; and what was kept before
    it was refused would be refused again after the service has become honest.

    Args:
        role: ``root``, ``timestamp``, ``snapshot`` or ``targets``.

    Raises:
        WrongCollection, SignatureInvalid (keys against TRUST 2), Garbage.
    """
    try:
        signed: Signed = read(data, _KINDS[role]).signed
        check_gun(signed, gun)
        if isinstance(signed, Root):
            check_root_keys(signed)
    except tuple(_AS_NOT_TRUSTED) as error:
        raise _AS_NOT_TRUSTED[type(error)](f"{gun}: {error}") from error


def check_not_expired(signed: Signed, gun: Gun, now: datetime) -> None:
    """Raises Expired where the file's expiry has come."""
    if signed.expires <= now:
        raise Expired(
            f"{gun}: {signed.type} expired at {signed.expires:%Y-%m-%d %H:%M} UTC.",
            hint="Its publisher or the service's operator has to renew it; check this machine's clock, too.",
            role=signed.type,
            expires=signed.expires.isoformat(),
        )


def _read(files: Mapping[str, bytes], known: Known | None) -> _Roles:
    missing = {"root", "timestamp", "snapshot", "targets"} - set(files)
    if missing:
        raise Malformed(f"no {', '.join(sorted(missing))}")
    root, targets = known or (read(files["root"], Root), read(files["targets"], Targets))
    return _Roles(root, read(files["timestamp"], Timestamp), read(files["snapshot"], Snapshot), targets)


def _check_versions(roles: _Roles) -> None:
    if roles.timestamp.signed.snapshot_meta.version != roles.snapshot.signed.version:
        raise Malformed("snapshot is not the version that timestamp names")
    if meta_version(roles.snapshot.signed.meta, "targets") != roles.targets.signed.version:
        raise Malformed("targets is not the version that snapshot names")
    if roles.targets.signed.delegations is not None:
        raise BadDelegation("targets has delegations, which this version can't judge; upgrade trustkit")


def _check_bytes(named: MetaFile, data: bytes, role: str) -> None:
    """Our snapshots name versions only (TRUST 3.6); where one names more, it has to be true."""
    try:
        named.verify_length_and_hashes(data)
    except LengthOrHashMismatchError as error:
        raise Malformed(f"{role} has not the length or hash that is signed for it") from error


def _view(roles: _Roles, gun: Gun) -> SignedView:
    targets = [read_target(path, entry, "targets") for path, entry in roles.targets.signed.targets.items()]
    root = roles.root.signed
    return SignedView(
        gun=gun,
        targets={target.tag: target for target in targets},
        expires=min(signed.expires for signed in roles.signed),
        issued=issued(roles.timestamp.signed),
        versions={signed.type: signed.version for signed in roles.signed},
        root_keys=tuple(root.roles["root"].keyids),
        target_keys=tuple(root.roles["targets"].keyids),
    )
