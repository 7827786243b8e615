"""Pins that can be met, and no others: an empty or ambiguous one is refused, never read as "anything" (TRUST 5.1)."""

from __future__ import annotations

import re

from trustkit.core.patterns import GunPattern
from trustkit.core.ports.remote import Pin
from trustkit.errors import InvalidSetting

MAX_ROOT = 512_000
MAX_KEYS = 64
MAX_AUTHORITIES = 65_536
_PEM = b"-----BEGIN CERTIFICATE-----\n"
FORMATS = frozenset({"tuf", "docker"})
_KEY_ID = re.compile(r"[0-9a-f]{64}\Z")


def check_pin(pin: Pin) -> GunPattern:
    """The pattern of a pin that can be met; an empty or ambiguous pin is refused, never read as "anything".

    Raises:
        InvalidName: the pattern.
        InvalidSetting: not exactly one of a root file, key ids and authorities, a root file for a pattern of GUNs,
            ids that are none or stand twice, a threshold that the ids can't meet, an unknown format, or authorities
            in another one than ``docker``.  What certificates say is for ``formats.docker.pins.authorities``.
    """
    pattern = GunPattern.parse(pin.pattern)
    if pin.format not in FORMATS:
        raise InvalidSetting(f"The pin for {pattern} has an unknown format, {pin.format[:20]!r}.")
    if (pin.root is not None) + bool(pin.key_ids) + (pin.authorities is not None) != 1:
        raise InvalidSetting(f"The pin for {pattern} needs either a root file, or root key ids, or authorities.")
    if pin.authorities is not None:
        _check_authorities(pattern, pin)
    elif pin.root is not None:
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
    if is_dockers(root) != (pin.format == "docker"):
        raise InvalidSetting(f"The root file for {pattern} is not of format {pin.format}, which the pin is of.")
    if pin.threshold:
        raise InvalidSetting(f"The pin for {pattern} is a root file; its threshold stands in the file.")


def is_dockers(root: bytes) -> bool:
    """Whether a root file says that it is of format ``docker``: its type has a capital there."""
    return b'"_type":"Root"' in root


def _check_authorities(pattern: GunPattern, pin: Pin) -> None:
    data = pin.authorities or b""
    if pin.format != "docker":
        raise InvalidSetting(
            f"The pin for {pattern} names authorities, which root keys of format docker have only.",
            hint="Pin root key ids, or a root file.",
        )
    if not data.isascii() or not data.startswith(_PEM) or len(data) > MAX_AUTHORITIES or pin.threshold:
        raise InvalidSetting(
            f"The authorities for {pattern} are not certificates in PEM of at most {MAX_AUTHORITIES} bytes."
        )


def _check_keys(pattern: GunPattern, pin: Pin) -> None:
    if any(not _KEY_ID.match(key) for key in pin.key_ids):
        raise InvalidSetting(
            f"The pin for {pattern} has a key id that is not 64 lower-case hex digits.",
            hint="Give the whole id; its publisher sees it with: trustkit key list",
        )
    if len(set(pin.key_ids)) != len(pin.key_ids) or len(pin.key_ids) > MAX_KEYS:
        raise InvalidSetting(f"The pin for {pattern} has a key id twice, or more than {MAX_KEYS}.")
    if not 1 <= pin.threshold <= len(pin.key_ids):
        raise InvalidSetting(
            f"The pin for {pattern} asks for {pin.threshold} of {len(pin.key_ids)} keys, which can't be met."
        )
