"""Pins, and where those in format ``docker`` have led: a conversion moves a pin once, and for good (TRUST 5.4)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from trustkit.core.names import Gun
from trustkit.core.pinning import root_key_ids
from trustkit.core.ports.remote import FormerSource, Pin, PinStore
from trustkit.errors import NotTrusted, StateError

Follow: TypeAlias = Callable[[Gun, Pin, NotTrusted], Pin]
"""The pin in format ``tuf`` that one in format ``docker`` leads to; see ``client.follow``."""


def following(source: FormerSource) -> Follow:
    """What follows in this source; what it takes is loaded where a pin leads elsewhere."""

    def follow(gun: Gun, pin: Pin, told: NotTrusted) -> Pin:
        from trustkit.client.follow import Follow

        return Follow(source)(gun, pin, told)

    return follow


class LeadingPins:
    """The pins of a home or a policy.

    Args:
        follow: None for who stays where he is.
        warn: says one line to stderr.
    """

    def __init__(self, pins: PinStore, follow: Follow | None, warn: Callable[[str], None]) -> None:
        self._pins = pins
        self._follow = follow
        self._warn = warn
        self._moved: dict[tuple[Gun, Pin], Pin] = {}

    def find(self, gun: Gun, *, only: str | None = None) -> Pin | None:
        """The pin for a GUN, or where it has led in this process.

        Args:
            only: the one format that the caller can do: a pin that leads there is that pin.

        Raises:
            NotAllowed.
        """
        stored = self._pins.find(gun)
        pin = stored and self._moved.get((gun, stored), stored)
        if pin is None or self._follow is None or (pin.format, only) != ("docker", "tuf"):
            return pin
        try:
            return self._follow(gun, pin, NotTrusted(f"{gun} is in no format that its pin leads to."))
        except NotTrusted:
            return pin

    def follow(self, gun: Gun, pin: Pin, error: NotTrusted) -> Pin:
        """Where a pin leads once its collection is in format ``tuf``.

        Args:
            error: what was found out under the pin; raised where that isn't that it leads elsewhere.

        Raises:
            NotTrusted and its leaves, NotAllowed.
        """
        if self._follow is None or pin.format != "docker" or error.context.get("format") != "tuf":
            raise error
        return self._follow(gun, pin, error)

    def write_down(self, gun: Gun, old: Pin, new: Pin) -> None:
        """Has the pin say ``tuf`` from now on: call it once the collection is verified under the new pin.

        In this process it counts in any case; where it can't be written, that is said.
        """
        self._moved[gun, old] = new
        try:
            there = self._pins.follow(old, new)
        except StateError as error:
            self._warn(f"WARNING: {gun} was converted to format tuf, and its pin couldn't follow: {error.message}")
            return
        if there is None:
            ids = ", ".join(f'"{key_id}"' for key_id in root_key_ids(new.root or b"")[0])
            self._warn(
                f"WARNING: {gun} was converted to format tuf by the pinned root key. Say so where it is pinned: in a "
                f"policy, root_keys = [{ids}], and no format."
            )
        elif there == new:
            self._warn(f"{gun} was converted to format tuf by the pinned root key, and is pinned so from now on.")
