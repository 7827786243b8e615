"""What reaches the devices of online keys, for commands that may sign with one: loaded when one does."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from trustkit.cli.kek_options import online_forge, pins
from trustkit.config import online_key_uri

if TYPE_CHECKING:
    from securesystemslib.signer import Key, Signature

    from trustkit.core.ports.forging import KeyForge
    from trustkit.core.ports.places import KeyPlaces

PIN_OPTION = "--online-key-pin-file"


class LaterPlaces:
    """The ``KeyPlaces`` that are made at the first call."""

    def __init__(self, make: Callable[[], KeyPlaces]) -> None:
        self._make = make
        self._made: KeyPlaces | None = None

    def look(self, uri: str) -> tuple[str, Key]:
        """As ``KeyPlaces.look``."""
        return self._here().look(uri)

    def sign(self, uri: str, public: Key, payload: bytes) -> Signature:
        """As ``KeyPlaces.sign``."""
        return self._here().sign(uri, public, payload)

    def close(self) -> None:
        """As ``KeyPlaces.close``."""
        if self._made is not None:
            self._made.close()

    def _here(self) -> KeyPlaces:
        self._made = self._made or self._make()
        return self._made


def online_devices(uri: str | None, pin_file: Path | None, *, attended: bool) -> tuple[KeyPlaces, KeyForge | None]:
    """What reaches the keys that are on devices, and what makes new ones there; nothing is asked yet.

    Args:
        attended: whether who started the command waits for it, and may be asked for a PIN at any time.

    Raises:
        InvalidSetting: a key service to make keys in.  UsageError: no such URI.
    """
    forge = online_forge(uri, pin_file) if online_key_uri(uri, os.environ).value else None
    if forge is not None:
        return forge.places, forge
    return online_places(pin_file, attended=attended), None


def online_places(pin_file: Path | None, *, attended: bool) -> KeyPlaces:
    """What reaches the keys that are on devices; ``attended`` as for ``online_devices``."""

    def made() -> KeyPlaces:
        from trustkit.keys.onlineplaces import PATIENCE_SECONDS, OnlinePlaces

        source = pins(pin_file, PIN_OPTION, attended=attended)
        return OnlinePlaces(os.environ, source, patience=None if attended else PATIENCE_SECONDS)

    return LaterPlaces(made)
