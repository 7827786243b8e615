"""Manifests, as use cases on both sides see them."""

from __future__ import annotations

from typing import Protocol

from trustkit.core.names import Digest, Gun, Repository, Tag
from trustkit.core.records import dataclass

MAX_MANIFEST = 4 * 1024 * 1024
"""Bytes; the limit of the distribution specification 1.1 for a manifest, and ours for hashing one whole."""


@dataclass(frozen=True, slots=True)
class ManifestBytes:
    """A manifest whose bytes hash to ``digest`` (always checked by whoever makes this value)."""

    digest: Digest
    media_type: str
    data: bytes


class ImageSource(Protocol):
    """An image that lies elsewhere and can be pushed.

    Invariant: it is pushed by digest, everything that it needs first; no tag of the registry is touched.
    """

    def push(self, gun: Gun, wanted: Digest | None = None) -> ManifestBytes:
        """Pushes it, and returns the manifest that the repository holds now.

        Args:
            wanted: raise DigestMismatch before anything is pushed where it has another digest.

        Raises:
            NotFound, StateError, DigestMismatch, Garbage: the source.
            NotAllowed leaves, CouldNotCheck leaves, RegistryFailed: the registry.
        """
        ...


class Images(Protocol):
    """A registry's own view of its manifests, for the service: no gate, no signed view."""

    async def resolve(self, repository: Repository, tag: Tag) -> Digest | None:
        """The digest that the registry's tag points at; None where it has no such tag.

        Raises:
            RegistryFailed: the registry can't say.
        """
        ...

    async def manifest(self, repository: Repository, digest: Digest) -> ManifestBytes | None:
        """The manifest of this digest, at most 4 MiB, hashed; None where the repository doesn't hold it.

        Raises:
            RegistryFailed: the registry can't say, sends too much, or sends other bytes.
        """
        ...
