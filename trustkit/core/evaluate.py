"""What a collection's files are worth at one moment: the one evaluation that clients and the gate share (TRUST 7.1).

It repeats the checks that python-tuf's updater makes on the way in, on the files as they lie there, because it adds
what that doesn't check: key ids, aliases, the collection's name in every file, and one ``now`` for all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import field
from datetime import UTC, datetime

from tuf.api.exceptions import LengthOrHashMismatchError
from tuf.api.metadata import Metadata, MetaFile, Root, Signed, Targets

from trustkit.core.bins import check_named
from trustkit.core.formats.tuf1 import meta_name, meta_version, read, role_kind
from trustkit.core.names import Gun, Tag
from trustkit.core.readings import Reader
from trustkit.core.records import dataclass
from trustkit.core.rolefiles import Delegated as Delegated
from trustkit.core.rolefiles import Known as Known
from trustkit.core.rolefiles import RoleFiles, read_files, view_of
from trustkit.core.rolefiles import trusted_roles as trusted_roles
from trustkit.core.roots import check_gun, check_root_keys, check_sound, check_threshold
from trustkit.core.view import SignedTarget, SignedView
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

AS_NOT_TRUSTED: Mapping[type[Exception], type[NotTrusted]] = {
    Malformed: Garbage,
    TooLarge: Garbage,
    BadTarget: Garbage,
    BadDelegation: Garbage,
    WrongGun: WrongCollection,
    BadKeys: SignatureInvalid,
    BadSignature: SignatureInvalid,
}
"""What the judge calls it, and what it means to whoever was about to believe it."""


BEFORE_ALL = datetime.min.replace(tzinfo=UTC)
"""A moment at which nothing has expired."""


@dataclass(frozen=True, slots=True)
class Before:
    """What is known of the files of an evaluation, so that none of it is found out twice in one publish.

    Attributes:
        sound: ``check_sound``, or what remembers for which bytes it was done.
        verified: roles below ``root`` whose files had their signatures verified, under these very keys: those of
            ``known`` that the judge has accepted just now.
        said: by path what an entry says that is in one of the files as it was read before.
    """

    sound: Callable[[Metadata[Root], bytes], None] = check_sound
    verified: Collection[str] = ()
    said: Mapping[str, SignedTarget] = field(default_factory=dict)


def evaluate(
    files: Mapping[str, bytes],
    gun: Gun,
    now: datetime,
    *,
    known: Known | None = None,
    tags: Collection[Tag] | None = None,
    bins: Collection[str] | None = None,
    reader: Reader = read,
) -> SignedView:
    """Judges root, timestamp, snapshot, targets and the delegated roles as one state at ``now``.

    The root is taken as the anchor: whoever calls has walked to it from a pin, or holds it in its own database.

    Args:
        files: bytes by role, exactly as received; files of roles that are not delegated to count for nothing.
        known: root, targets and delegated files, where the caller has read these very bytes with ``read`` already.
        tags: look only at the roles that answer for these tags, and at the bins that they lie in; the view then
            holds no other role's tags, and no other bin's.  Of ``Near`` only the latter.
        bins: of all bins look only at these, and at every role; the view then holds no other bin's tags.
        reader: reads the files, where the caller has one that knows some of them.

    Raises:
        Expired, SignatureInvalid, WrongCollection, Garbage: the first rule that is broken.
    """
    return _evaluated(files, gun, now, known, tags, bins, reader, Before())[0]


def _evaluated(
    files: Mapping[str, bytes],
    gun: Gun,
    now: datetime,
    known: Known | None,
    tags: Collection[Tag] | None,
    bins: Collection[str] | None,
    reader: Reader,
    before: Before,
) -> tuple[SignedView, Mapping[str, Signed]]:
    """The view, and by role what its files say."""
    try:
        roles = read_files(files, known, tags, bins, reader)
        for signed in roles.signed.values():
            check_gun(signed, gun)
        root = roles.root.signed
        before.sound(roles.root, files["root"])
        check_threshold(root, "timestamp", roles.timestamp, files["timestamp"])
        check_threshold(root, "snapshot", roles.snapshot, files["snapshot"])
        for role, metadata in {"targets": roles.targets, **roles.delegated}.items():
            if role not in before.verified:
                check_threshold(roles.delegator(role), role, metadata, files[role])
        _check_versions(roles)
        _check_bytes(roles.timestamp.signed.snapshot_meta, files["snapshot"], "snapshot")
        for role in ("targets", *roles.delegated):
            _check_bytes(roles.snapshot.signed.meta[meta_name(role)], files[role], role)
        for role, signed in roles.signed.items():
            check_not_expired(signed, gun, now, role)
        return view_of(roles, gun, before.said), roles.signed
    except tuple(AS_NOT_TRUSTED) as error:
        raise AS_NOT_TRUSTED[type(error)](f"{gun}: {error}") from error


def check_received(role: str, data: bytes, gun: Gun, reader: Reader = read) -> None:
    """Holds one file, just received, to what it has to be whoever signed it (TRUST 1.3, 2, 3.2).

    A client does so before it keeps the file or walks on from it.  ``evaluate`` alone comes too late: a root in the
    middle of the walk may be another collection's, and hand this one to whoever owns that; and what was kept before
    it was refused would be refused again after the service has become honest.

    Args:
        role: ``root``, ``timestamp``, ``snapshot``, ``targets``, or the name of a delegation.

    Raises:
        WrongCollection, SignatureInvalid (keys against TRUST 2), Garbage.
    """
    try:
        signed: Signed = reader(data, role_kind(role), f"{role}.json").signed
        check_gun(signed, gun)
        if isinstance(signed, Root):
            check_root_keys(signed)
        if isinstance(signed, Targets):
            check_named(role, signed)
    except tuple(AS_NOT_TRUSTED) as error:
        raise AS_NOT_TRUSTED[type(error)](f"{gun}: {error}") from error


def evaluate_but_expiry(
    files: Mapping[str, bytes],
    gun: Gun,
    now: datetime,
    *,
    fresh: Collection[str],
    known: Known | None = None,
    bins: Collection[str] | None = None,
    reader: Reader = read,
    before: Before = Before(),  # noqa: B008 - frozen
) -> SignedView:
    """As ``evaluate``, but only the roles of ``fresh`` have to be unexpired; the rest counts as if time stood still.

    For who renews what has expired, and who tells of it.  No tag of this view may be used as trusted: it says what
    was signed, and nobody vouches that it is current.

    Args:
        before: what whoever calls has seen of these very files already.

    Raises:
        Expired: one of ``fresh``; and as ``evaluate``.
    """
    view, signed = _evaluated(files, gun, BEFORE_ALL, known, None, bins, reader, before)
    for role, file in signed.items():
        if role in fresh:
            check_not_expired(file, gun, now, role)
    return view


def check_not_expired(signed: Signed, gun: Gun, now: datetime, role: str = "") -> None:
    """Raises Expired where the file's expiry has come; ``role`` names a delegation's file."""
    if signed.expires <= now:
        raise has_expired(role or signed.type, signed.expires, gun)


def has_expired(role: str, expires: datetime, gun: Gun | None = None) -> Expired:
    """The error for a role whose expiry has come: which one, since when, and what to do."""
    return Expired(
        f"{f'{gun}: ' if gun else ''}{role} expired at {expires:%Y-%m-%d %H:%M} UTC.",
        hint="Its publisher or the service's operator has to renew it; check this machine's clock, too.",
        role=role,
        expires=expires.isoformat(),
    )


def _check_versions(roles: RoleFiles) -> None:
    if roles.timestamp.signed.snapshot_meta.version != roles.snapshot.signed.version:
        raise Malformed("snapshot is not the version that timestamp names")
    for role, metadata in {"targets": roles.targets, **roles.delegated}.items():
        if meta_version(roles.snapshot.signed.meta, role) != metadata.signed.version:
            raise Malformed(f"{role} is not the version that snapshot names")


def _check_bytes(named: MetaFile, data: bytes, role: str) -> None:
    """Our snapshots name versions only (TRUST 3.6); where one names more, it has to be true."""
    try:
        named.verify_length_and_hashes(data)
    except LengthOrHashMismatchError as error:
        raise Malformed(f"{role} has not the length or hash that is signed for it") from error
