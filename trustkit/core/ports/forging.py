"""What online keys need from a device on which they are made, and which they never leave; they sign by ``places``."""

from __future__ import annotations

from typing import Protocol

from securesystemslib.signer import Key

from trustkit.core.names import Gun


class KeyForge(Protocol):
    """A device that makes online keys.  Each call may wait for it; several threads may call.

    Raises, ``check`` and ``make``:
        KeyProblem, UsageError, InvalidSetting: as ``KeyPlaces``.
    """

    @property
    def uri(self) -> str:
        """Which device."""
        ...

    def check(self) -> None:
        """Returns where it is there and opens."""
        ...

    def make(self, gun: Gun, role: str) -> tuple[Key, str]:
        """A new key for this collection and role: its public half, and the URI that ``KeyPlaces`` find it by."""
        ...
