"""What every root of ours has to be, whoever looks at it: the judge, the gate and the client (TRUST 1.3, 2, 3.3)."""

from __future__ import annotations

from collections.abc import Mapping
from threading import Lock
from typing import Any

from securesystemslib.exceptions import UnverifiedSignatureError, VerificationError
from securesystemslib.signer import Key
from tuf.api.exceptions import UnsignedMetadataError
from tuf.api.metadata import Metadata, Root, Signed, Targets

from trustkit.core.formats.tuf1 import covered, guns, payload
from trustkit.core.names import TUF_ROLES, Gun
from trustkit.core.publickeys import check_keys
from trustkit.errors import BadKeys, BadSignature, KeyUnsupported, Malformed, WrongGun

ONLINE = ("snapshot", "timestamp")
MAX_KEYS = 32


def check_gun(signed: Signed, gun: Gun) -> None:
    """Raises WrongGun where the file doesn't name this collection: signed by the right keys, it may be another's."""
    try:
        named = guns(signed)
    except Malformed as error:
        raise WrongGun(error.message) from error
    if gun not in named:
        raise WrongGun(f"{signed.type}.json belongs to {', '.join(map(str, named))}, not to {gun}.")


def check_root_keys(root: Root) -> None:
    """Holds a root's keys, roles and thresholds against TRUST 2.

    Raises:
        BadKeys: a key under another id or twice, of a type not allowed, used by no role; an online key in an
            offline role; thresholds that can't be met; more than 32 keys; no consistent snapshots.
    """
    if not root.consistent_snapshot:
        raise BadKeys("The root does not ask for consistent snapshots.")
    if len(root.keys) > MAX_KEYS:
        raise BadKeys(f"The root has more than {MAX_KEYS} keys.")
    try:
        check_keys(root.keys.values())
    except KeyUnsupported as error:
        raise BadKeys(error.message, hint=error.hint) from error
    used: set[str] = set()
    for name in sorted(TUF_ROLES):
        role = root.roles[name]
        if not 1 <= role.threshold <= len(role.keyids) or not set(role.keyids) <= set(root.keys):
            raise BadKeys(f"The threshold of {name} is {role.threshold} with {len(role.keyids)} keys.")
        used |= set(role.keyids)
    if used != set(root.keys):
        raise BadKeys("The root lists a key that no role uses.")
    online = {key_id for name in ONLINE for key_id in root.roles[name].keyids}
    if online & {key_id for name in ("root", "targets") for key_id in root.roles[name].keyids}:
        raise BadKeys("A key of the service stands in root or targets.")


def check_threshold(delegator: Root | Targets, role: str, metadata: Metadata[Any], data: bytes | None = None) -> None:
    """Raises BadSignature where fewer valid signatures than ``role``'s threshold are there.

    Args:
        data: the very bytes that ``metadata`` was read from, where the caller has them: what signatures cover is
            taken from there rather than made anew.
    """
    signed = payload(metadata.signed) if data is None else covered(metadata, data)
    try:
        delegator.verify_delegate(role, signed, metadata.signatures)
    except (UnsignedMetadataError, ValueError) as error:
        needed = delegator.get_delegated_role(role).threshold
        raise BadSignature(
            f"{role}.json has too few valid signatures for role {role} of {delegator.type} version "
            f"{delegator.version}; it needs {needed}.",
            role=role,
            threshold=needed,
        ) from error


def check_sound(root: Metadata[Root], data: bytes) -> None:
    """Holds a root to what it has to be by itself: its keys and roles, and the threshold of its own keys.

    Args:
        data: the very bytes that ``root`` was read from.

    Raises:
        BadKeys, BadSignature.
    """
    check_root_keys(root.signed)
    check_threshold(root.signed, "root", root, data)


class SoundRoots:
    """``check_sound``, done once for the same bytes: what it comes to follows from them, and from nothing else.

    Args:
        kept: bytes of roots together that are remembered, the newest ones.
    """

    def __init__(self, kept: int) -> None:
        self._kept = kept
        self._sound: dict[bytes, None] = {}
        self._changing = Lock()

    @property
    def remembered(self) -> frozenset[bytes]:
        """What is remembered."""
        return frozenset(self._sound)

    def __call__(self, root: Metadata[Root], data: bytes) -> None:
        """As ``check_sound``; one that isn't is looked at again."""
        if data in self._sound:
            return
        check_sound(root, data)
        with self._changing:
            self._sound[data] = None
            while sum(map(len, self._sound)) > self._kept:
                del self._sound[next(iter(self._sound))]


def root_signers(root: Metadata[Root]) -> frozenset[str]:
    """The ids of those root keys that have *signed* this root; one that is merely listed is none of them (TRUST 5.1).

    The root's keys have passed ``check_root_keys``, so that an id is its key's own.
    """
    return signed_by(root, {key_id: root.signed.keys[key_id] for key_id in root.signed.roles["root"].keyids})


def signed_by(metadata: Metadata[Any], keys: Mapping[str, Key]) -> frozenset[str]:
    """The ids of those of these keys that have validly signed a file."""
    covered = payload(metadata.signed)
    return frozenset(key_id for key_id, key in keys.items() if _has_signed(metadata, key_id, key, covered))


def _has_signed(metadata: Metadata[Any], key_id: str, key: Key, covered: bytes) -> bool:
    if key_id not in metadata.signatures:
        return False
    try:
        key.verify_signature(metadata.signatures[key_id], covered)
    except (UnverifiedSignatureError, VerificationError):
        return False
    return True
