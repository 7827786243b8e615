"""Which root is the first one to believe (TRUST 5)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace

from tuf.api.metadata import Root

from trustkit.core.formats.tuf1 import read
from trustkit.core.names import Gun
from trustkit.core.ports.remote import Pin
from trustkit.core.roots import check_gun, check_root_keys, check_threshold, root_signers
from trustkit.errors import Rejected, WrongCollection, WrongGun, WrongRoot

MAX_ROOTS = 256


def anchor(pin: Pin, gun: Gun, roots: Iterable[bytes]) -> bytes:
    """The bytes of the first root to believe: the pinned file, or the lowest version that meets a key pin.

    Args:
        roots: ``1.root.json``, ``2.root.json``, ... as served; read only as far as needed, at most 256.

    Raises:
        WrongRoot: no version meets the pin.
        WrongCollection: the pinned root file belongs to another collection.
    """
    if pin.root is not None:
        _check_own(pin.root, gun)
        return pin.root
    served = 0
    for data in roots:
        served += 1
        if meets(pin, gun, data):
            return data
        if served == MAX_ROOTS:
            break
    raise WrongRoot(
        f"None of the {served} root versions of {gun} is signed by the pinned keys "
        f"({', '.join(key[:16] for key in pin.key_ids)}).",
        hint="Ask its publisher for the root key ids over another channel; if they differ, somebody else signs here.",
        pin=pin.pattern,
    )


def meets(pin: Pin, gun: Gun, data: bytes) -> bool:
    """Whether a root names the GUN and enough pinned keys of its root role have *signed* it (TRUST 5.1).

    A root that only lists the pinned keys, lists a stranger's key under a pinned id, isn't signed by its own
    threshold, or can't be read, doesn't meet it.
    """
    try:
        root = read(data, Root)
        check_gun(root.signed, gun)
        check_root_keys(root.signed)
        check_threshold(root.signed, "root", root)
    except Rejected:
        return False
    return 0 < pin.threshold <= len(root_signers(root) & set(pin.key_ids))


def _check_own(data: bytes, gun: Gun) -> None:
    try:
        root = read(data, Root, "The pinned root")
        check_gun(root.signed, gun)
        check_root_keys(root.signed)
        check_threshold(root.signed, "root", root)
    except WrongGun as error:
        raise WrongCollection(f"The pinned root is not one of {gun}: {error.message}") from error
    except Rejected as error:
        raise WrongRoot(f"The root pinned for {gun} can't be used: {error.message}") from error


def root_key_ids(data: bytes) -> tuple[tuple[str, ...], int]:
    """The ids of a root file's root keys and their threshold; raises Rejected where it can't be read."""
    root = read(data, Root)
    check_root_keys(root.signed)
    check_threshold(root.signed, "root", root)
    role = root.signed.roles["root"]
    return tuple(role.keyids), role.threshold


def moved(
    pin: Pin,
    gun: Gun,
    served: bytes,
    gone: Collection[str],
    comes: Sequence[str],
    *,
    meets: Callable[[Pin, Gun, bytes], bool] = meets,
) -> Pin | None:
    """The pin in the place of ``pin`` after a collection's root keys changed (TRUST 5.5).

    Args:
        served: the new root, verified from ``pin``.
        gone, comes: the ids of the root keys that went and came.
        meets: whether a root meets a pin, in the pin's format.

    Returns:
        None where the pin stays right, or nothing that the new root meets is in its place.
    """
    if pin.root is not None:
        return replace(pin, pattern=str(gun), root=served) if pin.root != served else None
    if not set(pin.key_ids) & set(gone):
        return None
    kept = [key_id for key_id in pin.key_ids if key_id not in gone]
    key_ids = tuple(dict.fromkeys([*kept, *comes]))
    new = replace(pin, pattern=str(gun), key_ids=key_ids, threshold=min(pin.threshold, len(key_ids)))
    return new if key_ids and meets(new, gun, served) else None
