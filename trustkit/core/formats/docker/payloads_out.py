"""The signed part of a file, from python-tuf's objects to JSON values; the inverse of ``payloads_in``.

What Notary could not read, or would write otherwise, is refused here, not written.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

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

from trustkit.core.formats.docker.canonical import base64_text
from trustkit.core.formats.docker.keys import key_of
from trustkit.core.formats.docker.times import EXPIRES, expires_text
from trustkit.core.formats.docker.values import NULL, check_custom
from trustkit.core.names import shown
from trustkit.errors import Malformed


def signed_value(signed: Signed) -> dict[str, Any]:
    """The JSON value of a signed part.

    Raises:
        Malformed: something in it can't be said in format ``docker``.
    """
    _only(signed.unrecognized_fields, {EXPIRES, NULL}, signed.type)
    value = {"expires": expires_text(signed), "version": signed.version}
    return _WRITERS[type(signed)](signed) | value


def _root(root: Root) -> dict[str, Any]:
    return {
        "_type": "Root",
        "consistent_snapshot": bool(root.consistent_snapshot),
        "keys": _keys(root.keys),
        "roles": {name: _signing(role) for name, role in root.roles.items()},
    }


def _targets(targets: Targets) -> dict[str, Any]:
    entries = {path: _target(entry) for path, entry in targets.targets.items()}
    delegations = targets.delegations or Delegations({}, {})
    return {
        "_type": "Targets",
        "targets": _or_null(entries, "targets", targets.unrecognized_fields),
        "delegations": _delegations(delegations),
    }


def _snapshot(snapshot: Snapshot) -> dict[str, Any]:
    return {
        "_type": "Snapshot",
        "meta": {name.removesuffix(".json"): _meta(entry) for name, entry in snapshot.meta.items()},
    }


def _timestamp(timestamp: Timestamp) -> dict[str, Any]:
    return {"_type": "Timestamp", "meta": {"snapshot": _meta(timestamp.snapshot_meta)}}


_WRITERS: Mapping[type[Signed], Callable[[Any], dict[str, Any]]] = {
    Root: _root,
    Targets: _targets,
    Snapshot: _snapshot,
    Timestamp: _timestamp,
}


def _only(fields: Mapping[str, Any], known: Collection[str], what: str) -> None:
    if unknown := set(fields) - set(known):
        raise Malformed(f"Format docker has no place for {shown(', '.join(sorted(unknown)))} in {what}.")


def _or_null(value: Any, name: str, fields: Mapping[str, Any]) -> Any:
    """What is empty is null where the file that was read had it so."""
    return None if not value and name in fields.get(NULL, ()) else value


def _keys(keys: Mapping[str, Key]) -> dict[str, Any]:
    for key_id, key in keys.items():
        if key_of(key).keyid != key_id:
            raise Malformed(f"Key {key.keyid[:16]} is filed under another id.")
    return {key_id: key.to_dict() for key_id, key in keys.items()}


def _signing(role: Role) -> dict[str, Any]:
    _only(role.unrecognized_fields, {NULL}, "a role")
    return {"keyids": _or_null(list(role.keyids), "keyids", role.unrecognized_fields), "threshold": role.threshold}


def _delegations(delegations: Delegations) -> dict[str, Any]:
    if delegations.roles is None:
        raise Malformed("Format docker has no bins.")
    _only(delegations.unrecognized_fields, {NULL}, "delegations")
    roles = [_delegated(role) for role in delegations.roles.values()]
    fields = delegations.unrecognized_fields
    return {"keys": _or_null(_keys(delegations.keys), "keys", fields), "roles": _or_null(roles, "roles", fields)}


def _delegated(role: DelegatedRole) -> dict[str, Any]:
    if role.terminating or role.paths is None:
        raise Malformed(f"Format docker can't say that {shown(role.name)} is terminating or has hashes for paths.")
    value = _signing(role) | {"name": role.name}
    if role.paths:
        value["paths"] = list(role.paths)
    return value


def _target(entry: TargetFile) -> dict[str, Any]:
    _only(entry.unrecognized_fields, {"custom"}, "a target")
    value = {"hashes": _hashes(entry.hashes), "length": entry.length}
    if "custom" in entry.unrecognized_fields:
        check_custom(entry.custom, f"custom data of {shown(entry.path)}")
        value["custom"] = entry.custom
    return value


def _meta(entry: MetaFile) -> dict[str, Any]:
    _only(entry.unrecognized_fields, (), "meta")
    if entry.length is None or not entry.hashes:
        raise Malformed("Format docker needs length and hashes of each file.")
    return {"hashes": _hashes(entry.hashes), "length": entry.length}


def _hashes(hashes: Mapping[str, str]) -> dict[str, str]:
    return {name: base64_text(bytes.fromhex(value)) for name, value in hashes.items()}
