"""Moving a publisher's own pin to a new root (TRUST 5.5)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from trustkit.client.trust import Current
from trustkit.core.names import Gun
from trustkit.core.patterns import GunPattern
from trustkit.core.pinning import meets
from trustkit.core.ports.remote import Pin, PinStore


def moved_pin(gun: Gun, current: Current, gone: Collection[str], comes: Sequence[str]) -> Pin | None:
    """The pin in the place of the one that a collection was verified with, after its root keys changed.

    Args:
        current: the verified state, the new root included.
        gone, comes: the ids of the root keys that went and came.

    Returns:
        None where the pin stays right, or nothing that the new root meets is in its place.
    """
    there, served = current.pin, current.files["root"]
    if there.root is not None:
        return Pin(str(gun), root=served) if there.root != served else None
    if not set(there.key_ids) & set(gone):
        return None
    kept = [key_id for key_id in there.key_ids if key_id not in gone]
    key_ids = tuple(dict.fromkeys([*kept, *comes]))
    moved = replace(there, pattern=str(gun), key_ids=key_ids, threshold=min(there.threshold, len(key_ids)))
    return moved if key_ids and meets(moved, gun, served) else None


def move_pin(pins: PinStore, gun: Gun, current: Current, gone: Collection[str], comes: Sequence[str]) -> bool:
    """Puts ``moved_pin`` in place; a pin of a pattern stays for its other collections."""
    moved = moved_pin(gun, current, gone, comes)
    if moved is None:
        return False
    pins.add(moved, replace=GunPattern.parse(current.pin.pattern).exact)
    return True
