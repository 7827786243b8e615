"""The signed part of a file, from JSON values to python-tuf's objects; nothing is left unread."""

from __future__ import annotations

import re
from binascii import a2b_base64
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeAlias

from securesystemslib.signer import Key
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    MetaFile,
    Role,
    Root,
    Signed,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)

from trustkit.core.formats.docker import values
from trustkit.core.formats.docker.canonical import LARGEST, from_base64
from trustkit.core.formats.docker.keys import DockerKey
from trustkit.core.formats.docker.roles import check_role, is_delegation
from trustkit.core.formats.docker.times import EXPIRES, read_time
from trustkit.core.formats.docker.values import NULL
from trustkit.core.names import TUF_ROLES, shown
from trustkit.core.versions import LARGEST as LARGEST_VERSION
from trustkit.errors import InvalidName, Malformed

COMMON = ("_type", "expires", "version")
HASHES: Mapping[str, int] = {"sha256": 32, "sha512": 64}
_OF_TAG, _SHA256 = {"hashes", "length"}, {"sha256"}
_BASE64_OF_32 = re.compile(r"[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=\Z")
MAX_KEYS = 512
MAX_KEY_IDS = 128
MAX_ROLES = 256
MAX_PATHS = 256
MAX_NAMED = 1024
"""Roles that a snapshot names, those among them that are delegated to no more."""

_Common: TypeAlias = tuple[int, datetime, dict[str, Any]]


class PrefixRole(DelegatedRole):
    """A delegation whose paths are prefixes of names, the empty one for all; python-tuf's are patterns."""

    def is_delegated_path(self, target_filepath: str) -> bool:
        """Whether the role may sign this name, as far as its own paths say; see ``tree`` for its parents'."""
        return any(target_filepath.startswith(prefix) for prefix in self.paths or ())


class TagFile(TargetFile):
    """What Docker writes of a tag, held to more than python-tuf asks for before it is made of it.

    Args:
        length: of the manifest, in bytes.
        sha256: its digest, in hex.
    """

    def __init__(self, length: int, sha256: str, path: str) -> None:  # python-tuf's checks would take thrice as long
        self.length, self.hashes, self.path = length, {"sha256": sha256}, path
        self.unrecognized_fields = {}


def read_root(value: dict[str, Any], what: str) -> Root:
    """Raises Malformed, KeyUnsupported."""
    fields = values.members(value, what, (*COMMON, "consistent_snapshot", "keys", "roles"))
    version, expires, kept = _common(fields, what)
    if not isinstance(fields["consistent_snapshot"], bool):
        raise Malformed(f"{what} has a consistent_snapshot that is not true or false.")
    keys = _keys(fields["keys"], what)
    roles = values.members(fields["roles"], f"roles of {what}", TUF_ROLES)
    read = {name: Role(*_signing(role, f"{name} in {what}", {"keyids", "threshold"})) for name, role in roles.items()}
    return Root(version, None, expires, keys, read, fields["consistent_snapshot"], kept)


def read_targets(value: dict[str, Any], what: str) -> Targets:
    """Raises Malformed, KeyUnsupported, InvalidName."""
    fields = values.members(value, what, (*COMMON, "targets", "delegations"))
    version, expires, kept = _common(fields, what)
    entries = _nullable(fields, "targets", {}, kept)
    called = f"{what}: target"
    targets = {
        values.name(path, called): _tag(path, entry) or _target(path, entry, f"{called} {shown(path)}")
        for path, entry in values.mapping(entries, f"targets of {what}").items()
    }
    return Targets(version, None, expires, targets, _delegations(fields["delegations"], what), kept)


def read_snapshot(value: dict[str, Any], what: str) -> Snapshot:
    """Raises Malformed, InvalidName."""
    fields = values.members(value, what, (*COMMON, "meta"))
    version, expires, kept = _common(fields, what)
    meta = values.mapping(fields["meta"], f"meta of {what}", MAX_NAMED)
    for needed in ("root", "targets"):
        if needed not in meta:
            raise Malformed(f"{what} does not name {needed}.")
    for role in meta:
        if check_role(role) in ("snapshot", "timestamp"):
            raise Malformed(f"{what} names {role}.")
    read = {f"{role}.json": _meta(entry, f"{role} in {what}") for role, entry in meta.items()}
    return Snapshot(version, None, expires, read, kept)


def read_timestamp(value: dict[str, Any], what: str) -> Timestamp:
    """Raises Malformed."""
    fields = values.members(value, what, (*COMMON, "meta"))
    version, expires, kept = _common(fields, what)
    meta = values.members(fields["meta"], f"meta of {what}", ("snapshot",))
    return Timestamp(version, None, expires, _meta(meta["snapshot"], f"snapshot in {what}"), kept)


READERS: Mapping[type[Signed], Callable[[dict[str, Any], str], Signed]] = {
    Root: read_root,
    Targets: read_targets,
    Snapshot: read_snapshot,
    Timestamp: read_timestamp,
}


def _common(fields: dict[str, Any], what: str) -> _Common:
    version = values.number(fields["version"], f"version of {what}", 1, LARGEST_VERSION)
    return version, read_time(fields["expires"], f"expires of {what}"), {EXPIRES: fields["expires"]}


def _nullable(fields: dict[str, Any], name: str, empty: Any, kept: dict[str, Any]) -> Any:
    """The member, or what is empty where it is null; how it was spelt is kept."""
    if fields[name] is not None:
        return fields[name]
    kept[NULL] = [*kept.get(NULL, ()), name]
    return empty


def _keys(value: object, what: str) -> dict[str, Key]:
    return {
        key_id: DockerKey.from_dict(key_id, entry)
        for key_id, entry in values.mapping(value, f"keys of {what}", MAX_KEYS).items()
    }


def _signing(value: object, what: str, names: set[str]) -> tuple[list[str], int, dict[str, Any]]:
    """Key ids, threshold, and how they were spelt."""
    fields = values.members(value, what, names, ("paths",) if "name" in names else ())
    kept: dict[str, Any] = {}
    key_ids = values.key_ids(_nullable(fields, "keyids", [], kept), f"keyids of {what}", MAX_KEY_IDS)
    return key_ids, values.number(fields["threshold"], f"threshold of {what}", 1, MAX_KEY_IDS), kept


def _delegations(value: object, what: str) -> Delegations:
    fields = values.members(value, f"delegations of {what}", ("keys", "roles"))
    kept: dict[str, Any] = {}
    keys = _keys(_nullable(fields, "keys", {}, kept), f"the delegations of {what}")
    listed = values.listed(_nullable(fields, "roles", [], kept), f"roles of {what}", MAX_ROLES)
    roles: dict[str, DelegatedRole] = {}
    for entry in listed:
        role = _delegated(entry, what, keys)
        if role.name in roles:
            raise Malformed(f"{what} delegates to {role.name} twice.")
        roles[role.name] = role
    return Delegations(keys, roles, None, kept)


def _delegated(value: object, what: str, keys: Mapping[str, Key]) -> PrefixRole:
    role = f"a delegation of {what}"
    key_ids, threshold, kept = _signing(value, role, {"keyids", "name", "threshold"})
    fields = values.mapping(value, role)
    name = values.text(fields["name"], f"name of {role}")
    if not is_delegation(name):
        raise InvalidName(f"{what} delegates to {shown(name)}, which can't be the name of a delegation.")
    if not set(key_ids) <= set(keys):
        raise Malformed(f"{name} in {what} has a key id without a key.")
    paths = values.listed(fields.get("paths", []), f"paths of {name}", MAX_PATHS)
    if "paths" in fields and not paths:
        raise Malformed(f"{name} in {what} has a list of paths that is empty, where Notary writes none.")
    read = [values.prefix(path, f"Path of {name}") for path in paths]
    if len(set(read)) != len(read):
        raise Malformed(f"{name} in {what} has a path twice.")
    return PrefixRole(name, key_ids, threshold, False, read, None, kept)


def _tag(path: str, value: object) -> TargetFile | None:
    """What Docker writes of a tag, five times as fast as ``_target``, which reads everything; None for all else."""
    if not isinstance(value, dict) or value.keys() != _OF_TAG:
        return None
    hashes, length = value["hashes"], value["length"]
    if not isinstance(hashes, dict) or hashes.keys() != _SHA256 or type(length) is not int:
        return None
    digest = hashes["sha256"]
    if not isinstance(digest, str) or not _BASE64_OF_32.match(digest) or not 0 <= length <= LARGEST:
        return None
    return TagFile(length, a2b_base64(digest).hex(), path)


def _target(path: str, value: object, what: str) -> TargetFile:
    fields = values.members(value, what, ("hashes", "length"), ("custom",))
    kept = {}
    if "custom" in fields:
        if fields["custom"] is None:
            raise Malformed(f"{what} has custom data that is null, where Notary writes none.")
        values.check_custom(fields["custom"], f"custom data of {what}")
        kept["custom"] = fields["custom"]
    return TargetFile(values.number(fields["length"], f"length of {what}", 0), _hashes(fields, what), path, kept)


def _meta(value: object, what: str) -> MetaFile:
    fields = values.members(value, what, ("hashes", "length"))
    hashes = _hashes(fields, what)
    if "sha256" not in hashes:
        raise Malformed(f"{what} has no sha256.")
    return MetaFile(1, values.number(fields["length"], f"length of {what}", 1), hashes)


def _hashes(fields: dict[str, Any], what: str) -> dict[str, str]:
    found = values.members(fields["hashes"], f"hashes of {what}", (), HASHES)
    if not found:
        raise Malformed(f"{what} has no hash.")
    read = {name: from_base64(value, f"{name} of {what}", longest=HASHES[name]) for name, value in found.items()}
    if any(len(value) != HASHES[name] for name, value in read.items()):
        raise Malformed(f"{what} has a hash of the wrong size.")
    return {name: value.hex() for name, value in read.items()}
