"""Format ``tuf``: TUF 1.0 metadata on python-tuf's domain objects, read strictly.

A file is accepted only where its bytes are the canonical compact serialisation of what they say, so what a verifier
re-serialises is what was received (TRUST 3.2), and where nothing stands in it that this version doesn't know.
Each file names its collection in the member ``x-trustkit-guns`` (TRUST 1.3); a timestamp carries the moment it was
signed in ``x-trustkit-issued`` (TRUST 3.6), and a hash bin its own name in ``x-trustkit-role`` (TRUST 4.3).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar, cast

from securesystemslib.signer import Signer
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Delegations, Metadata, MetaFile, Role, Root, Signed, Snapshot, Targets, Timestamp
from tuf.api.serialization import SerializationError
from tuf.api.serialization.json import CanonicalJSONSerializer

from trustkit.core.formats.snapshots import without_versions
from trustkit.core.names import Gun
from trustkit.core.strictjson import parse, serialise
from trustkit.errors import InvalidName, Malformed

S = TypeVar("S", Root, Targets, Snapshot, Timestamp)

GUNS = "x-trustkit-guns"
ISSUED = "x-trustkit-issued"
ROLE = "x-trustkit-role"
TIME = "%Y-%m-%dT%H:%M:%SZ"
SPEC_VERSION = "1.0.31"
MAX_SIGNATURES = 64
_KEY_ID = re.compile(r"[0-9a-f]{64}\Z")
_SIGNATURE = re.compile(r"[0-9a-f]{2,2048}\Z")
_FLOAT = re.compile(rb"[:\[,]-?[0-9]+[.e]")  # any float in compact JSON, and some strings
MAX_GUNS = 2
MAX_BYTES: Mapping[str, int] = {
    "root": 512_000,
    "targets": 5_000_000,
    "snapshot": 2_000_000,
    "timestamp": 16_384,
}
"""The limits of python-tuf's client: what is larger is unreadable to it."""

_TYPES: Mapping[type[Signed], str] = {
    Root: "root",
    Targets: "targets",
    Snapshot: "snapshot",
    Timestamp: "timestamp",
}
_OWN: Mapping[type[Signed], str] = {Timestamp: ISSUED, Targets: ROLE}
_KINDS: Mapping[str, type[Any]] = {name: kind for kind, name in _TYPES.items()}


def read(data: bytes, kind: type[S], what: str = "") -> Metadata[S]:
    """Reads one metadata file; nothing is verified yet.

    Args:
        data: the file as received.
        kind: the type that the caller asked for.
        what: names the file in errors; the type's name if empty.

    Raises:
        Malformed, TooLarge: anything but the canonical serialisation of a file of this type.
    """
    what = what or f"{_TYPES[kind]}.json"
    taken = without_versions(data) if kind is Snapshot and len(data) <= MAX_BYTES["snapshot"] else None
    if taken is not None:
        rest = read(taken[0], kind, what)
        assert isinstance(rest.signed, Snapshot)  # noqa: S101 - that is what was read
        rest.signed.meta = taken[1]
        return rest
    value = parse(data, max_bytes=MAX_BYTES[_TYPES[kind]], what=what, repeated=True)
    try:
        metadata = cast("Metadata[S]", Metadata.from_dict(value))
        again = serialise(metadata.to_dict())
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RepositoryError) as error:
        raise Malformed(f"{what} is not TUF 1.0 metadata: {_cause(error)}.") from error
    if type(metadata.signed) is not kind:
        raise Malformed(f"{what} is of type {metadata.signed.type}, not {_TYPES[kind]}.")
    if again != data:
        parse(data, max_bytes=MAX_BYTES[_TYPES[kind]], what=what)  # tells of a member that stands twice
        raise Malformed(f"{what} is not the canonical compact serialisation of what it says.")
    _check_members(metadata, what)
    _check_types(metadata, what)
    return metadata


def _cause(error: Exception) -> str:
    """The error with what it quotes from the file made printable and short."""
    return f"{type(error).__name__}: {ascii(str(error))[1:-1][:200]}"


def _check_members(metadata: Metadata[Any], what: str) -> None:
    signed = metadata.signed
    known = {GUNS, _OWN.get(type(signed), GUNS)}
    unknown = set(metadata.unrecognized_fields) | (set(signed.unrecognized_fields) - known)
    parts: list[Any] = list(metadata.signatures.values())
    if isinstance(signed, Root):
        parts += [*signed.keys.values(), *signed.roles.values()]
    if isinstance(signed, Targets) and signed.delegations is not None:
        delegations = signed.delegations
        parts += [delegations, *delegations.keys.values(), *(delegations.roles or {}).values()]
        parts += [] if delegations.succinct_roles is None else [delegations.succinct_roles]
    if isinstance(signed, Snapshot):
        parts += signed.meta.values()
    if isinstance(signed, Timestamp):
        parts.append(signed.snapshot_meta)
    for part in parts:
        unknown |= set(part.unrecognized_fields)
    if unknown:
        raise Malformed(f"{what} has members that are not known here: {ascii(', '.join(sorted(unknown)))[:200]}.")
    if not 1 <= signed.version < 2**31:
        raise Malformed(f"{what} has version {signed.version}; versions lie between 1 and 2^31-1.")
    if len(metadata.signatures) > MAX_SIGNATURES:
        raise Malformed(f"{what} has more than {MAX_SIGNATURES} signatures.")


def _check_types(metadata: Metadata[Any], what: str) -> None:
    """Holds every value to its JSON type: python-tuf takes ``true`` for 1, and a dict where a list belongs."""
    signed = metadata.signed
    integers: list[object] = [signed.version]
    key_ids: list[object] = list(metadata.signatures)
    if isinstance(signed, Root):
        if not isinstance(signed.consistent_snapshot, bool):
            raise Malformed(f"{what} has a consistent_snapshot that is not true or false.")
        if not all(isinstance(role.keyids, list) for role in signed.roles.values()):
            raise Malformed(f"{what} has key ids that are not a list.")
        integers += [role.threshold for role in signed.roles.values()]
        key_ids += [*signed.keys, *(key_id for role in signed.roles.values() for key_id in role.keyids)]
    if isinstance(signed, Targets) and signed.delegations is not None:
        integers += _delegated_integers(signed.delegations, what)
        key_ids += _delegated_key_ids(signed.delegations)
    integers += _file_integers(signed)
    if any(type(number) is not int for number in integers):
        raise Malformed(f"{what} has something else where a whole number belongs.")
    if not all(isinstance(key_id, str) and _KEY_ID.match(key_id) for key_id in key_ids):
        raise Malformed(f"{what} has a key id that is not 64 lower-case hex digits.")
    signatures: Iterable[object] = (signature.signature for signature in metadata.signatures.values())
    if not all(isinstance(signature, str) and _SIGNATURE.match(signature) for signature in signatures):
        raise Malformed(f"{what} has a signature that is not lower-case hex.")


def _delegated_integers(delegations: Delegations, what: str) -> list[int]:
    if (bins := delegations.succinct_roles) is not None:
        if not isinstance(bins.keyids, list):
            raise Malformed(f"{what} has key ids that are not a list.")
        return [bins.threshold, bins.bit_length]
    roles = [] if delegations.roles is None else list(delegations.roles.values())
    lists = [value for role in roles for value in (role.keyids, role.paths) if value is not None]
    if not all(isinstance(value, list) for value in lists):
        raise Malformed(f"{what} has key ids or paths that are not a list.")
    texts: list[object] = [text for role in roles for text in (role.name, *(role.paths or ()))]
    if not all(isinstance(text, str) for text in texts) or any(type(role.terminating) is not bool for role in roles):
        raise Malformed(f"{what} has a delegation with a member of the wrong type.")
    return [role.threshold for role in roles]


def _delegated_key_ids(delegations: Delegations) -> list[str]:
    roles: list[Role] = [] if delegations.roles is None else list(delegations.roles.values())
    roles += [] if delegations.succinct_roles is None else [delegations.succinct_roles]
    return [*delegations.keys, *(key_id for role in roles for key_id in role.keyids)]


def _file_integers(signed: Signed) -> list[int]:
    """The numbers in what a file says about other files."""
    if isinstance(signed, Targets):
        return [target.length for target in signed.targets.values()]
    described = [*signed.meta.values()] if isinstance(signed, Snapshot) else []
    if isinstance(signed, Timestamp):
        described = [signed.snapshot_meta]
    return [meta.version for meta in described] + [meta.length for meta in described if meta.length is not None]


def guns(signed: Signed) -> tuple[Gun, ...]:
    """The collections that a file says it belongs to; raises Malformed where it names none, or not properly."""
    named = signed.unrecognized_fields.get(GUNS)
    if not isinstance(named, list) or not 1 <= len(named) <= MAX_GUNS:
        raise Malformed(f"{signed.type}.json does not say which collection it belongs to (member {GUNS}).")
    try:
        return tuple(Gun.parse(name) for name in named)
    except (InvalidName, AttributeError) as error:
        raise Malformed(f"{signed.type}.json names a collection that can't exist.") from error


def issued(timestamp: Timestamp) -> datetime | None:
    """When a timestamp was signed; None where it doesn't say, raises Malformed where it isn't a time."""
    text = timestamp.unrecognized_fields.get(ISSUED)
    if text is None:
        return None
    return read_time(text, f"{ISSUED} of timestamp.json")


def read_time(text: object, what: str) -> datetime:
    """Reads ``YYYY-MM-DDTHH:MM:SSZ``; raises Malformed."""
    try:
        moment = datetime.strptime(cast("str", text), TIME).replace(tzinfo=UTC)
    except (ValueError, TypeError) as error:
        raise Malformed(f"{what} is not a time in the form YYYY-MM-DDTHH:MM:SSZ.") from error
    if moment.strftime(TIME) != text:
        raise Malformed(f"{what} is not a time in the form YYYY-MM-DDTHH:MM:SSZ.")
    return moment


def write_time(moment: datetime) -> str:
    """The wire form of a moment, in UTC and whole seconds."""
    return moment.astimezone(UTC).strftime(TIME)


def payload(signed: Signed) -> bytes:
    """The bytes that signatures cover: the canonical JSON of the signed part (TUF 1.0, 4.2).

    Canonical JSON and compact JSON differ in how they escape only.  Where the compact form escapes nothing it is the
    canonical one, and made ten times as fast: what a signature over thousands of tags costs is this.
    """
    if (compact := _compact(signed)) is not None:
        return compact
    try:
        return CanonicalJSONSerializer().serialize(signed)
    except SerializationError as error:
        raise Malformed(f"{signed.type}.json can't be serialised canonically.") from error


def _compact(signed: Signed) -> bytes | None:
    """The compact form, where it is the canonical one."""
    try:
        compact = serialise(signed.to_dict())
    except (ValueError, TypeError):
        return None
    return None if b"\\" in compact or _FLOAT.search(compact) else compact


def covered(metadata: Metadata[Any], data: bytes) -> bytes:
    """As ``payload``, of a file as ``read`` took it: what signatures cover stands in its bytes.

    Args:
        data: the very bytes that ``metadata`` was read from, unchanged since.
    """
    signatures = [signature.to_dict() for signature in metadata.signatures.values()]
    before = b'{"signatures":' + serialise(signatures) + b',"signed":'
    part = data[len(before) : -1]
    return part if data.startswith(before) and b"\\" not in part else payload(metadata.signed)


def payload_digest(signed: Signed) -> str:
    """The SHA-256, in hex, of what signatures cover: the same for every set of signatures over one file."""
    return hashlib.sha256(payload(signed)).hexdigest()


def sign(signed: Root | Targets | Snapshot | Timestamp, signers: Mapping[str, Signer]) -> bytes:
    """The signed file: one signature a signer, serialised canonically.

    Args:
        signed: the payload.
        signers: signers by key id.
    """
    metadata: Metadata[Any] = Metadata(signed)
    compact = _compact(signed)
    covered = payload(signed) if compact is None else compact
    for key_id in sorted(signers):
        metadata.signatures[key_id] = signers[key_id].sign(covered)
    if compact is None:
        return serialise(metadata.to_dict())
    signatures = [signature.to_dict() for signature in metadata.signatures.values()]
    return b'{"signatures":' + serialise(signatures) + b',"signed":' + covered + b"}"


def meta_name(role: str) -> str:
    """A role's name in snapshot: ``targets.json``."""
    return f"{role}.json"


def role_kind(role: str) -> type[Any]:
    """The type of a role's file; whatever is none of the top-level roles is a delegation's, a targets file."""
    return _KINDS.get(role, Targets)


def meta_version(meta: Mapping[str, MetaFile], role: str) -> int | None:
    """The version of a role that a snapshot names; None where it names none."""
    entry = meta.get(meta_name(role))
    return entry.version if entry else None
