"""Who signed: roots, thresholds, and what may follow a root (TRUST 2, 5; Notary's trustpinning/certs.go)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from securesystemslib.exceptions import UnverifiedSignatureError
from securesystemslib.signer import Key
from tuf.api.metadata import Metadata, Root, Targets

from trustkit.core.formats.docker.certificates import check_root_key, ends, is_live
from trustkit.core.formats.docker.files import covered
from trustkit.core.formats.docker.keys import canonical_ids, key_of
from trustkit.core.names import TUF_ROLES, Gun
from trustkit.errors import BadKeys, BadSignature, BadVersion, Expired

MAX_ROOT_KEYS = 32


def check_root(root: Root, gun: Gun) -> None:
    """Holds a root's keys and roles to their rules, at any time; nobody's signature is looked at.

    Keys that no role uses are let be: Notary leaves the certificates of former root keys there.

    Raises:
        BadKeys: a threshold that its role's keys can't meet, one key under two certificates counted once; a root key
            that isn't a certificate as ``certificates`` has it.
        WrongGun: a root key's certificate is another collection's.
    """
    for name in sorted(TUF_ROLES):
        role = root.roles[name]
        if not set(role.keyids) <= set(root.keys):
            raise BadKeys(f"The root names a key of {name} that it doesn't list.")
        keys = canonical_ids(root.keys[key_id] for key_id in role.keyids)
        if not 1 <= role.threshold <= len(keys):
            raise BadKeys(f"The threshold of {name} is {role.threshold} with {len(keys)} keys.")
    if len(root.roles["root"].keyids) > MAX_ROOT_KEYS:
        raise BadKeys(f"The root has more than {MAX_ROOT_KEYS} root keys.")
    for key in root_keys(root).values():
        check_root_key(key_of(key), gun)


def root_keys(root: Root) -> Mapping[str, Key]:
    """The keys of the root role by id."""
    return {key_id: root.keys[key_id] for key_id in root.roles["root"].keyids}


def signed_by(metadata: Metadata[Any], data: bytes, keys: Mapping[str, Key]) -> frozenset[str]:
    """The ids of those of these keys that have validly signed a file.

    Args:
        data: the very bytes that ``metadata`` was read from.
    """
    covers = covered(metadata, data)
    return frozenset(key_id for key_id, key in keys.items() if _has_signed(metadata, key_id, key, covers))


def _has_signed(metadata: Metadata[Any], key_id: str, key: Key, covers: bytes) -> bool:
    if key_id not in metadata.signatures:
        return False
    try:
        key_of(key).verify_signature(metadata.signatures[key_id], covers)
    except UnverifiedSignatureError:
        return False
    return True


def root_signers(root: Metadata[Root], data: bytes) -> frozenset[str]:
    """The ids of those root keys that have *signed* this root; one that is merely listed is none (TRUST 5.1)."""
    return signed_by(root, data, root_keys(root.signed))


def check_threshold(delegator: Root | Targets, role: str, metadata: Metadata[Any], data: bytes) -> frozenset[str]:
    """Holds a file to the threshold of its role.

    One key counts once, under however many certificates it signed (TRUST 2.2); Notary counts ids.

    Args:
        data: the very bytes that ``metadata`` was read from.

    Returns:
        The ids of those keys of the role that validly signed it.

    Raises:
        BadSignature: too few valid signatures, or no such role.
    """
    try:
        result = delegator.get_verification_result(role, covered(metadata, data), metadata.signatures)
    except ValueError as error:
        raise BadSignature(f"{role} is not delegated to.", role=role) from error
    if result.threshold < 1 or len(canonical_ids(result.signed.values())) < result.threshold:
        raise BadSignature(
            f"{role}.json has too few valid signatures for role {role} of {delegator.type} version "
            f"{delegator.version}; it needs {result.threshold}.",
            role=role,
            threshold=result.threshold,
        )
    return frozenset(result.signed)


def check_root_at(root: Metadata[Root], data: bytes, now: datetime | None) -> datetime:
    """Holds a root to its own threshold by certificates that are valid at ``now``; None leaves out the time.

    Returns:
        When too few of them are valid any more.

    Raises:
        BadSignature: too few valid signatures.
        Expired: enough, but too few by certificates of that time.
    """
    signed = check_threshold(root.signed, "root", root, data)
    role = root.signed.roles["root"]
    signers = [key_of(root.signed.keys[key_id]) for key_id in sorted(signed)]
    distinct = list({key.canonical_id: key for key in sorted(signers, key=lambda key: ends([key], 1))}.values())
    until = ends(distinct, role.threshold)
    live = [key for key in signers if now is None or is_live(key, now)]
    if len(canonical_ids(live)) < role.threshold:
        raise Expired(
            f"The certificates that signed root.json are not valid now; the last one's end is {until:%Y-%m-%d}.",
            hint="Its publisher has to rotate the root key; check this machine's clock, too.",
            role="root",
            expires=until.isoformat(),
        )
    return until


def check_successor(old: Metadata[Root], new: Metadata[Root], data: bytes, gun: Gun) -> None:
    """Whether a root may follow another: the next version, signed by the old root's keys and by its own.

    The time counts for nothing here: what was signed while a certificate was valid stays signed.

    Args:
        old: a root that is trusted.
        data: the very bytes that ``new`` was read from.

    Raises:
        BadVersion, BadKeys, WrongGun, BadSignature.
    """
    check_root(new.signed, gun)
    if new.signed.version != old.signed.version + 1:
        raise BadVersion(f"Root version {new.signed.version} of {gun} can't follow version {old.signed.version}.")
    check_threshold(old.signed, "root", new, data)
    check_threshold(new.signed, "root", new, data)
