"""What the gateway puts behind the gate: the embedded registry or an upstream."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from trustkit.core.names import Digest, Repository
from trustkit.core.paths import Blob, Catalog, Manifest, Referrers, TagList, Upload, Uploads
from trustkit.core.ports.images import Images
from trustkit.gateway.exchange import Exchange

BackendRoute = Catalog | Manifest | Blob | Uploads | Upload | TagList | Referrers


class Backend(Images, Protocol):
    """A registry without access control and without a gate.

    Invariants: memory doesn't grow with the size of a blob; a reply that fails half-way is cut, never padded.
    """

    @property
    def keep_seconds(self) -> float:
        """For how long a manifest that it gave may be used without asking again."""
        ...

    async def answer(self, exchange: Exchange, route: BackendRoute) -> None:
        """Answers a request that access control and the gate let through.

        Raises:
            Refused, TooLarge, TimedOut, RegistryFailed, StateError, ClientGone: where nothing was replied yet,
                the caller replies.
        """
        ...

    async def repositories(self) -> Sequence[Repository]:
        """Every repository, by name.  Raises RegistryFailed."""
        ...

    async def small_blob(self, repository: Repository, digest: Digest, limit: int) -> bytes | None:
        """A blob of at most ``limit`` bytes; None for a longer one, and where there is none."""
        ...

    async def holds_manifest(self, repository: Repository, digest: Digest) -> bool:
        """Whether the repository says that this digest is a manifest of it.

        An upstream may say no where it can't read its own bytes; the bytes themselves are looked at elsewhere.
        """
        ...

    async def referrers(self, repository: Repository, subject: Digest) -> Sequence[Digest] | None:
        """The manifests that name this subject; None where the registry has no such API.  Raises RegistryFailed."""
        ...

    async def close(self) -> None:
        """Lets go of connections."""
        ...
