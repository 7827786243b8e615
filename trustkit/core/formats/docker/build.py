"""The next files of a collection in format ``docker``, as objects to be signed with ``files.sign``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from securesystemslib.signer import Key
from tuf.api.metadata import Delegations, Role, Root, Snapshot, TargetFile, Targets, Timestamp

from trustkit.core.formats.docker.files import meta_name, meta_of
from trustkit.core.formats.docker.keys import DockerKey, key_of
from trustkit.core.formats.docker.payloads_in import PrefixRole
from trustkit.core.formats.docker.roles import check_role
from trustkit.core.names import TUF_ROLES


def new_root(keys: Mapping[str, Sequence[Key]], *, version: int, expires: datetime) -> Root:
    """A root in which each of the four roles takes one signature.

    Args:
        keys: by role; those of ``root`` have to be certificates of the collection.
        expires: whole seconds are kept.
    """
    assert set(keys) == TUF_ROLES, "a root has the four roles"  # noqa: S101 - whoever calls names them
    every = {key.keyid: key for role in sorted(keys) for key in keys[role]}
    roles = {role: Role([key.keyid for key in keys[role]], 1) for role in keys}
    return Root(version, None, expires, every, roles, False)


def new_targets(entries: Mapping[str, TargetFile], *, version: int, expires: datetime) -> Targets:
    """A file of ``targets`` or of a delegation, which delegates to nobody."""
    return Targets(version, None, expires, dict(entries), Delegations({}, {}))


def delegate(targets: Targets, role: str, keys: Sequence[DockerKey], paths: Sequence[str] = ("",)) -> None:
    """Has a file delegate to a role, by one of these keys for names that begin with one of these paths.

    A role of this name that is there already is replaced; keys that no role uses any more go, as with Notary.

    Raises:
        InvalidName: no role can have the name.
    """
    made = PrefixRole(check_role(role), [key.keyid for key in keys], 1, False, list(paths))
    delegations = _delegations(targets)
    assert delegations.roles is not None  # noqa: S101 - format docker has no bins
    delegations.roles[role] = made
    delegations.keys.update({key.keyid: key for key in keys})
    _drop_unused(delegations)


def withdraw(targets: Targets, role: str) -> None:
    """Ends a delegation; nothing happens where there is none."""
    delegations = _delegations(targets)
    assert delegations.roles is not None  # noqa: S101 - format docker has no bins
    delegations.roles.pop(role, None)
    _drop_unused(delegations)


def _delegations(targets: Targets) -> Delegations:
    if targets.delegations is None:
        targets.delegations = Delegations({}, {})
    return targets.delegations


def _drop_unused(delegations: Delegations) -> None:
    used = {key_id for role in (delegations.roles or {}).values() for key_id in role.keyids}
    for key_id in set(delegations.keys) - used:
        del delegations.keys[key_id]


def next_snapshot(
    files: Mapping[str, bytes], previous: Snapshot | None, *, version: int, expires: datetime
) -> Snapshot:
    """A snapshot that names these files by the hashes of their very bytes, and what it named before of all others.

    Args:
        files: bytes by role: root, targets and delegations, those that changed or all.
        previous: the one before, if there is one.
    """
    meta = dict(previous.meta) if previous else {}
    meta |= {meta_name(role): meta_of(data) for role, data in files.items() if role not in ("snapshot", "timestamp")}
    return Snapshot(version, None, expires, meta)


def next_timestamp(snapshot: bytes, *, version: int, expires: datetime) -> Timestamp:
    """A timestamp that names this snapshot by the hashes of its very bytes."""
    return Timestamp(version, None, expires, meta_of(snapshot))


def online_keys(root: Root) -> Mapping[str, tuple[DockerKey, ...]]:
    """The keys of snapshot and timestamp; a publisher may hold that of snapshot itself."""
    return {
        role: tuple(key_of(root.keys[key_id]) for key_id in root.roles[role].keyids)
        for role in ("snapshot", "timestamp")
    }
