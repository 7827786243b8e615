"""The next version of each role: pure, unsigned.  Signing is ``formats.tuf1.sign``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import copy, deepcopy
from datetime import datetime, timedelta

from securesystemslib.signer import Key
from tuf.api.metadata import MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp

from trustkit.core.formats.tuf1 import GUNS, ISSUED, ROLE, SPEC_VERSION, meta_name, write_time
from trustkit.core.names import Gun, Tag


def _ours(gun: Gun) -> dict[str, object]:
    return {GUNS: [str(gun)]}


def _until(now: datetime, life: timedelta) -> datetime:
    return (now + life).replace(microsecond=0)


def new_root(
    gun: Gun,
    *,
    root: Iterable[Key],
    targets: Iterable[Key],
    online: Mapping[str, Key],
    now: datetime,
    life: timedelta,
    version: int = 1,
) -> Root:
    """The first root of a collection, all thresholds 1.

    Args:
        root: the publisher's root keys.
        targets: the repository keys.
        online: the service's keys for ``snapshot`` and ``timestamp``.
        version: more than 1 for the first root after a reset (TRUST 3.5).
    """
    made = Root(version, SPEC_VERSION, _until(now, life), consistent_snapshot=True, unrecognized_fields=_ours(gun))
    roles: dict[str, Iterable[Key]] = {"root": root, "targets": targets}
    roles |= {role: [key] for role, key in online.items()}
    for role, keys in roles.items():
        for key in keys:
            made.add_key(key, role)
    return made


def first_targets(
    gun: Gun, *, now: datetime, life: timedelta, version: int = 1, hash_bin: str | None = None
) -> Targets:
    """A targets file that signs nothing yet: the collection's own, or a delegation's.

    Args:
        version: more than 1 for a delegation of a name that was in use before (TRUST 3.4).
        hash_bin: the name of the bin whose file it is, which the file says itself (TRUST 4.3).
    """
    ours = _ours(gun) | ({ROLE: hash_bin} if hash_bin else {})
    return Targets(version, SPEC_VERSION, _until(now, life), {}, unrecognized_fields=ours)


def next_targets(
    current: Targets,
    *,
    put: Iterable[TargetFile] = (),
    drop: Iterable[Tag] = (),
    now: datetime,
    life: timedelta,
) -> Targets:
    """The version after ``current`` with these targets put and those tags dropped.

    The two share the entries that stay, which nothing changes in place: copying thousands would take longer than
    signing them.
    """
    following = copy(current)
    following.targets = dict(current.targets)
    following.delegations = deepcopy(current.delegations)
    following.unrecognized_fields = deepcopy(current.unrecognized_fields)
    following.version += 1
    following.expires = _until(now, life)
    for target in put:
        following.targets[target.path] = target
    for tag in drop:
        following.targets.pop(tag.name, None)
    return following


def next_snapshot(
    gun: Gun, current: Snapshot | None, versions: Mapping[str, int], *, now: datetime, life: timedelta
) -> Snapshot:
    """The snapshot after ``current``: versions only, and a name once in stays in (TRUST 3.4, 3.6).

    Args:
        versions: the versions of ``targets`` and the delegations that changed.
    """
    meta = dict(current.meta) if current else {}
    meta |= {meta_name(role): MetaFile(version) for role, version in versions.items()}
    version = current.version + 1 if current else 1
    return Snapshot(version, SPEC_VERSION, _until(now, life), meta, unrecognized_fields=_ours(gun))


def next_timestamp(
    gun: Gun, current: Timestamp | None, snapshot_version: int, *, now: datetime, life: timedelta
) -> Timestamp:
    """The timestamp after ``current``, naming this snapshot and carrying its issue time."""
    version = current.version + 1 if current else 1
    ours = _ours(gun) | {ISSUED: write_time(now)}
    return Timestamp(version, SPEC_VERSION, _until(now, life), MetaFile(snapshot_version), unrecognized_fields=ours)
