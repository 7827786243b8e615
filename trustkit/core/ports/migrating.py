"""Another trust server that collections come from, as the use case sees it; nothing that it says is believed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from trustkit.core.names import Gun
from trustkit.core.ports.remote import CollectionFiles, Pin


class FormerServer(Protocol):
    """A server of Notary's, or a copy of its database."""

    @property
    def name(self) -> str:
        """What it is called in reports: its URL, or a file."""
        ...

    def guns(self) -> Sequence[Gun]:
        """The collections that it has; raises NotAllowed, CouldNotCheck where it doesn't tell."""
        ...

    def root(self, gun: Gun, version: int | None = None) -> bytes | None:
        """The current root, or that of a version, as served; None where it says that there is none.

        Raises:
            NotAllowed, CouldNotCheck.
        """
        ...

    def refresh(self, gun: Gun, pin: Pin, now: datetime) -> CollectionFiles:
        """The current files, every delegation's among them, verified at ``now`` from a pin, and not older than here.

        Raises:
            NotTrusted and its leaves, NotAllowed.
        """
        ...

    def look(self, gun: Gun, pin: Pin) -> CollectionFiles:
        """As ``refresh``, verified in all but expiry and kept nowhere."""
        ...

    def kept(self, gun: Gun, pin: Pin) -> Mapping[str, bytes]:
        """By role what ``refresh`` has verified last from a pin; empty where it hasn't."""
        ...


class ArrivalService(Protocol):
    """The service that collections go to."""

    def file(self, gun: Gun, name: str) -> bytes | None:
        """A file of a collection in format ``docker`` as served; None where there is none."""
        ...
