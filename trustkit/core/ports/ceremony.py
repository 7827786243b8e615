"""What a holder of a root key remembers between ceremonies."""

from __future__ import annotations

from typing import Protocol

from trustkit.core.names import Gun


class RootMemory(Protocol):
    """The last root that was signed in one TRUSTKIT_HOME of each collection."""

    def last(self, gun: Gun) -> tuple[int, str] | None:
        """Its version, and the SHA-256 in hex of what was signed; None where none was signed here."""
        ...

    def note(self, gun: Gun, version: int, digest: str) -> None:
        """Notes what is about to be signed; it is on disk when this returns."""
        ...
