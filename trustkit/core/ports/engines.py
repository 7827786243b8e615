"""Whatever pulls images for the machine it runs on."""

from __future__ import annotations

from typing import Protocol

from trustkit.core.names import ImageRef


class Engine(Protocol):
    """A container engine, a copying tool or a folder.

    Invariant: it is told a digest and asks the registry for nothing but that digest; the tag is put on afterwards.
    """

    def pull(self, ref: ImageRef) -> None:
        """Pulls ``ref.digest`` and gives it ``ref.tag`` where there is one.

        Args:
            ref: with a digest.

        Raises:
            EngineFailed: the engine refuses or isn't there.
            DigestMismatch, NotAllowed leaves, CouldNotCheck leaves: where we fetch ourselves.
        """
        ...
