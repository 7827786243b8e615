"""What online keys need from a device on which they are made, and which they never leave."""

from __future__ import annotations

from typing import Protocol

from securesystemslib.signer import Key, Signature

from trustkit.core.names import Gun


class KeyForge(Protocol):
    """A device that makes online keys and signs with them.  Each call may wait for it; several threads may call.

    Raises, ``make`` and ``sign``:
        ServerFailed: it isn't there, refuses, or has another key there now.
    """

    @property
    def uri(self) -> str:
        """Which device."""
        ...

    def check(self) -> None:
        """Returns where it is there and opens; raises KeyProblem, UsageError or InvalidSetting."""
        ...

    def make(self, gun: Gun, role: str) -> tuple[Key, str]:
        """A new key for this collection and role: its public half, and the URI that ``sign`` finds it by."""
        ...

    def sign(self, place: str, public: Key, payload: bytes) -> Signature:
        """A signature by the key at this URI, verified against its public half."""
        ...
