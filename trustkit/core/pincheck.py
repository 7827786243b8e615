"""Pins that can be met, and no others: an empty or ambiguous one is refused, never read as "anything" (TRUST 5.1)."""

from __future__ import annotations

import re

from trustkit.core.patterns import GunPattern
from trustkit.core.ports.remote import Pin
from trustkit.errors import InvalidSetting

MAX_ROOT = 512_000
MAX_KEYS = 64
FORMATS = frozenset({"tuf", "docker"})
_KEY_ID = re.compile(r"[0-9a-f]{64}\Z")


def check_pin(pin: Pin) -> GunPattern:
    """The pattern of a pin that can be met; an empty or ambiguous pin is refused, never read as "anything".

    Raises:
        InvalidName: the pattern.
        InvalidSetting: neither or both of a root file and key ids, a root file for a pattern of GUNs, ids that are
            none or stand twice, a threshold that the ids can't meet, or an unknown format.
    """
    pattern = GunPattern.parse(pin.pattern)
    if pin.format not in FORMATS:
        raise InvalidSetting(f"The pin for {pattern} has an unknown format, {pin.format[:20]!r}.")
    if (pin.root is None) == (not pin.key_ids):
        raise InvalidSetting(f"The pin for {pattern} needs either a root file or root key ids.")
    if pin.root is not None:
        _check_root(pattern, pin)
    else:
        _check_keys(pattern, pin)
    return pattern


def _check_root(pattern: GunPattern, pin: Pin) -> None:
    root = pin.root or b""
    if not pattern.exact:
        raise InvalidSetting(
            f"A root file belongs to one collection, and {pattern} is a pattern.", hint="Pin root key ids instead."
        )
    if not root or len(root) > MAX_ROOT or not root.isascii():
        raise InvalidSetting(f"The root file for {pattern} is empty, too long, or has characters outside ASCII.")
    if pin.threshold:
        raise InvalidSetting(f"The pin for {pattern} is a root file; its threshold stands in the file.")


def _check_keys(pattern: GunPattern, pin: Pin) -> None:
    if any(not _KEY_ID.match(key) for key in pin.key_ids):
        raise InvalidSetting(f"The pin for {pattern} has a key id that is not 64 lower-case hex digits.")
    if len(set(pin.key_ids)) != len(pin.key_ids) or len(pin.key_ids) > MAX_KEYS:
        raise InvalidSetting(f"The pin for {pattern} has a key id twice, or more than {MAX_KEYS}.")
    if not 1 <= pin.threshold <= len(pin.key_ids):
        raise InvalidSetting(
            f"The pin for {pattern} asks for {pin.threshold} of {len(pin.key_ids)} keys, which can't be met."
        )
