"""The writing side of Notary's API, as use cases see it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from trustkit.core.formats.docker.keys import DockerKey
from trustkit.core.names import Gun


class NotaryService(Protocol):
    """The trust server of the host that a GUN names.  Errors as ``ports.remote.TrustService``."""

    def key(self, gun: Gun, role: str, *, new: bool = False) -> DockerKey:
        """The service's public key of ``snapshot`` or ``timestamp``; only who may publish is told.

        Args:
            new: one that has never signed, for a root that rotates to it.
        """
        ...

    def publish(self, gun: Gun, files: Mapping[str, bytes]) -> None:
        """Uploads all files in one request; none or all are published.

        Raises:
            Conflict: a version that somebody else has taken.
        """
        ...
