"""One metadata file of format ``docker``: read strictly, written as Notary writes it, signed.

A file is accepted only where its bytes are the one spelling of what they say: ``{"signed":...,"signatures":[...]}``
as Go marshals it, the signed part in canonical JSON with Go's HTML escapes.  So every implementation that parses and
writes it again comes to the same bytes, which hashes in snapshot and timestamp depend on, and what signatures cover
lies in the received bytes.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar, cast

from securesystemslib.exceptions import UnverifiedSignatureError
from securesystemslib.signer import Key, Signature, Signer
from tuf.api.metadata import Metadata, MetaFile, Root, Signed, Snapshot, Targets, Timestamp

from trustkit.core.formats.docker import signatures, values
from trustkit.core.formats.docker.canonical import base64_text, canonical, escaped, from_base64, parse, unescaped
from trustkit.core.formats.docker.keys import DockerKey, key_of
from trustkit.core.formats.docker.payloads_in import READERS
from trustkit.core.formats.docker.payloads_out import signed_value
from trustkit.core.formats.docker.plaintags import take
from trustkit.core.names import shown
from trustkit.errors import InvalidName, KeyUnsupported, Malformed, TooLarge

S = TypeVar("S", Root, Targets, Snapshot, Timestamp)

MAX_SIGNATURES = 64
MAX_BYTES: Mapping[str, int] = {
    "root": 1_000_000,
    "targets": 10_000_000,
    "snapshot": 2_000_000,
    "timestamp": 65_536,
}
"""The largest files that are read.  A tag takes about 93 bytes."""

TYPES: Mapping[type[Signed], str] = {Root: "Root", Targets: "Targets", Snapshot: "Snapshot", Timestamp: "Timestamp"}
_KINDS: Mapping[str, type[Any]] = {name.lower(): kind for kind, name in TYPES.items()}
_BEFORE, _BETWEEN = b'{"signed":', b',"signatures":'


def read(data: bytes, kind: type[S], what: str = "") -> Metadata[S]:
    """Reads one metadata file; nothing is verified yet.  A ``core.readings.Reader``.

    Args:
        data: the file as received.
        kind: the type that the caller asked for; ``Targets`` for a delegation, too.
        what: names the file in errors; the type's name if empty.

    Raises:
        Malformed, TooLarge: anything but the one spelling of a file of this type.
    """
    what = what or f"{TYPES[kind].lower()}.json"
    taken = take(data) if kind is Targets and len(data) <= MAX_BYTES["targets"] else None
    if taken is not None:
        with contextlib.suppress(Malformed, TooLarge):  # what is wrong is told of the whole file
            metadata = _read(taken.rest, kind, what)
            if isinstance(metadata.signed, Targets) and not metadata.signed.targets:
                metadata.signed.targets = taken.targets
                return metadata
    return _read(data, kind, what)


def _read(data: bytes, kind: type[S], what: str) -> Metadata[S]:
    value = parse(data, max_bytes=MAX_BYTES[TYPES[kind].lower()], what=what, repeated=True)
    envelope = values.members(value, what, ("signed", "signatures"))
    listed = _signatures(envelope["signatures"], what)
    part = canonical(envelope["signed"], what)
    if data != _file(part, listed):
        parse(data, max_bytes=MAX_BYTES[TYPES[kind].lower()], what=what)  # tells of a member that stands twice
        raise Malformed(f"{what} is not spelt as Notary writes what it says.")
    signed = values.mapping(envelope["signed"], what)
    if signed.get("_type") != TYPES[kind]:
        raise Malformed(f"{what} is of type {shown(str(signed.get('_type')))}, not {TYPES[kind]}.")
    try:
        return Metadata(cast("S", READERS[kind](signed, what)), listed)
    except (InvalidName, KeyUnsupported) as error:
        raise Malformed(f"{what}: {error.message}", hint=error.hint) from error
    except ValueError as error:  # python-tuf's constructors
        raise Malformed(f"{what} is not metadata: {ascii(str(error))[1:-1][:200]}.") from error


def _signatures(value: object, what: str) -> dict[str, Signature]:
    listed: dict[str, Signature] = {}
    for entry in values.listed(value, f"signatures of {what}", MAX_SIGNATURES):
        fields = values.members(entry, f"A signature of {what}", ("keyid", "method", "sig"))
        (key_id,) = values.key_ids([fields["keyid"]], f"A signature of {what}", 1)
        if key_id in listed:
            raise Malformed(f"{what} has two signatures by {key_id[:16]}.")
        bytes_ = from_base64(fields["sig"], f"sig of {what}", longest=signatures.MAX_SIGNATURE)
        method = values.text(fields["method"], f"method of a signature of {what}")
        listed[key_id] = signatures.make(key_id, method, bytes_)
        signatures.method_of(listed[key_id])
    return listed


def _file(part: bytes, listed: Mapping[str, Signature]) -> bytes:
    return _BEFORE + escaped(part) + _tail(listed)


def _tail(listed: Mapping[str, Signature]) -> bytes:
    entries = ",".join(
        f'{{"keyid":"{key_id}","method":"{signatures.method_of(signature)}",'
        f'"sig":"{base64_text(bytes.fromhex(signature.signature))}"}}'
        for key_id, signature in listed.items()
    )
    return _BETWEEN + b"[" + entries.encode("ascii") + b"]}"


def write(metadata: Metadata[Any]) -> bytes:
    """The file, as Notary writes it: what was read comes back byte for byte.

    Raises:
        Malformed: something in it can't be said in this format.
    """
    return _file(payload(metadata.signed), metadata.signatures)


def payload(signed: Signed) -> bytes:
    """The bytes that signatures cover, made anew; raises Malformed.  ``covered`` finds them in a received file."""
    return canonical(signed_value(signed), f"{signed.type}.json")


def covered(metadata: Metadata[Any], data: bytes) -> bytes:
    """What signatures cover, found in the bytes of a file as ``read`` took it.

    Args:
        data: the very bytes that ``metadata`` was read from, unchanged since.

    Raises:
        Malformed: they are other bytes.
    """
    tail = _tail(metadata.signatures)
    if not data.startswith(_BEFORE) or not data.endswith(tail):
        raise Malformed(f"{metadata.signed.type}.json is not the file that was read.")
    return unescaped(data[len(_BEFORE) : -len(tail)])


def payload_digest(signed: Signed) -> str:
    """The SHA-256, in hex, of what signatures cover: the same for every set of signatures over one file."""
    return hashlib.sha256(payload(signed)).hexdigest()


def signature_by(key: Key, signer: Signer, covers: bytes, *, verified_later: bool = False) -> Signature:
    """One signature, as Notary writes it, by a signer of securesystemslib that holds the private part of ``key``.

    Args:
        verified_later: whoever calls verifies it anyhow, before anybody else sees it.

    Raises:
        KeyUnsupported: what it made is no signature by this key: another key, or another scheme.
    """
    own: DockerKey = key_of(key)
    made = signatures.from_securesystemslib(own.loaded, signer.sign(covers), own.keyid, own.scheme)
    if verified_later:
        return made
    try:
        own.verify_signature(made, covers)
    except UnverifiedSignatureError as error:
        raise KeyUnsupported(
            f"The signer given for key {own.keyid[:16]} doesn't sign as Notary has it.",
            hint="An ECDSA key signs over SHA-256, whatever its curve; an RSA key by PSS.",
        ) from error
    return made


def sign(
    signed: Root | Targets | Snapshot | Timestamp,
    signers: Iterable[tuple[Key, Signer]],
    *,
    verified_later: bool = False,
) -> bytes:
    """The signed file.

    Args:
        signed: the payload.
        signers: each key as the role names it, a certificate's where it is one, with who holds its private part; one
            private key may stand there under several certificates.
        verified_later: as ``signature_by``.

    Raises:
        Malformed, KeyUnsupported.
    """
    covers = payload(signed)
    made = {key.keyid: signature_by(key, signer, covers, verified_later=verified_later) for key, signer in signers}
    return _file(covers, dict(sorted(made.items())))


def meta_of(data: bytes, *, sha512: bool = True) -> MetaFile:
    """What snapshot and timestamp say of a file: its length and hashes, of all its bytes."""
    hashes = {"sha256": hashlib.sha256(data).hexdigest()}
    if sha512:
        hashes["sha512"] = hashlib.sha512(data).hexdigest()
    return MetaFile(1, len(data), hashes)


def meta_name(role: str) -> str:
    """A role's name in the domain object of snapshot: ``targets/releases.json``."""
    return f"{role}.json"


def role_kind(role: str) -> type[Any]:
    """The type of a role's file; whatever is none of the top-level roles is a delegation's, a targets file."""
    return _KINDS.get(role, Targets)
